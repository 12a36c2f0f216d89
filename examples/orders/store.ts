import { sqliteStore } from 'waybill/sqlite'
import { fail, STORE } from './settings.ts'

/** The store that WAYBILL_STORE names, for the API and the job. */
export function openStore() {
  const [, path] = /^sqlite:(.+)$/.exec(STORE) ?? []
  return path ? sqliteStore({ path }) : fail(`WAYBILL_STORE=${STORE} cannot be used: set it to sqlite:<file>.`)
}
