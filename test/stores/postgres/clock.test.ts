import { expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { testDatabase } from '../../support/postgres.ts'

const database = testDatabase()

it('the store sweeps after a step of the clock, with fractions of milliseconds', async () => {
  let [now, monotonic] = [Date.UTC(2026, 0, 1), 0.25]
  const options = { schema: database.nextSchema(), clock: () => now, monotonicClock: () => monotonic }
  const store = postgresStore(database.pool(), options)
  await store.open()
  await store.sweep(10)
  now += 60_000
  monotonic += 100 / 3
  expect(await store.sweep(10)).toEqual({ expired: [], purged: [] })
  await store.close()
})
