/**
 * For those who write an adapter: the suites that every store, every blob store and every launcher passes, and a clock that only moves
 * when it is told to. The suite runs in any test runner that has `describe` and `it`.
 *
 * @example
 * import { describe, it } from 'node:test'
 * import { storeConformance } from 'waybill/testing'
 *
 * storeConformance(
 *   {
 *     name: 'my store',
 *     open: async clock => {
 *       const store = myStore({ clock: clock.now })
 *       await store.open()
 *       return store
 *     },
 *   },
 *   { describe, it },
 * )
 */
export { type BlobStoreConformanceOptions, blobStoreConformance } from './blob-store-conformance.ts'
export { type LauncherConformanceOptions, type LauncherUnderTest, launcherConformance } from './launcher-conformance.ts'
export { type ManualClock, manualClock } from './manual-clock.ts'
export type { StoreHolds } from './store-conformance/context.ts'
export {
  type ConformanceSkip,
  type StoreConformanceOptions,
  storeConformance,
  type TestFunctions,
} from './store-conformance/store-conformance.ts'
