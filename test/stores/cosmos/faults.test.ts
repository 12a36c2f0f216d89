import { afterEach, describe, expect, it } from 'vitest'
import { type ManualClock, manualClock } from 'waybill/testing'
import { acceptedOperation, type Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import type { Collection } from '../../support/cosmos-server.ts'
import { submissionOf } from '../../support/submission.ts'

const account = cosmosAccount()
const LEASE_MS = 30_000
const CLAIM_BY = { holder: 'host/1/a', leaseMs: LEASE_MS, execution: null }
const DONE = { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '"done"' } } as const
/** A request that never takes effect, given up at once: no test waits for a time limit that a slow machine needs to open. */
const REFUSED = { status: 403 }
const LARGE = JSON.stringify('ü'.repeat(50_000))

afterEach(async () => {
  account.server.faults.clear()
  await account.closeStores()
})

/** A store, and the container it is on. */
async function fresh(clock: ManualClock = manualClock()): Promise<{ store: Store; container: Collection }> {
  const container = account.container({ clock: clock.now })
  return { store: await account.store(container, { clock: clock.now }), container }
}

function fail(...fault: Parameters<typeof account.server.faults.add>): void {
  account.server.faults.add(...fault)
}

async function listed(store: Store): Promise<string[]> {
  return (await store.list({ type: 'orders', owner: '', limit: 100 })).map(({ id }) => id)
}

describe('a service that throttles', () => {
  it.each([
    { status: 429, retryAfterMs: 30 },
    { status: 449, retryAfterMs: 30 },
    { status: 449 },
    { status: 503 },
    { status: 408 },
    { status: 410, substatus: 1002 },
  ])('is called again later, and every call succeeds in the end: %o', async how => {
    const { store } = await fresh()
    const burst = { times: 3, how }
    fail({ on: ['create'], ...burst })
    await store.accept(submissionOf('a', { idempotencyKey: 'k' }))
    fail({ on: ['replace'], ...burst })
    const [claim] = await store.claim({ ...CLAIM_BY, from: { types: [{ type: 'orders', limit: 1 }], limit: 1 } })
    expect(claim?.operation.attempt).toBe(1)
    fail({ on: ['replace'], ...burst })
    expect((await store.change('a', DONE))?.status).toBe('completed')
    fail({ on: ['read'], ...burst })
    expect((await store.read('a'))?.history).toHaveLength(1)
  })

  it('is not called again before the time that it names', async () => {
    const { store } = await fresh()
    fail({ on: ['create'], times: 12, how: { status: 429, retryAfterMs: 40 } })
    const start = performance.now()
    await store.accept(submissionOf('a'))
    expect(performance.now() - start).toBeGreaterThan(12 * 40 - 20)
  })

  it('makes a call fail after the time limit, with the error of the service', async () => {
    const { container } = await fresh()
    const store = await account.store(container, { timeout: 2000 })
    fail({ on: ['create'], times: 1000, how: { status: 449, retryAfterMs: 50 } })
    await expect(store.accept(submissionOf('a'))).rejects.toMatchObject({ code: 449 })
  })

  it('that never answers is called once more before the call fails', async () => {
    const { container } = await fresh()
    const store = await account.store(container, { timeout: 2000 })
    fail({ on: ['replace'], times: 1, how: 'hang' })
    await store.accept(submissionOf('a'))
    expect((await store.change('a', { kind: 'cancel' }))?.status).toBe('canceled')
    fail({ on: ['create'], times: 1000, how: 'hang' })
    await expect(store.accept(submissionOf('b'))).rejects.toThrow('did not answer in time')
  })
})

describe('a response that is lost after the service has acted', () => {
  it.each([null, 'k'])('to an accept: it is accepted, once (key %s)', async idempotencyKey => {
    const { store } = await fresh()
    fail({ on: ['create'], times: 2, how: 'cut-after' })
    const acceptance = await store.accept(submissionOf('a', { idempotencyKey }))
    expect(acceptance.kind).toBe('accepted')
    expect(await store.read('a')).toEqual(acceptedOperation(acceptance))
    expect(await listed(store)).toEqual(['a'])
  })

  it('to an accept with a large input: it is accepted, once, and whole', async () => {
    const { store } = await fresh()
    fail({ on: ['create', 'replace'], times: 3, how: 'cut-after' })
    expect((await store.accept(submissionOf('a', { input: LARGE }))).kind).toBe('accepted')
    expect(await store.readPayload('a', 'input')).toBe(LARGE)
  })

  it('to a claim: the attempt is handed out, and is the first', async () => {
    const { store } = await fresh()
    await store.accept(submissionOf('a'))
    fail({ on: ['replace'], times: 1, how: 'cut-after' })
    const [claim] = await store.claim({ ...CLAIM_BY, from: { types: [{ type: 'orders', limit: 1 }], limit: 1 } })
    expect(claim?.operation).toMatchObject({ id: 'a', attempt: 1 })
  })

  it('to an outcome: it does not count as late', async () => {
    const { store } = await fresh()
    await store.accept(submissionOf('a'))
    await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
    fail({ on: ['replace'], times: 1, how: 'cut-after' })
    const operation = await store.change('a', DONE)
    expect(operation?.status).toBe('completed')
    expect(await store.read('a')).toEqual(operation)
  })

  it('to a log line: it is stored once', async () => {
    const { store } = await fresh()
    await store.accept(submissionOf('a'))
    await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
    fail({ on: ['replace'], times: 1, how: 'cut-after' })
    await store.appendNote({ id: 'a', attempt: 1 }, { kind: 'log', level: 'info', message: 'one' })
    expect(await store.logs('a', 0)).toHaveLength(1)
  })
})

describe('a process that dies in the middle of an accept', () => {
  /** A store whose writes of this item never arrive: it has died there, as far as others can tell. */
  async function dying(container: Collection, clock: ManualClock, parts: object): Promise<void> {
    const store = await account.store(container, { clock: clock.now })
    fail({ on: ['replace'], id: id => id === 'a', times: 1000, how: REFUSED })
    await expect(store.accept(submissionOf('a', parts))).rejects.toThrow()
    account.server.faults.clear()
  }

  it('between key and operation: the next process with the key creates the operation once', async () => {
    const { store, container } = await fresh()
    const died = await account.store(container)
    fail({ on: ['create'], body: ({ kind }) => kind === 'operation', times: 1000, how: REFUSED })
    await expect(died.accept(submissionOf('a', { idempotencyKey: 'k' }))).rejects.toThrow()
    account.server.faults.clear()
    expect(await store.read('a')).toBeUndefined()

    const second = await store.accept(submissionOf('b', { idempotencyKey: 'k', input: '"b"' }))
    expect(second).toMatchObject({ kind: 'accepted', operation: { id: 'a' } })
    expect(await store.readPayload('a', 'input')).toBe('"b"')
    const late = await store.accept(submissionOf('a', { idempotencyKey: 'k', input: '"a"' }))
    expect(late).toEqual({ kind: 'known', operation: acceptedOperation(second) })
    expect(await listed(store)).toEqual(['a'])
  })

  it('before its large input was stored: the operation does not exist, and a repetition creates it', async () => {
    const clock = manualClock()
    const { store, container } = await fresh(clock)
    await dying(container, clock, { input: LARGE, idempotencyKey: 'k' })
    expect(await store.read('a')).toBeUndefined()
    expect(await listed(store)).toEqual([])
    expect(await store.change('a', { kind: 'cancel' })).toBeUndefined()
    expect(await store.claim({ ...CLAIM_BY, from: { id: 'a' } })).toEqual([])
    clock.advance(3000)
    const again = await store.accept(submissionOf('b', { input: '"small"', idempotencyKey: 'k' }))
    expect(again).toMatchObject({ kind: 'accepted', operation: { id: 'a' } })
    expect(await store.readPayload('a', 'input')).toBe('"small"')
  })

  it('before its large input was stored, without a repetition: a sweep deletes the rest', async () => {
    const clock = manualClock()
    const { store, container } = await fresh(clock)
    await dying(container, clock, { input: LARGE })
    const left = () => container.partitions.reduce((sum, { documents }) => sum + documents.size, 0)
    expect(left()).toBe(2)
    clock.advance(3_599_000)
    await store.sweep(100)
    expect(left()).toBe(2)
    clock.advance(1_001_000)
    await store.sweep(100)
    expect(left()).toBe(0)
  })

  it('with a hundred others on the same key and large inputs: one complete operation is created', async () => {
    const { container } = await fresh()
    const stores = await Promise.all([1, 2, 3].map(() => account.store(container)))
    const answers = await Promise.all(
      stores.flatMap((store, place) =>
        Array.from({ length: 20 }, (_, index) =>
          store.accept(submissionOf(`${3 * index + place}`, { idempotencyKey: 'k', input: LARGE })),
        ),
      ),
    )
    const [id = '', ...others] = new Set(answers.map(answer => acceptedOperation(answer).id))
    expect(others).toEqual([])
    expect(answers.filter(({ kind }) => kind === 'accepted')).toHaveLength(1)
    expect(await stores[0]?.readPayload(id, 'input')).toBe(LARGE)
  })
})

describe('an attempt that has lost its lease', () => {
  it('has written a step that does not count: the next attempt runs the step again', async () => {
    const clock = manualClock()
    const { store, container } = await fresh(clock)
    const zombie = await account.store(container, { clock: clock.now })
    await store.accept(submissionOf('a'))
    await zombie.claim({ ...CLAIM_BY, from: { id: 'a' } })
    fail({ on: ['replace'], id: id => id === 'a', times: 1000, how: REFUSED })
    await expect(
      zombie.appendNote({ id: 'a', attempt: 1 }, { kind: 'step', name: 'charge', value: '1' }),
    ).rejects.toThrow()
    account.server.faults.clear()

    clock.advance(LEASE_MS)
    await store.sweep(10)
    await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
    expect(await store.steps('a')).toEqual(new Map())
    expect(await store.appendNote({ id: 'a', attempt: 2 }, { kind: 'step', name: 'charge', value: '2' })).toBe(true)
    expect(await zombie.appendNote({ id: 'a', attempt: 1 }, { kind: 'step', name: 'charge', value: '3' })).toBe(false)
    expect(await store.steps('a')).toEqual(new Map([['charge', '2']]))
  })

  it('is refused, although it remembers the operation as its own', async () => {
    const clock = manualClock()
    const { store, container } = await fresh(clock)
    const zombie = await account.store(container, { clock: clock.now })
    await store.accept(submissionOf('a'))
    await zombie.claim({ ...CLAIM_BY, from: { id: 'a' } })
    clock.advance(LEASE_MS)
    await store.sweep(10)
    expect(await zombie.renew([{ id: 'a', attempt: 1 }], LEASE_MS)).toEqual([{ kind: 'lost' }])
    expect(await zombie.change('a', DONE)).toBeUndefined()
  })

  it('leaves unused items, which are deleted with the operation', async () => {
    const clock = manualClock()
    const { store, container } = await fresh(clock)
    const zombie = await account.store(container, { clock: clock.now })
    await store.accept(submissionOf('a', { retention: 1000 }))
    await zombie.claim({ ...CLAIM_BY, from: { id: 'a' } })
    fail({ on: ['replace'], times: 1000, how: REFUSED })
    const large = { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: LARGE } } as const
    await expect(zombie.change('a', large)).rejects.toThrow()
    account.server.faults.clear()
    await store.change('a', DONE)
    clock.advance(1000)
    expect(await store.sweep(10)).toEqual({ expired: [], purged: ['a'] })
    expect(container.partitions.flatMap(({ documents }) => [...documents.values()].map(({ body }) => body.id))).toEqual(
      ['a'],
    )
  })
})
