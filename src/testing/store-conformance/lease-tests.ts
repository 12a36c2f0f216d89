import assert from 'node:assert/strict'
import type { Change, Operation } from '../../model/operation.ts'
import type { Note } from '../../stores/store.ts'
import { LEASE_MS, leaseOf, numberedId, OUTCOMES, type StoreTest, type StoreTests } from './context.ts'

const HELD = { kind: 'held', cancelRequested: false }
const LOST = { kind: 'lost' }

const NOTES: readonly Note[] = [
  { kind: 'log', level: 'info', message: 'late' },
  { kind: 'step', name: 'late', value: '1' },
]

export const leaseTests: StoreTests = {
  name: 'leases and fences',
  tests: {
    'a renewal extends the lease from now on, and no client sees a new version': async test => {
      const operation = await test.run()
      test.clock.advance(10_000)
      assert.deepEqual(await test.store.renew([leaseOf(operation)], 60_000), [HELD])
      assert.deepEqual(await test.read(operation.id), { ...operation, leaseUntil: test.now + 60_000 })
    },

    'a renewal tells that a cancel was requested': async test => {
      const operation = await test.run()
      await test.change(operation.id, { kind: 'cancel' })
      assert.deepEqual(await test.store.renew([leaseOf(operation)], LEASE_MS), [
        { kind: 'held', cancelRequested: true },
      ])
    },

    'renewals answer in the order of the leases, each for itself': async test => {
      const [first, second] = [await test.run(), await test.run()]
      const done = await test.end(OUTCOMES.completed)
      const leases = [second, done, { ...second, attempt: 7 }, first, { ...first, id: numberedId(99) }].map(leaseOf)
      assert.deepEqual(await test.store.renew(leases, LEASE_MS), [HELD, LOST, LOST, HELD, LOST])
      assert.deepEqual(await test.store.renew([], LEASE_MS), [])
    },

    'a renewal is lost once the operation waits for its next attempt': async test => {
      const operation = await test.run()
      await test.finish(operation, OUTCOMES.released)
      assert.deepEqual(await test.store.renew([leaseOf(operation)], LEASE_MS), [LOST])
    },

    'a lease that ran out is still held until a sweep has noticed it': async test => {
      const operation = await test.run()
      test.clock.advance(LEASE_MS + 1)
      assert.deepEqual(await test.store.renew([leaseOf(operation)], LEASE_MS), [HELD])
      assert.deepEqual(await test.store.sweep(10), { expired: [], purged: [] })
      test.clock.advance(LEASE_MS)
      await test.store.sweep(10)
      assert.deepEqual(await test.store.renew([leaseOf(operation)], LEASE_MS), [LOST])
    },

    'an attempt that lost its lease can write nothing while the next one waits': async test => {
      const old = await test.run()
      await loseLease(test)
      await assertFenced(test, old)
    },

    'an attempt that lost its lease can write nothing while the next one runs': async test => {
      const old = await test.run()
      await loseLease(test)
      await test.claimOne(old.id)
      await assertFenced(test, old)
    },

    'an attempt can write nothing once the operation has finished': async test => {
      const old = await test.run()
      await test.finish(old, OUTCOMES.completed)
      await assertFenced(test, old)
    },

    'an attempt that has not begun yet can write nothing': async test => {
      const operation = await test.run()
      await assertFenced(test, { ...operation, attempt: 2 })
    },
  },
}

async function loseLease(test: StoreTest): Promise<void> {
  test.clock.advance(LEASE_MS)
  assert.equal((await test.store.sweep(10)).expired.length, 1)
}

/** Nothing that the attempt tries leaves a trace. */
async function assertFenced(test: StoreTest, { id, attempt }: Operation): Promise<void> {
  const { store } = test
  const before = await observe(test, id)
  const changes: Change[] = [
    ...Object.values(OUTCOMES).map(outcome => ({ kind: 'finish', attempt, outcome }) as const),
    { kind: 'finish', attempt, outcome: { kind: 'completed', output: '"another"' } },
    { kind: 'progress', attempt, progress: { fraction: 0.9 } },
  ]
  test.clock.advance(5)
  for (const change of changes) assert.equal(await store.change(id, change), undefined)
  for (const note of NOTES) assert.equal(await store.appendNote({ id, attempt }, note), false)
  assert.deepEqual(await store.renew([{ id, attempt }], LEASE_MS), [LOST])
  assert.deepEqual(await observe(test, id), before)
}

async function observe({ store }: StoreTest, id: string): Promise<unknown> {
  return {
    operation: await store.read(id),
    output: await store.readPayload(id, 'output'),
    steps: [...(await store.steps(id))],
    logs: await store.logs(id, 0),
  }
}
