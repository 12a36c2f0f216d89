import { type StoreUrlOptions, storeFromUrl } from 'waybill/from-url'
import { fail, STORE } from './settings.ts'

/** The store that WAYBILL_STORE names, for the API and the job: `sqlite:<file>`, `postgres://…` or `cosmos:https://…`. */
export function openStore(options: StoreUrlOptions = {}) {
  return storeFromUrl(STORE, options).catch((error: Error) => fail(`WAYBILL_STORE cannot be used: ${error.message}`))
}
