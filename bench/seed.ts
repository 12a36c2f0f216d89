/** Stores that hold very many operations, which no program has run: they are written as they would be left. */
import { DatabaseSync } from 'node:sqlite'
import type { Pool } from 'pg'

const COLUMNS = `id, type, owner, status, version, priority, created_at, updated_at, started_at, finished_at, attempt,
  released, lost, max_attempts, max_lost, retention, launches, error, tags`
const ERROR =
  '{"type":"urn:problem-type:waybill:operation-failed","title":"Failed","status":500,"code":"operation-failed"}'

/** One operation each two and a half seconds: those of the last hour are some of them. */
const STEP_MS = 2500

/** The id of an operation, counted from the newest. */
export function idOf(number: number, now: number): string {
  const hex = (now - number * STEP_MS).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(number).padStart(12, '0')}`
}

/** Fills a file that a store has made. */
export function seedSqlite(path: string, count: number, now: number): void {
  const database = new DatabaseSync(path)
  database.exec('BEGIN')
  database.exec(`
    INSERT INTO operations (${COLUMNS}, ended, cancel_requested, webhook_due)
    WITH RECURSIVE n (i) AS (SELECT ${count} UNION ALL SELECT i - 1 FROM n WHERE i > 1),
    made AS (SELECT i, ${now} - i * ${STEP_MS} AS at, CASE WHEN i % 100 = 0 THEN 3 ELSE 2 END AS status FROM n)
    SELECT substr(printf('%012x', at), 1, 8) || '-' || substr(printf('%012x', at), 9) || printf('-7000-8000-%012d', i),
      'orders', 'owner-' || (i % 1000), status, 3, 0, at, at + 900, at + 100, at + 900, 1, 0, 0, 3, 10, 2592000000, 0,
      CASE status WHEN 3 THEN '${ERROR}' END, '{"customer":"C' || (i % 5000) || '"}', status, 0, 0 FROM made`)
  database.exec(
    `INSERT INTO inputs (number, body) SELECT number, '{"customer":"Contoso","items":[{"name":"Apple"}]}' FROM operations`,
  )
  database.exec('COMMIT')
  database.close()
}

/** Fills a schema that a store has made. */
export async function seedPostgres(pool: Pool, count: number, now: number): Promise<void> {
  await pool.query(`
    INSERT INTO waybill.operations (${COLUMNS})
    SELECT (lpad(to_hex(at), 12, '0') || '70008000' || lpad(i::text, 12, '0'))::uuid, 'orders', 'owner-' || (i % 1000),
      status, 3, 0, at, at + 900, at + 100, at + 900, 1, 0, 0, 3, 10, 2592000000, 0,
      CASE status WHEN 3 THEN '${ERROR}' END, '{"customer":"C' || (i % 5000) || '"}'
    FROM (SELECT i, ${now} - i::bigint * ${STEP_MS} AS at, CASE WHEN i % 100 = 0 THEN 3 ELSE 2 END AS status
      FROM generate_series(${count}, 1, -1) AS i) AS made`)
  await pool.query(`
    INSERT INTO waybill.payloads (id, kind, body)
    SELECT id, 0, '{"customer":"Contoso","items":[{"name":"Apple"}]}' FROM waybill.operations`)
  await pool.query('VACUUM ANALYZE waybill.operations, waybill.payloads')
}
