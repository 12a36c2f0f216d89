/** The statements that only read, on a connection of the event loop. */
import type { Database, Statement } from './database.ts'

/** Prepared reads. */
export type Reads = Readonly<Record<keyof typeof READS, Statement>>

const READS = {
  operation: 'SELECT * FROM operations WHERE id = ?',
  payload: 'SELECT body FROM payloads WHERE id = ? AND kind = ?',
  steps: 'SELECT name, value FROM steps WHERE id = ?',
  logs: 'SELECT sequence, at, attempt, level, message FROM logs WHERE id = ? AND sequence > ? ORDER BY sequence LIMIT 1000',
  list: 'SELECT * FROM operations WHERE type = ? AND owner = ? AND id < ? ORDER BY id DESC LIMIT ?',
  listByStatus:
    'SELECT * FROM operations WHERE type = ? AND owner = ? AND id < ? AND status = ? ORDER BY id DESC LIMIT ?',
  // What is due has no place in the queue before a claim gives it one, so the two are read apart and merged.
  ready: `
    SELECT id, created_at AS at FROM (
      SELECT * FROM (SELECT id, priority, created_at FROM operations
        WHERE type = ? AND status = 0 AND run_at IS NULL ORDER BY priority DESC, id LIMIT ?)
      UNION ALL
      SELECT * FROM (SELECT id, priority, created_at FROM operations
        WHERE type = ? AND status = 0 AND run_at <= ? ORDER BY run_at LIMIT ?))
    ORDER BY priority DESC, id LIMIT ?`,
  countReady: `
    SELECT count(*) AS count FROM (
      SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at IS NULL
      UNION ALL SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT ?)`,
  countRunning: 'SELECT count(*) AS count FROM (SELECT 1 FROM operations WHERE status = 1 AND type = ? LIMIT ?)',
  durations: 'SELECT ms FROM durations WHERE type = ? ORDER BY slot DESC',
  anyReady: `
    SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at IS NULL
    UNION ALL SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1`,
  unfinished:
    'SELECT count(*) AS count FROM (SELECT 1 FROM operations WHERE type = ? AND owner = ? AND status < 2 LIMIT ?)',
  webhooksDue: 'SELECT * FROM operations WHERE webhook_due = 1 ORDER BY id LIMIT ?',
  holdings: `
    SELECT * FROM operations WHERE status = 1
    UNION ALL SELECT * FROM operations WHERE status = 0 AND execution IS NOT NULL LIMIT ?`,
} as const

/** Prepares every read on a connection. */
export function prepareReads(database: Database): Reads {
  const entries = Object.entries(READS).map(([name, sql]) => [name, database.prepare(sql)])
  return Object.fromEntries(entries) as Reads
}
