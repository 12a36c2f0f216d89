/** A process on Cosmos DB in which nothing happens, while each look is paid for. */
import { afterEach, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { manualClock } from 'waybill/testing'
import type { Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import { faultyStore, test, until } from '../../support/waybill.ts'

const account = cosmosAccount()
const orders = defineOperation({ name: 'orders' })
const HOUR_MS = 3_600_000
/** What is looked for again and again, beside what there is to claim. */
const LOOKS: readonly (keyof Store)[] = ['sweep', 'holders']

afterEach(() => account.closeStores())

test('sweeps pause while nothing happens, and resume afterwards; claims never pause', async ({ lab }) => {
  const clock = manualClock()
  const { store, calls } = faultyStore(await account.store(account.container(), { monotonicClock: clock.monotonic }))
  const count = (name: keyof Store) => calls.get(name) ?? 0
  const waybill = await lab.waybill([orders], {
    store,
    worker: { handlers: [handler(orders, () => 'done')], pollInterval: 20 },
    sweepInterval: 50,
  })
  await until(() => count('sweep') > 3)
  clock.advance(HOUR_MS)
  // The next look finds that nothing has happened for long.
  const [sweeps, claims] = [count('sweep'), count('claim')]
  await until(() => count('claim') > claims + 40)
  for (const name of LOOKS) expect(count(name) - sweeps, name).toBeLessThanOrEqual(2)
  await waybill.operations.submit(orders, { input: 1 })
  await until(() => count('sweep') > sweeps + 6)
})
