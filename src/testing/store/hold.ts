import assert from 'node:assert/strict'
import type { Operation } from '../../operation.ts'
import type { Store } from '../../store.ts'
import { idsOf, LEASE_MS, leaseOf, OUTCOMES, type StoreTest, type StoreTests } from './context.ts'

const HELD = { kind: 'held', cancelRequested: false }

/** For stores in which a stranger can hold a record, or an idempotency key: no one waits for it but those who want the same. */
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
        return await store.note(leaseOf(operation), { kind: 'step', name: 'charge', value: '1' })
      })
    },

    'log lines of a held record keep their order': async test => {
      const [held] = await runMany(test, 1)
      const release = await test.hold.record(held.id)
      const lines = Array.from({ length: 20 }, (_, index) => String(index))
      const write = (message: string) => test.store.note(leaseOf(held), { kind: 'log', level: 'info', message })
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
      assert.equal((await test.store.sweep(10)).expired, others.length)
      await release()
      assert.equal((await test.store.sweep(10)).expired, 1)
    },

    'a claim passes over a held record': async test => {
      const [held, ...others] = await test.submitMany(5)
      const release = await test.hold.record(held?.id ?? '')
      assert.deepEqual(idsOf(await test.claim(10)), idsOf(others))
      await release()
      assert.deepEqual(idsOf(await test.claim(10)), [held?.id])
    },
  },
}

async function runMany(test: StoreTest, count: number): Promise<[Operation, ...Operation[]]> {
  await test.submitMany(count)
  const [first, ...rest] = (await test.claim(count)).map(({ operation }) => operation)
  assert.ok(first)
  return [first, ...rest]
}

/** One of many writes of a moment meets a held record: it alone is still under way when the others are done. */
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
