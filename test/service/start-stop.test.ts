/** A stop that comes before the start has ended, or that is called more than once. */
import { expect, vi } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Store } from '../../src/stores/store.ts'
import { test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders' })

/** A store that counts its calls, and that answers those of one method only when it is released. */
function held(method: keyof Store) {
  const real = sqliteStore({ path: ':memory:' })
  const [asked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const calls: (string | symbol)[] = []
  const store = new Proxy(real, {
    get: (target, name) => {
      const member = Reflect.get(target, name) as unknown
      if (typeof member !== 'function') return member
      return (...given: unknown[]) => {
        calls.push(name)
        if (name !== method) return member.apply(target, given)
        asked.resolve()
        return released.promise.then(() => member.apply(target, given))
      }
    },
  })
  return { store, calls, asked: asked.promise, release: released.resolve }
}

test.for(['open', 'list', 'claim'] as const)(
  'nothing runs after a stop during a start that waits for %s',
  async (method, { lab }) => {
    const { store, calls, asked, release } = held(method)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
    lab.onEnd(() => vi.useRealTimers())
    const webhooks = { secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'] }
    const waybill = lab.composition([orders], {
      store,
      webhooks,
      worker: { handlers: handler(orders, () => {}), run: 'inline' },
    })
    const started = waybill.start().then(
      () => 'started',
      (error: Error) => error.message,
    )
    await asked
    const stopped = waybill.stop()
    release()
    expect(await started).toMatch(/^(started|Waybill was stopped while it waited for .+\.)$/)
    await stopped
    calls.splice(0)
    await vi.advanceTimersByTimeAsync(120_000)
    expect(calls).toEqual([])
  },
)

test('a Waybill stops once, however often it is asked to, and does not start again', async ({ lab }) => {
  const { store, calls } = held('purge')
  const waybill = lab.composition([orders], { store })
  await Promise.all([waybill.start(), waybill.start()])
  expect(calls.filter(name => name === 'open')).toHaveLength(1)
  await Promise.all([waybill.stop(), waybill.stop()])
  await waybill.stop()
  await expect(waybill.start()).rejects.toThrow('Waybill was stopped. Create another one to start again.')
})
