/** Reads that name an earlier record: they must see every change that a client could see. */
import assert from 'node:assert/strict'
import type { Operation } from '../../model/operation.ts'
import { CLAIM_BY, DAY, HOUR, numberedId, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

/** The record as it is, read both ways. */
async function readBothWays(test: StoreTest, known: Operation): Promise<Operation> {
  const plain = await test.read(known.id)
  assert.deepEqual(withoutLease(await test.store.read(known.id, known)), withoutLease(plain))
  return plain
}

function withoutLease(operation: Operation | undefined): unknown {
  return operation && { ...operation, leaseUntil: null }
}

export const knownTests: StoreTests = {
  name: 'reads of known records',
  tests: {
    'a read sees each change since the record that it names': async test => {
      const { store } = test
      let known = await test.submit()
      const { id } = known
      const see = async () => {
        known = await readBothWays(test, known)
      }
      await see()
      await test.claimOne(id)
      await see()
      assert.equal(known.status, 'running')
      // Two changes at the same time of the clock.
      for (const fraction of [0.2, 0.4]) {
        await test.change(id, { kind: 'progress', attempt: 1, progress: { fraction } })
        await see()
        assert.equal(known.progress?.fraction, fraction)
      }
      await test.finish(known, { ...OUTCOMES.retry, delayMs: 0 })
      await see()
      const again = await test.claimOne(id)
      await see()
      await test.change(id, { kind: 'cancel' })
      await see()
      assert.equal(known.cancelRequested, true)
      await test.finish(again, OUTCOMES.canceled)
      await see()
      const retry = await test.submit({ retryOf: id })
      await store.change(id, { kind: 'retried', by: retry.id })
      await see()
      assert.equal(known.retriedBy, retry.id)
      await store.purge(id)
      await see()
      assert.equal(known.purged, true)
    },

    'a read sees that the time of a delayed operation has come': async test => {
      const known = await test.submit({ delay: HOUR })
      assert.deepEqual(await readBothWays(test, known), known)
      test.clock.advance(HOUR)
      // The claim may give it a place in the queue, although it takes another operation.
      const other = await test.submit({ priority: 9 })
      const [claim] = await test.claim(1, TYPE)
      assert.equal(claim?.operation.id, other.id)
      await readBothWays(test, known)
    },

    'a read sees the changes that make no new version: of launches, executions and children': async test => {
      const { store } = test
      let known = await test.submit()
      const { id } = known
      const see = async () => {
        known = await readBothWays(test, known)
      }
      // The first refusal puts it off until the same time as its start did.
      const holdMs = 60_000
      await store.reserveForLaunch({ types: [TYPE], limit: 1, holdMs })
      await see()
      await test.change(id, { kind: 'launch-refused', launch: 1, delayMs: holdMs })
      await see()
      assert.equal(known.launches, 0)
      test.clock.advance(holdMs)
      await store.reserveForLaunch({ types: [TYPE], limit: 1, holdMs })
      await see()
      await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
      await see()
      assert.equal(known.execution, 'job-1')
      await test.claimOne(id)
      await see()
      await test.change(id, { kind: 'has-children', attempt: 1 })
      await see()
      assert.notEqual(known.waits, null)
    },

    'a read sees the end of an operation whose lease was renewed in between': async test => {
      const known = await test.run()
      test.clock.advance(1000)
      await test.store.renew([{ id: known.id, attempt: 1 }], CLAIM_BY.leaseMs)
      await readBothWays(test, known)
      await test.finish(known, OUTCOMES.completed)
      assert.equal((await readBothWays(test, known)).status, 'completed')
    },

    'a read sees that a restore has put another record in its place': async test => {
      const pending = await test.submit()
      const [dump] = await test.store.dump(undefined, 1)
      assert.ok(dump)
      const claimed = await test.claimOne(pending.id)
      await test.store.restore([dump])
      assert.equal((await readBothWays(test, claimed)).status, 'pending')
      test.clock.advance(1)
      const later = await test.claimOne(pending.id, { holder: 'host/2/b' })
      assert.equal(later.version, claimed.version)
      assert.equal((await readBothWays(test, claimed)).holder, 'host/2/b')
    },

    'a read finds nothing where the operation is deleted, or never was': async test => {
      const known = await test.end(OUTCOMES.completed, { retention: DAY })
      for (let round = 0; round < 2; round++) {
        test.clock.advance(DAY)
        await test.store.sweep(100)
      }
      assert.equal(await test.store.read(known.id, known), undefined)
      const never = { ...known, id: numberedId(99), status: 'pending' } as const
      assert.equal(await test.store.read(never.id, never), undefined)
    },

    'reads of one moment, with and without a known record, get their own answers': async test => {
      const known = await test.submitMany(3)
      const [first, second, third] = known
      assert.ok(first && second && third)
      await test.claimOne(second.id)
      const asked = [first, second, third, first, second]
      const answers = await Promise.all([
        ...asked.map(it => test.store.read(it.id, it)),
        ...asked.map(it => test.store.read(it.id)),
        test.store.read(numberedId(99)),
      ])
      assert.deepEqual(
        answers.map(it => it?.status),
        [...STATUSES_ASKED, ...STATUSES_ASKED, undefined],
      )
      assert.deepEqual(
        answers.map(it => it?.id).slice(0, 5),
        asked.map(({ id }) => id),
      )
    },
  },
}

const STATUSES_ASKED = ['pending', 'running', 'pending', 'pending', 'running']
