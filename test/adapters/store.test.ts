/** A store written outside of src, with what `waybill/adapters` exports. */
import { describe, expect, it } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { storeConformance } from 'waybill/testing'
import { reportSlowCalls } from '../fixtures/adapters/store.ts'
import { onlyLong } from '../support/length.ts'

const open = async (clock: { now: () => number; monotonic: () => number }) => {
  const inner = sqliteStore({ path: ':memory:', clock: clock.now, monotonicClock: clock.monotonic })
  const store = reportSlowCalls(inner, 10_000, () => {})
  await store.open()
  return store
}

onlyLong(() => {
  storeConformance({ name: 'a store of your own', open }, { describe, it })
})()

it('the store reports slow calls', async () => {
  const reported: string[] = []
  const store = reportSlowCalls(sqliteStore({ path: ':memory:' }), -1, call => reported.push(call))
  await store.open()
  expect(await store.read('01890a5d-ac96-774b-bcce-b302099a8057')).toBeUndefined()
  await store.close()
  expect(reported).toEqual(['read'])
})
