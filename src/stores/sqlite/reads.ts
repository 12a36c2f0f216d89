/** The statements that only read. They run on a connection of the event loop. */
import type { LogLine } from '../store.ts'
import { type Database, prepare, prepareArrays, type Row, type Statement } from './database.ts'
import type { ErrorRow } from './error-rows.ts'
import { HOLDER_NAME } from './holders.ts'
import { ID } from './keys.ts'
import { prepareRecords, RECORD_OF_ID, RECORD_WITH_OUTPUT, RECORDS, type RecordQuery } from './rows.ts'
import { STAMP_OF_ID, type Stamp } from './stamps.ts'

/** The rows of each read, except for reads of whole records. */
interface Selected {
  readonly holdings: Row
  readonly holdingsOf: Row
  readonly holders: { readonly holder: string }
  readonly children: { readonly id: string }
  readonly countChildren: { readonly ended: number | null; readonly count: number }
  readonly input: { readonly body: string }
  readonly output: { readonly body: string }
  readonly errors: ErrorRow
  readonly place: { readonly id: string; readonly number: number }
  readonly steps: { readonly name: string; readonly value: string }
  readonly logs: LogLine
  readonly ready: { readonly id: string; readonly at: number }
  readonly anyDue: unknown
  readonly readyAndDue: { readonly id: string; readonly at: number }
  readonly countReady: { readonly count: number }
  readonly countRunning: { readonly count: number }
  readonly durations: { readonly recent: string }
  readonly anyReady: unknown
}

/** Prepared reads. */
export type Reads = { readonly stamp: Statement<Stamp> } & {
  readonly [Name in keyof Selected]: Statement<Selected[Name]>
} & Readonly<Record<keyof typeof RECORD_READS, RecordQuery>>

// INDEXED BY names the index, because SQLite might choose one with which it reads far more rows than needed.
const RECORD_READS = {
  operation: RECORD_OF_ID,
  withOutput: RECORD_WITH_OUTPUT,
  byKey: `${RECORDS} WHERE type = ? AND owner = ? AND idempotency_key = ?`,
  list: `
    WITH asked (type, owner, before, most) AS (VALUES (?, ?, ?, ?))
    ${RECORDS} WHERE number IN (${['IS NULL', '= 2', '= 3', '= 4'].map(newestOf).join(' UNION ALL ')}
      ORDER BY number DESC LIMIT (SELECT most FROM asked))
    ORDER BY number DESC`,
  listEnded: `
    ${RECORDS} INDEXED BY operations_listed
    WHERE type = ? AND owner = ? AND ended = ? AND number < ? ORDER BY number DESC LIMIT ?`,
  listPending: `
    ${RECORDS} INDEXED BY operations_listed
    WHERE type = ? AND owner = ? AND ended IS NULL AND number < ? AND status = 0 ORDER BY number DESC LIMIT ?`,
  // Uses the index of leases, which has only as many rows as there are slots, however many operations are pending.
  listRunning: `
    ${RECORDS} INDEXED BY operations_leased
    WHERE type = ? AND owner = ? AND number < ? AND status = 1 ORDER BY number DESC LIMIT ?`,
  webhooksDue: `${RECORDS} WHERE webhook_due = 1 ORDER BY uuid LIMIT ?`,
  familyDue: `${RECORDS} WHERE family_due = 1 ORDER BY uuid LIMIT ?`,
} as const

/**
 * The index for lists is sorted by the status of ended operations first. So the newest of each status are merged, and
 * the merge ends with the page: of the other statuses it has then read one operation too many.
 */
function newestOf(ended: string): string {
  return `SELECT number FROM operations INDEXED BY operations_listed
    WHERE type = (SELECT type FROM asked) AND owner = (SELECT owner FROM asked) AND ended ${ended}
      AND number < (SELECT before FROM asked)`
}

const HOLDINGS = `SELECT uuid, ${ID} AS id, type, status, attempt, ${HOLDER_NAME} AS holder, execution, engine,
  cancel_requested FROM operations`

/** The number of the operation of an id. */
const NUMBER_OF_ID = '(SELECT number FROM operations WHERE uuid = ?)'

const READS = {
  holdings: `
    ${HOLDINGS} INDEXED BY operations_leased WHERE status = 1 AND uuid > ?
    UNION ALL ${HOLDINGS} INDEXED BY operations_launched WHERE status = 0 AND execution IS NOT NULL AND uuid > ?
    ORDER BY uuid LIMIT ?`,
  // Operations that have not begun have no holder.
  holdingsOf: `${HOLDINGS} INDEXED BY operations_leased WHERE status = 1 AND ${HOLDER_NAME} = ? AND uuid > ? ORDER BY uuid LIMIT ?`,
  holders: `SELECT DISTINCT ${HOLDER_NAME} AS holder FROM operations INDEXED BY operations_leased WHERE status = 1 AND holder IS NOT NULL`,
  children: `
    SELECT ${ID} AS id FROM operations INDEXED BY operations_children WHERE parent = ? AND ended IS ? AND uuid > ? ORDER BY uuid LIMIT ?`,
  countChildren: `
    SELECT ended, count(*) AS count FROM operations INDEXED BY operations_children WHERE parent = ? GROUP BY ended`,
  input: `SELECT body FROM inputs WHERE number = ${NUMBER_OF_ID}`,
  output: `SELECT body FROM outputs WHERE number = ${NUMBER_OF_ID}`,
  errors: `SELECT attempt, body FROM errors WHERE number = ${NUMBER_OF_ID} ORDER BY attempt`,
  // If the operation itself was deleted, the nearest earlier one is found.
  place: `SELECT ${ID} AS id, number FROM operations WHERE uuid <= ? ORDER BY uuid DESC LIMIT 1`,
  steps: `SELECT name, value FROM steps WHERE number = ${NUMBER_OF_ID}`,
  logs: `
    SELECT sequence, at, attempt, level, message FROM logs
    WHERE number = ${NUMBER_OF_ID} AND sequence > ? ORDER BY sequence LIMIT 1000`,
  ready: `
    SELECT ${ID} AS id, created_at AS at FROM operations INDEXED BY operations_ready
    WHERE type = ? AND status = 0 AND run_at IS NULL ORDER BY priority DESC, number LIMIT ?`,
  anyDue: `
    SELECT 1 FROM operations INDEXED BY operations_delayed WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1`,
  // An operation that has become due has no place in the queue before a claim gives it one. So ready and due operations
  // are read separately and merged, which takes three times as long as the ready ones alone.
  readyAndDue: `
    SELECT id, at FROM (
      SELECT * FROM (SELECT ${ID} AS id, priority, number, created_at AS at FROM operations
        WHERE type = ? AND status = 0 AND run_at IS NULL ORDER BY priority DESC, number LIMIT ?)
      UNION ALL
      SELECT * FROM (SELECT ${ID} AS id, priority, number, created_at AS at FROM operations
        WHERE type = ? AND status = 0 AND run_at <= ? ORDER BY run_at LIMIT ?))
    ORDER BY priority DESC, number LIMIT ?`,
  countReady: `
    SELECT count(*) AS count FROM (
      SELECT 1 FROM operations INDEXED BY operations_ready WHERE type = ? AND status = 0 AND run_at IS NULL
      UNION ALL SELECT 1 FROM operations INDEXED BY operations_delayed WHERE type = ? AND status = 0 AND run_at <= ? LIMIT ?)`,
  countRunning: `
    SELECT count(*) AS count FROM (
      SELECT 1 FROM operations INDEXED BY operations_leased WHERE status = 1 AND type = ? LIMIT ?)`,
  durations: 'SELECT recent FROM durations WHERE type = ?',
  anyReady: `
    SELECT 1 FROM operations INDEXED BY operations_ready WHERE type = ? AND status = 0 AND run_at IS NULL
    UNION ALL SELECT 1 FROM operations INDEXED BY operations_delayed WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1`,
} as const satisfies Record<keyof Selected, string>

/** Prepares every read on a connection. */
export function prepareReads(database: Database): Reads {
  const plain = Object.entries(READS).map(([name, sql]) => [name, prepare(database, sql)])
  const query = prepareRecords(database)
  const records = Object.entries(RECORD_READS).map(([name, sql]) => [name, query(sql)])
  const stamp = prepareArrays(database, STAMP_OF_ID)
  return Object.fromEntries([...plain, ...records, ['stamp', stamp]]) as Reads
}
