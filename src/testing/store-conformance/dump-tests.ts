import assert from 'node:assert/strict'
import type { Operation } from '../../model/operation.ts'
import type { Dump } from '../../stores/store.ts'
import { DAY, HOUR, idsOf, LEASE_MS, leaseOf, OUTCOMES, type StoreTest, type StoreTests, THROWN } from './context.ts'

const webhookUrl = 'https://hooks.example/ü?a=1'

/** Dumps as they are compared: the order of steps is left to the store. */
const seen = (dumps: readonly Dump[]) => dumps.map(it => ({ ...it, steps: [...it.steps].sort() }))

export const dumpTests: StoreTests = {
  name: 'dump and restore',
  tests: {
    'dumps all that is kept of an operation': async test => {
      const running = await test.run({ idempotencyKey: 'k', owner: 'ann', input: '{"a": [1, "ü\\u0000"]}' })
      await keepNotes(test, running)
      const operation = await test.finish(running, OUTCOMES.completed)
      assert.deepEqual(seen(await test.store.dump(undefined, 10)), [
        {
          operation,
          input: '{"a": [1, "ü\\u0000"]}',
          output: OUTCOMES.completed.output,
          steps: [
            ['', '""'],
            ['charge', '{"a":"ü"}'],
          ],
          logs: await test.store.logs(operation.id, 0),
          errors: [],
          purgeAt: operation.expiresAt,
        },
      ])
      assert.equal((await test.store.logs(operation.id, 0)).length, 30)
    },

    'dumps page by page, in the order of the ids': async test => {
      const ids = idsOf(await test.submitMany(7))
      assert.deepEqual(dumpedIds(await test.store.dump(undefined, 3)), ids.slice(0, 3))
      assert.deepEqual(dumpedIds(await test.store.dump(ids[2], 3)), ids.slice(3, 6))
      assert.deepEqual(dumpedIds(await test.store.dump(ids[5], 3)), ids.slice(6))
      assert.deepEqual(await test.store.dump(ids[6], 3), [])
    },

    'what is changed after a dump is as it was once it is restored': async test => {
      await inEveryState(test)
      const before = await test.store.dump(undefined, 100)
      test.clock.advance(1000)
      for (const { id } of (await test.store.browse({ limit: 100 })).operations) {
        await test.store.change(id, { kind: 'cancel' })
      }
      test.clock.advance(LEASE_MS)
      await test.store.sweep(100)
      assert.notDeepEqual(seen(await test.store.dump(undefined, 100)), seen(before))
      await test.store.restore(before)
      assert.deepEqual(seen(await test.store.dump(undefined, 100)), seen(before))
      await test.store.restore(before)
      assert.deepEqual(seen(await test.store.dump(undefined, 100)), seen(before))
    },

    'what is gone is there again once it is restored, and goes on': async test => {
      const { done, pending } = await inEveryState(test)
      const before = await test.store.dump(undefined, 100)
      await purgeAll(test)
      assert.deepEqual(await test.store.dump(undefined, 100), [])
      await test.store.restore(before)
      assert.deepEqual(seen(await test.store.dump(undefined, 100)), seen(before))
      assert.equal(await test.store.readPayload(done.id, 'output'), OUTCOMES.completed.output)
      assert.deepEqual(await test.store.findByKey(done.type, done.owner, 'k'), done)
      assert.deepEqual(idsOf(await test.store.webhooksDue(10)), [done.id])
      assert.deepEqual(idsOf(await test.claim(1)), [pending.id])
    },

    'a tombstone goes when its time has come, and not before': async test => {
      const { id } = await test.end(OUTCOMES.completed, { retention: HOUR })
      test.clock.advance(HOUR)
      await test.store.sweep(100)
      const before = await test.store.dump(undefined, 100)
      await test.store.restore(before)
      assert.deepEqual(seen(await test.store.dump(undefined, 100)), seen(before))
      test.clock.advance(DAY - 1)
      await test.store.sweep(100)
      assert.equal((await test.read(id)).purged, true)
      test.clock.advance(1)
      await test.store.sweep(100)
      assert.equal(await test.store.read(id), undefined)
    },

    'a key that belongs to another operation stays its own': async test => {
      const old = await test.end(OUTCOMES.completed, { idempotencyKey: 'k', retention: HOUR })
      const before = await test.store.dump(undefined, 100)
      test.clock.advance(HOUR)
      await test.store.sweep(100)
      const { id } = await test.submit({ idempotencyKey: 'k' })
      await assert.rejects(test.store.restore(before))
      assert.equal((await test.store.findByKey(old.type, old.owner, 'k'))?.id, id)
    },

    'restores nothing where nothing is given': async test => {
      await test.store.restore([])
      assert.deepEqual(await test.store.dump(undefined, 100), [])
    },
  },
}

function dumpedIds(dumps: readonly Dump[]): string[] {
  return dumps.map(({ operation }) => operation.id)
}

/** Two steps, and more log lines than any store keeps in one place. */
async function keepNotes(test: StoreTest, running: Operation): Promise<void> {
  const lease = leaseOf(running)
  await test.store.appendNote(lease, { kind: 'step', name: 'charge', value: '{"a":"ü"}' })
  await test.store.appendNote(lease, { kind: 'step', name: '', value: '""' })
  for (let line = 1; line <= 30; line++) {
    await test.store.appendNote(lease, { kind: 'log', level: 'info', message: `“line” ${line}` })
  }
}

/** An operation in each state, with all that can belong to it. */
async function inEveryState(test: StoreTest) {
  const large = JSON.stringify('x'.repeat(10_000))
  const noted = await test.run({ idempotencyKey: 'k', webhookUrl, input: large, owner: 'ann' })
  await keepNotes(test, noted)
  const done = await test.finish(noted, OUTCOMES.completed)
  const pending = await test.submit({
    startWithin: 365 * DAY,
    endWithin: 366 * DAY,
    traceparent: '00-1',
    fingerprint: 'f',
  })
  await test.submit({ delay: HOUR, priority: -3 })
  const { id } = await test.submit({ maxAttempts: 2 })
  await test.finish(await test.claimOne(id, { execution: 'job-1', engine: 'jobs' }), {
    ...OUTCOMES.retry,
    delayMs: 0,
    error: THROWN,
  })
  const running = await test.claimOne(id, { execution: 'job-2', engine: 'jobs' })
  await test.change(running.id, { kind: 'progress', attempt: 2, progress: { fraction: 0.5, message: 'half' } })
  await test.end(OUTCOMES.retry, { idempotencyKey: 'l' })
  const failed = await test.end({ ...OUTCOMES.failed, error: THROWN }, { tags: { customer: 'Ada “L”' } })
  const retry = await test.submit({ retryOf: failed.id })
  await test.change(failed.id, { kind: 'retried', by: retry.id })
  await test.store.purge((await test.end(OUTCOMES.failed)).id)
  return { done, pending }
}

/** Ends everything, and has it deleted, record and all. */
async function purgeAll(test: StoreTest): Promise<void> {
  for (const { id, status, attempt } of (await test.store.browse({ limit: 100 })).operations) {
    if (status === 'running') await test.store.change(id, { kind: 'finish', attempt, outcome: OUTCOMES.failed })
    await test.store.change(id, { kind: 'cancel' })
    await test.store.change(id, { kind: 'webhook-accepted' })
  }
  for (let time = 0; time < 2; time++) {
    test.clock.advance(30 * DAY)
    await test.store.sweep(100)
  }
}
