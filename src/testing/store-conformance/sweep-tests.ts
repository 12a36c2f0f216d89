import assert from 'node:assert/strict'
import type { Operation, Outcome } from '../../model/operation.ts'
import { expired } from '../../model/state-machine.ts'
import type { ListQuery } from '../../stores/store.ts'
import { DAY, HOUR, idsOf, LEASE_MS, leaseOf, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

const NOTHING = { expired: [], purged: [] }
const FOREVER: Outcome = { kind: 'suspended', waits: [{ kind: 'event', name: 'paid', withinMs: null }] }
const MINE: ListQuery = { type: TYPE, owner: '', limit: 1000 }

export const sweepTests: StoreTests = {
  name: 'sweep',
  tests: {
    'leaves alone what has not run out': async test => {
      const operations = [
        await test.submit({ startWithin: LEASE_MS, delay: HOUR }),
        await test.submit({ endWithin: LEASE_MS }),
        await test.run(),
        await test.end(OUTCOMES.completed),
      ]
      test.clock.advance(LEASE_MS - 1)
      assert.deepEqual(await test.store.sweep(100), NOTHING)
      for (const operation of operations) assert.deepEqual(await test.read(operation.id), operation)
    },

    'a lease that has run out leads back to pending, counted as lost': async test => {
      const running = await test.run()
      test.clock.advance(LEASE_MS)
      const swept = await test.store.sweep(100)
      const operation = await test.read(running.id)
      assert.deepEqual(swept, { expired: [operation], purged: [] })
      assert.deepEqual(operation, expired(running, test.now))
      assert.equal(operation.status, 'pending')
      assert.equal(operation.lost, 1)
      assert.deepEqual(idsOf(await test.claim(1)), [running.id])
      assert.deepEqual(await test.store.sweep(100), NOTHING)
    },

    'a renewed lease runs out from its renewal on': async test => {
      const running = await test.run()
      test.clock.advance(LEASE_MS - 1)
      await test.store.renew([leaseOf(running)], LEASE_MS)
      test.clock.advance(LEASE_MS - 1)
      assert.deepEqual(await test.store.sweep(100), NOTHING)
      test.clock.advance(1)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
    },

    'an operation that is lost more often than it may be fails as worker-lost': async test => {
      const { id } = await test.submit({ maxLost: 2, maxAttempts: 1 })
      for (let time = 1; time <= 3; time++) {
        assert.equal((await test.read(id)).status, 'pending')
        await test.claimOne(id)
        test.clock.advance(LEASE_MS)
        await test.store.sweep(100)
      }
      const { status, error, lost } = await test.read(id)
      assert.deepEqual({ status, code: error?.code, lost }, { status: 'failed', code: 'worker-lost', lost: 3 })
    },

    'an operation that was asked to cancel is canceled when its lease runs out': async test => {
      const running = await test.run()
      await test.change(running.id, { kind: 'cancel' })
      test.clock.advance(LEASE_MS)
      await test.store.sweep(100)
      const { status, history } = await test.read(running.id)
      assert.equal(status, 'canceled')
      assert.equal(history[0]?.outcome, 'lost')
    },

    'an operation that has not begun by its start deadline fails': async test => {
      const late = await test.submit({ startWithin: 1000 })
      const delayed = await test.submit({ startWithin: 1000, delay: HOUR })
      test.clock.advance(1000)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
      assert.equal((await test.read(late.id)).error?.code, 'start-deadline')
      test.clock.advance(HOUR)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
      assert.equal((await test.read(delayed.id)).error?.code, 'start-deadline')
    },

    'a start deadline means nothing once the first attempt has begun': async test => {
      const running = await test.run({ startWithin: 1000 })
      const waiting = await test.end(OUTCOMES.released, { startWithin: 1000 })
      test.clock.advance(1000)
      assert.deepEqual(await test.store.sweep(100), NOTHING)
      assert.deepEqual(await test.read(running.id), running)
      assert.deepEqual(await test.read(waiting.id), waiting)
    },

    'what has not ended by its deadline fails, whether it waits, is delayed or comes back': async test => {
      const ready = await test.submit({ endWithin: HOUR })
      const delayed = await test.submit({ endWithin: HOUR, delay: HOUR, startWithin: 2 * HOUR })
      const retried = await test.end({ ...OUTCOMES.retry, delayMs: HOUR - 1 }, { endWithin: HOUR })
      const suspended = await test.end(FOREVER, { endWithin: HOUR, webhookUrl: 'https://hooks.example/' })
      test.clock.advance(HOUR)
      assert.equal((await test.store.sweep(100)).expired.length, 3)
      for (const { id } of [ready, retried, suspended]) {
        const { status, error, finishedAt } = await test.read(id)
        assert.deepEqual([status, error?.code, finishedAt], ['failed', 'deadline-exceeded', test.now])
      }
      assert.deepEqual(idsOf(await test.store.webhooksDue(10)), [suspended.id])
      test.clock.advance(HOUR)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
      assert.equal((await test.read(delayed.id)).error?.code, 'deadline-exceeded')
    },

    'a deadline ends what runs once nobody holds its lease': async test => {
      const running = await test.run({ endWithin: 1000 })
      test.clock.advance(1000)
      assert.deepEqual(await test.store.sweep(100), NOTHING)
      test.clock.advance(LEASE_MS)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
      const { status, error, history } = await test.read(running.id)
      assert.deepEqual([status, error?.code, history[0]?.outcome], ['failed', 'deadline-exceeded', 'lost'])
    },

    'a retry that would begin after the deadline is not waited for': async test => {
      const before = await test.run({ endWithin: 6000 })
      test.clock.advance(1000)
      const { status, error } = await test.finish(before, OUTCOMES.retry)
      assert.deepEqual([status, error?.code], ['failed', 'operation-failed'])
    },

    'of two deadlines the one that comes first counts, and the start deadline until the first attempt': async test => {
      const first = await test.submit({ startWithin: 1000, endWithin: 5000 })
      const begun = await test.end(OUTCOMES.released, { startWithin: 1000, endWithin: 5000 })
      test.clock.advance(1000)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
      assert.equal((await test.read(first.id)).error?.code, 'start-deadline')
      test.clock.advance(4000)
      assert.equal((await test.store.sweep(100)).expired.length, 1)
      assert.equal((await test.read(begun.id)).error?.code, 'deadline-exceeded')
    },

    'operations that have begun do not use up the limit of those that have not': async test => {
      for (let time = 0; time < 3; time++) await test.end(OUTCOMES.released, { startWithin: 10 })
      const late = await test.submit({ startWithin: 10 })
      test.clock.advance(10)
      const swept = await test.store.sweep(1)
      const failed = await test.read(late.id)
      assert.equal(failed.status, 'failed')
      assert.deepEqual(swept, { expired: [failed], purged: [] })
    },

    'after its retention what belongs to an operation is gone, and the record says so': async test => {
      const done = await ended(test, { retention: HOUR })
      test.clock.advance(HOUR - 1)
      assert.deepEqual(await test.store.sweep(100), NOTHING)
      assert.equal(await test.store.readPayload(done.id, 'output'), OUTCOMES.completed.output)
      test.clock.advance(1)
      assert.deepEqual(await test.store.sweep(100), { expired: [], purged: [done.id] })
      const tombstone = await test.read(done.id)
      assert.equal(tombstone.purged, true)
      assert.equal(tombstone.status, 'completed')
      assert.equal(await test.store.readPayload(done.id, 'input'), undefined)
      assert.equal(await test.store.readPayload(done.id, 'output'), undefined)
      assert.equal((await test.store.steps(done.id)).size, 0)
      assert.deepEqual(await test.store.logs(done.id, 0), [])
    },

    'what runs out and has no retention is deleted by the same sweep': async test => {
      const { id } = await test.run({ maxLost: 0, retention: 0 })
      test.clock.advance(LEASE_MS)
      const { expired, purged } = await test.store.sweep(100)
      assert.deepEqual([idsOf(expired), purged], [[id], [id]])
      assert.equal((await test.read(id)).purged, true)
    },

    'the record goes after as long again, a day at least': async test => {
      const { id } = await ended(test, { retention: HOUR })
      test.clock.advance(HOUR)
      await test.store.sweep(100)
      test.clock.advance(DAY - 1)
      assert.deepEqual(await test.store.sweep(100), NOTHING)
      test.clock.advance(1)
      assert.deepEqual(await test.store.sweep(100), { expired: [], purged: [id] })
      assert.equal(await test.store.read(id), undefined)
      assert.deepEqual(await test.store.list(MINE), [])
      assert.deepEqual(await test.store.sweep(100), NOTHING)
    },

    'the record goes after a month at most': async test => {
      const { id } = await ended(test, { retention: 400 * DAY })
      test.clock.advance(400 * DAY)
      await test.store.sweep(100)
      test.clock.advance(30 * DAY)
      await test.store.sweep(100)
      assert.equal(await test.store.read(id), undefined)
    },

    'an idempotency key is held until the retention has passed, and free afterwards': async test => {
      const done = await ended(test, { retention: HOUR, idempotencyKey: 'k' })
      test.clock.advance(HOUR - 1)
      await test.store.sweep(100)
      assert.equal((await test.store.accept(test.submission({ idempotencyKey: 'k' }))).kind, 'known')
      test.clock.advance(1)
      await test.store.sweep(100)
      const operation = await test.submit({ idempotencyKey: 'k' })
      assert.notEqual(operation.id, done.id)
    },

    'sweeps no more than its limit of each, and the rest the next time': async test => {
      const done: string[] = []
      for (let time = 0; time < 5; time++) {
        await test.run()
        done.push((await ended(test, { retention: LEASE_MS })).id)
      }
      test.clock.advance(LEASE_MS)
      const swept = [await test.store.sweep(2), await test.store.sweep(2), await test.store.sweep(2)]
      const counts = swept.map(({ expired, purged }) => ({ expired: expired.length, purged: purged.length }))
      assert.deepEqual(counts, [
        { expired: 2, purged: 2 },
        { expired: 2, purged: 2 },
        { expired: 1, purged: 1 },
      ])
      assert.deepEqual(swept.flatMap(({ purged }) => purged).sort(), done.sort())
    },

    'of racing sweeps each operation is swept by one': async test => {
      const running = await Promise.all(Array.from({ length: 10 }, () => test.run()))
      test.clock.advance(LEASE_MS)
      const swept = await Promise.all(Array.from({ length: 5 }, () => test.store.sweep(100)))
      assert.equal(
        swept.reduce((sum, { expired }) => sum + expired.length, 0),
        10,
      )
      for (const { id } of running) assert.equal((await test.read(id)).lost, 1)
    },
  },
}

/** A completed operation with a step and a log line. */
async function ended(test: StoreTest, parts: Parameters<StoreTest['run']>[0]): Promise<Operation> {
  const running = await test.run(parts)
  await test.store.appendNote(leaseOf(running), { kind: 'step', name: 'charge', value: '1' })
  await test.store.appendNote(leaseOf(running), { kind: 'log', level: 'info', message: 'one' })
  return await test.finish(running, OUTCOMES.completed)
}
