import assert from 'node:assert/strict'
import type { Operation } from '../../model/operation.ts'
import type { Submission } from '../../model/submission.ts'
import { type Acceptance, acceptedOperation, type Store } from '../../stores/store.ts'
import { idsOf, LEASE_MS, leaseOf, OUTCOMES, type StoreTest, type StoreTests, type TransactionEnd } from './context.ts'

const HELD = { kind: 'held', cancelRequested: false }

/**
 * For stores in which another program can lock a record or an idempotency key: only writes of the same record or key
 * wait for it.
 */
export const holdTests: StoreTests = {
  name: 'what someone else holds',
  tests: {
    'a renewal of a held record is busy, and those beside it are renewed': async test => {
      const [held, ...others] = await runMany(test, 30)
      const release = await test.hold.record(held.id)
      test.clock.advance(10_000)
      const [first, ...rest] = await test.store.renew([held, ...others].map(leaseOf), LEASE_MS)
      assert.deepEqual(first, { kind: 'busy' })
      assert.deepEqual(
        rest,
        others.map(() => HELD),
      )
      for (const { id } of others) assert.equal((await test.read(id)).leaseUntil, test.now + LEASE_MS)
      assert.deepEqual(await test.read(held.id), held)
      await release()
      assert.deepEqual(await test.store.renew([leaseOf(held)], LEASE_MS), [HELD])
    },

    'a renewal of a held record that the attempt has lost is lost': async test => {
      const [held] = await runMany(test, 1)
      const release = await test.hold.record(held.id)
      assert.deepEqual(await test.store.renew([{ id: held.id, attempt: 7 }], LEASE_MS), [{ kind: 'lost' }])
      await release()
    },

    'progress of a held record waits for it, and that of others does not': async test => {
      await assertOthersPass(test, ({ store }, { id, attempt }) =>
        store.change(id, { kind: 'progress', attempt, progress: { fraction: 0.5 } }),
      )
    },

    'an outcome of a held record waits for it, and that of others does not': async test => {
      await assertOthersPass(test, ({ store }, { id, attempt }) =>
        store.change(id, { kind: 'finish', attempt, outcome: OUTCOMES.completed }),
      )
    },

    'a step of a held record waits for it, and that of others does not': async test => {
      await assertOthersPass(test, async ({ store }, operation) => {
        return await store.appendNote(leaseOf(operation), { kind: 'step', name: 'charge', value: '1' })
      })
    },

    'log lines of a held record keep their order': async test => {
      const [held] = await runMany(test, 1)
      const release = await test.hold.record(held.id)
      const lines = Array.from({ length: 20 }, (_, index) => String(index))
      const write = (message: string) => test.store.appendNote(leaseOf(held), { kind: 'log', level: 'info', message })
      const first = lines.slice(0, 10).map(write)
      // By now those have met the held record.
      await test.run()
      const rest = lines.slice(10).map(write)
      await release()
      assert.ok((await Promise.all([...first, ...rest])).every(Boolean))
      assert.deepEqual(
        (await test.store.logs(held.id, 0)).map(({ message }) => message),
        lines,
      )
    },

    'a sweep leaves a held record for the next one, and ends the others': async test => {
      const [held, ...others] = await runMany(test, 5)
      const release = await test.hold.record(held.id)
      test.clock.advance(LEASE_MS)
      assert.equal((await test.store.sweep(10)).expired.length, others.length)
      await release()
      assert.equal((await test.store.sweep(10)).expired.length, 1)
    },

    'a claim passes over a held record': async test => {
      const [held, ...others] = await test.submitMany(5)
      const release = await test.hold.record(held?.id ?? '')
      assert.deepEqual(idsOf(await test.claim(10)), idsOf(others))
      await release()
      assert.deepEqual(idsOf(await test.claim(10)), [held?.id])
    },

    'a key that an open transaction holds delays its own submissions alone, and is known once that commits':
      async test => {
        for (const limits of [undefined, { inFlight: 1000, backlog: 1000 }]) {
          const { first, again } = await submitBesideTransaction(test, limits, 'COMMIT')
          assert.equal((await again).kind, 'known')
          assert.equal(acceptedOperation(await again).id, first)
        }
      },

    'a key that an open transaction holds is free once that is rolled back': async test => {
      for (const limits of [undefined, { inFlight: 1000, backlog: 1000 }]) {
        const { again } = await submitBesideTransaction(test, limits, 'ROLLBACK')
        assert.equal((await again).kind, 'accepted')
      }
    },

    'a key that is known stays known while an open transaction holds it': async test => {
      const known = await test.submit({ idempotencyKey: 'known' })
      const { transaction, end } = await test.hold.begin()
      const equal = () => test.submission({ idempotencyKey: 'known' })
      const answers = [await acceptWithin(test, equal(), transaction), await test.store.accept(equal())]
      await end('ROLLBACK')
      for (const answer of answers) assert.deepEqual(answer, { kind: 'known', operation: known })
    },
  },
}

/** Others, with keys and without, are accepted while one waits for the transaction that holds its key. */
async function submitBesideTransaction(
  test: StoreTest,
  limits: Submission['limits'],
  by: TransactionEnd,
): Promise<{ readonly first: string; readonly again: Promise<Acceptance> }> {
  const held = test.submission({ idempotencyKey: `held ${test.nextId()}`, limits })
  const { transaction, end } = await test.hold.begin()
  assert.equal((await acceptWithin(test, held, transaction)).kind, 'accepted')
  let settled = false
  const again = test.store.accept({ ...held, id: test.nextId() }).finally(() => {
    settled = true
  })
  const others = Array.from({ length: 20 }, (_, index) => {
    return test.submission({ idempotencyKey: index % 2 === 0 ? `free ${test.nextId()}` : null, limits })
  })
  const answers = await Promise.all(others.map(it => test.store.accept(it)))
  assert.ok(answers.every(({ kind }) => kind === 'accepted'))
  assert.equal(settled, false)
  await end(by)
  return { first: held.id, again }
}

async function acceptWithin({ store }: StoreTest, submission: Submission, transaction: unknown): Promise<Acceptance> {
  assert.ok(store.acceptWithin, 'The store can join a transaction.')
  return await store.acceptWithin(submission, transaction)
}

async function runMany(test: StoreTest, count: number): Promise<[Operation, ...Operation[]]> {
  await test.submitMany(count)
  const [first, ...rest] = (await test.claim(count)).map(({ operation }) => operation)
  assert.ok(first)
  return [first, ...rest]
}

/** One of many simultaneous writes meets a locked record: only that one is still pending when the others are done. */
async function assertOthersPass(
  test: StoreTest,
  write: (at: { readonly store: Store }, operation: Operation) => Promise<unknown>,
): Promise<void> {
  const [held, ...others] = await runMany(test, 20)
  const release = await test.hold.record(held.id)
  let settled = false
  const waiting = write(test, held).finally(() => {
    settled = true
  })
  assert.ok((await Promise.all(others.map(it => write(test, it)))).every(Boolean))
  assert.equal(settled, false)
  await release()
  assert.ok(await waiting)
}
