/** The statements that the writer runs on its connection. */
import { type Database, prepare } from './database.ts'
import { prepareDeleteBeside, prepareRestore } from './dumps.ts'
import { ID } from './keys.ts'
import { INSERT, prepareRecords, RECORD_OF_ID, RECORDS } from './rows.ts'
import { ENDS, ENDS_BY } from './schema.ts'

/** An operation whose payloads, or after those its record, must be deleted. */
export interface PurgeableRow {
  readonly number: number
  readonly id: string
  readonly purged: number
  readonly retention: number
}

/** Prepared statements, by name. */
export type WriteStatements = ReturnType<typeof prepareWrites>

/** Prepares every statement that the writer executes, except for the updates of whole records: see `RecordUpdates`. */
export function prepareWrites(database: Database) {
  const sql = <Selected = unknown>(text: string) => prepare<Selected>(database, text)
  const query = prepareRecords(database)
  const records = (text: string) => query(`${RECORDS} ${text}`)
  return {
    begin: sql('BEGIN IMMEDIATE'),
    commit: sql('COMMIT'),
    insert: sql(INSERT),
    // Leases are renewed often, so this does not read whole records.
    extend: sql<{ canceled: number }>(`
      UPDATE operations SET lease_until = ? WHERE uuid = ? AND status = 1 AND attempt = ?
      RETURNING cancel_requested AS canceled`),
    owned: sql<{ number: number }>('SELECT number FROM operations WHERE uuid = ? AND status = 1 AND attempt = ?'),
    read: query(RECORD_OF_ID),
    byKey: records('WHERE type = ? AND owner = ? AND idempotency_key = ?'),
    input: sql<{ body: string }>('SELECT body FROM inputs WHERE number = ?'),
    putInput: sql('INSERT OR REPLACE INTO inputs (number, body) VALUES (?, ?)'),
    putOutput: sql('INSERT OR REPLACE INTO outputs (number, body) VALUES (?, ?)'),
    putError: sql('INSERT OR REPLACE INTO errors (number, attempt, body) VALUES (?, ?, ?)'),
    durations: sql<{ recent: string }>('SELECT recent FROM durations WHERE type = ?'),
    putDurations: sql('INSERT OR REPLACE INTO durations (type, recent) VALUES (?, ?)'),
    putStep: sql('INSERT INTO steps (number, name, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING'),
    putLog: sql(`
      INSERT INTO logs (number, sequence, at, attempt, level, message)
      SELECT ?, 1 + coalesce((SELECT max(sequence) FROM logs WHERE number = ?), 0), ?, ?, ?, ?
      WHERE coalesce((SELECT max(sequence) FROM logs WHERE number = ?), 0) < ?`),
    anyDue: sql('SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1'),
    promote: sql(`
      UPDATE operations SET run_at = NULL WHERE number IN (
        SELECT number FROM operations WHERE type = ? AND status = 0 AND run_at <= ? ORDER BY run_at LIMIT ?)`),
    ready: records(`
      WHERE type = ? AND status = 0 AND run_at IS NULL AND (start_by IS NULL OR start_by > ? OR attempt > 0)
      AND (deadline IS NULL OR deadline > ?)
      ORDER BY priority DESC, number LIMIT ?`),
    lapsed: records('WHERE status = 1 AND lease_until <= ? ORDER BY lease_until LIMIT ?'),
    ahead: records(`
      INDEXED BY operations_delayed
      WHERE status = 0 AND run_at IS NOT NULL AND created_at + updated_after > ? LIMIT ?`),
    late: records(`INDEXED BY operations_ends_by WHERE ${ENDS} AND ${ENDS_BY} <= ? ORDER BY ${ENDS_BY} LIMIT ?`),
    purgeable: sql<PurgeableRow>(`
      SELECT number, ${ID} AS id, purged, retention FROM operations
      WHERE purge_at IS NOT NULL AND purge_at <= ? ORDER BY purge_at LIMIT ?`),
    entomb: sql('UPDATE operations SET purged = 1, idempotency_key = NULL, tags = NULL, purge_at = ? WHERE number = ?'),
    retried: sql('UPDATE operations SET retried_by = ? WHERE number = ?'),
    familyTold: sql('UPDATE operations SET family_due = 0 WHERE number = ?'),
    webhookAccepted: sql('UPDATE operations SET webhook_due = 0 WHERE number = ?'),
    deleteOperation: sql('DELETE FROM operations WHERE number = ?'),
    restore: prepareRestore(database),
    check: sql("INSERT OR REPLACE INTO meta (key, value) VALUES ('checked_at', ?)"),
    deleteBeside: prepareDeleteBeside(database),
    deleteHolders: sql(`
      DELETE FROM holders WHERE until <= ? AND NOT EXISTS (
        SELECT 1 FROM operations INDEXED BY operations_leased WHERE status = 1 AND holder = holders.number)`),
  }
}
