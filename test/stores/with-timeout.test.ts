import { expect } from 'vitest'
import type { Store } from '../../src/stores/store.ts'
import { withTimeout } from '../../src/stores/with-timeout.ts'
import { test } from '../support/waybill.ts'

const NEVER = new Promise<never>(() => {})

/** Each method never settles, but `open` and `close`, which take longer than the limit. */
class HangingStore {
  read = () => NEVER
  open() {
    return new Promise<void>(resolve => setTimeout(resolve, 50))
  }
  close() {
    return this.open()
  }
  claim() {
    return NEVER
  }
  queueStats() {
    throw new Error('It throws.')
  }
  /** A method that no version of the contract has today. */
  addedLater() {
    return NEVER
  }
}

class DerivedStore extends HangingStore {
  accept() {
    return NEVER
  }
}

const hanging = () => new DerivedStore() as unknown as Store & { addedLater(): Promise<void> }

test('a call that hangs rejects, whether the method is of the class, its base class or the object', async () => {
  const store = withTimeout(hanging(), 10) as ReturnType<typeof hanging>
  const calls = [store.accept(undefined as never), store.claim(undefined as never), store.read('a'), store.addedLater()]
  for (const call of calls) await expect(call).rejects.toThrow('The store did not answer in time.')
})

test('a method that throws rejects', async () => {
  await expect(withTimeout(hanging(), 10).queueStats('orders')).rejects.toThrow('It throws.')
})

test('opening and closing may take longer', async () => {
  const store = withTimeout(hanging(), 1)
  await expect(store.open()).resolves.toBeUndefined()
  await expect(store.close()).resolves.toBeUndefined()
})

test('a method that the store does not have is not added', async () => {
  const store = withTimeout(hanging(), 10)
  expect([store.acceptWithin, store.check]).toEqual([undefined, undefined])
})

test('a real store answers as before', async ({ lab }) => {
  const store = withTimeout(await lab.store(), 10_000)
  expect(await store.read('a')).toBeUndefined()
  expect(await store.listActive({ limit: 10 })).toEqual([])
  await store.check?.()
})
