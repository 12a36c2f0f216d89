import assert from 'node:assert/strict'
import { HOUR, idsOf, LEASE_MS, leaseOf, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

/** Stores reschedule a thousand at once. */
const MORE_THAN_A_BATCH = 1010

export const clockTests: StoreTests = {
  name: 'a clock that is set',
  tests: {
    'forward ends no lease whose holder lives, and those of the dead run out all the same': async test => {
      const [living, dead] = [await test.run(), await test.run()]
      await test.store.sweep(10)
      test.clock.step(2 * LEASE_MS)
      assert.equal((await test.store.sweep(10)).expired.length, 0)
      test.clock.advance(LEASE_MS / 3)
      assert.deepEqual(await test.store.renew([leaseOf(living)], LEASE_MS), [{ kind: 'held', cancelRequested: false }])
      assert.equal((await test.store.sweep(10)).expired.length, 0)
      test.clock.advance((2 * LEASE_MS) / 3)
      assert.equal((await test.store.sweep(10)).expired.length, 1)
      assert.deepEqual(await statuses(test, [living, dead]), ['running', 'pending'])
    },

    'forward delays nothing once its leases have been renewed': async test => {
      await test.run()
      await test.store.sweep(10)
      test.clock.step(HOUR)
      await test.store.sweep(10)
      test.clock.advance(2 * LEASE_MS)
      const late = await test.run()
      test.clock.advance(LEASE_MS)
      await test.store.sweep(10)
      assert.deepEqual(await statuses(test, [late]), ['pending'])
    },

    'back keeps no retry waiting for longer than its delay': async test => {
      await test.store.sweep(10)
      const { id } = await test.end({ ...OUTCOMES.retry, delayMs: 500 })
      test.clock.step(-HOUR)
      await test.store.sweep(10)
      assert.deepEqual(await test.claim(10), [])
      test.clock.advance(500)
      assert.deepEqual(idsOf(await test.claim(10)), [id])
    },

    'back keeps none of any number of retries waiting': async test => {
      for (let batch = 1; batch <= 10; batch++) await test.submitMany(MORE_THAN_A_BATCH / 10, { delay: 500 })
      test.clock.step(-HOUR)
      await test.store.sweep(10)
      test.clock.advance(500)
      assert.equal((await test.store.queueStats(TYPE)).depth, MORE_THAN_A_BATCH)
      assert.equal((await test.claim(100)).length, 100)
    },

    'back while no process ran is noticed by the first sweep, and a long delay stays as long': async test => {
      const { id } = await test.end({ ...OUTCOMES.retry, delayMs: 500 })
      const { id: late } = await test.submit({ delay: 24 * HOUR })
      test.clock.step(-HOUR)
      await test.store.sweep(10)
      test.clock.advance(500)
      assert.deepEqual(idsOf(await test.claim(10)), [id])
      test.clock.advance(24 * HOUR)
      assert.deepEqual(idsOf(await test.claim(10)), [late])
    },
  },
}

async function statuses(test: StoreTest, operations: readonly { readonly id: string }[]): Promise<string[]> {
  const found = await Promise.all(operations.map(({ id }) => test.read(id)))
  return found.map(({ status }) => status)
}
