/**
 * For your own tests: `runHandler` runs one handler once, `testWaybill` starts a whole Waybill in memory with a clock that the
 * test moves. For those who write an adapter: the suites that every store, blob store and launcher passes, in any test
 * runner that has `describe` and `it`.
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
export { type HandlerRun, type MediaResult, type RunHandlerOptions, runHandler } from './run-handler.ts'
export type { StoreHolds } from './store-conformance/context.ts'
export {
  type ConformanceSkip,
  type StoreConformanceOptions,
  storeConformance,
  type TestFunctions,
} from './store-conformance/store-conformance.ts'
export {
  type StoreCall,
  type TestOperation,
  type TestWaybill,
  type TestWaybillOptions,
  testWaybill,
} from './test-waybill.ts'
