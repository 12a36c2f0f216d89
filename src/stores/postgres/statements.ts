/**
 * Every statement, written for one schema. Rules:
 * - `$1` is the time of a clock that replaces the server's, or null.
 * - Rows are chosen as `= ANY (ARRAY (…))`, for which the planner always uses the key. It cannot know how many rows a
 *   subquery returns, and would read all operations if it expects many.
 * - A statement that changes several rows locks them in the order of their ids, so that two statements cannot deadlock.
 */

import { SET_BACK_MS } from '../../model/state-machine.ts'
import { LOG_LIMIT, QUEUE_COUNT_LIMIT, QUEUE_READY_LIMIT } from '../store.ts'
import { accepts } from './accept-statements.ts'
import type { Statement } from './connections.ts'
import { DURATIONS_KEPT } from './durations.ts'
import { listedIds, unfinishedIds } from './listed.ts'
import { channelOf, quoteText, unquoted } from './names.ts'
import { idsOf, outputOf, recordOf } from './rows.ts'
import { endsBySql, endsSql } from './schema.ts'
import { CLOCK, IMPATIENT_CLOCK } from './statement-clock.ts'
import { takes } from './take-statements.ts'
import { locked, skipped, writes } from './write-statements.ts'

/** The statements, by name. */
export type Statements = Readonly<Record<StatementName, Statement>>
export type StatementName = keyof ReturnType<typeof texts>

const DAY = 86_400_000
/** The most operations that are rescheduled at once. */
const RESCHEDULED_LIMIT = 1000
/** The most operations that are found again after a claim without an answer. */
const FOUND_AGAIN_LIMIT = 10_000

/** The columns of a holding, in the order in which they are read. */
const HOLDING = 'id, type, status, attempt, holder, execution, engine, cancel_requested'

/**
 * Writes the statements for a schema.
 *
 * @param schema its name, quoted
 */
export function statementsFor(schema: string): Statements {
  const entries = Object.entries(texts(schema)).map(([name, text]) => [name, { name: nameOf(schema, name), text }])
  return Object.fromEntries(entries) as Statements
}

/**
 * Prepared statements live as long as their connection, which stores of other schemas may share. PostgreSQL compares
 * the first 63 bytes of their names: up to 48 are the schema's, as long as its quotes are not doubled, and up to 14 the
 * statement's.
 */
function nameOf(schema: string, name: string): string {
  return `${unquoted(schema)}/${name}`
}

function texts(schema: string) {
  const operations = `${schema}.operations`
  const channel = quoteText(channelOf(unquoted(schema)))
  const records = `SELECT ${recordOf('o')} FROM ${operations} o`
  return {
    ...reads(schema, operations, records),
    ...lists(operations),
    ...queueReads(schema, operations),
    ...takes(schema, operations, channel),
    ...accepts(schema, operations, channel),
    ...writes(schema, operations, channel),
    ...notes(schema, operations),
    ...sweeps(schema, operations),
    notify: 'SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message',
    noteDurations: `
      INSERT INTO ${schema}.durations (type, ms)
      SELECT type, ms FROM json_to_recordset($1::json) AS given (type text, ms bigint[])`,
    // No operation type has this name; the sweep deletes these rows like the others.
    check: `INSERT INTO ${schema}.durations (type, ms) VALUES ('', '{}')`,
  } as const
}

/**
 * Selects all that runs, in the order of its index, and with a limit: of one that it does not know, the planner believes
 * that it leaves a tenth. So it does not read the index as a bitmap. That would pass all entries that ended operations
 * have left there since the last vacuum, each time; reading in order marks them, and passes each of them once.
 */
function runningOf(operations: string, columns: string): string {
  return `SELECT ${columns} FROM ${operations} WHERE status = 1 ORDER BY type, owner, id LIMIT (SELECT NULL::bigint)`
}

function reads(schema: string, operations: string, records: string) {
  return {
    read: `${records} WHERE o.id = ANY (${idsOf('$1')})`,
    readWithOutput: `
      SELECT ${recordOf('o')}, ${outputOf(schema, 'o')} FROM ${operations} o WHERE o.id = ANY (${idsOf('$1')})`,
    byKey: `${records} WHERE o.type = $1 AND o.owner = $2 AND o.idempotency_key = $3`,
    inputs: `SELECT id, body FROM ${schema}.payloads WHERE id = ANY (${idsOf('$1')}) AND kind = 0`,
    errors: `SELECT kind - 1, body FROM ${schema}.payloads WHERE id = $1 AND kind > 1 ORDER BY kind`,
    steps: `SELECT name, value FROM ${schema}.steps WHERE id = $1`,
    logs: `
      SELECT sequence, at, attempt, level, message FROM ${schema}.logs
      WHERE id = $1 AND sequence > $2 ORDER BY sequence LIMIT ${LOG_LIMIT}`,
    webhooksDue: `${records} WHERE o.webhook_due ORDER BY o.id LIMIT $1`,
    familyDue: `${records} WHERE o.family_due ORDER BY o.id LIMIT $1`,
    children: `
      SELECT id FROM ${operations} WHERE parent = $1 AND status = ANY ($2::smallint[]) AND id > $3::uuid
      ORDER BY id LIMIT $4`,
    countChildren: `SELECT status, count(*) FROM ${operations} WHERE parent = $1 GROUP BY status`,
    heldBy: `
      SELECT id, attempt FROM ${operations} WHERE status = 1 AND holder = $1 AND attempt_started_at > $2::bigint
      ORDER BY type, owner, id LIMIT ${FOUND_AGAIN_LIMIT}`,
    // Materialized, so that the planner cannot choose to read all operations in the order of their ids.
    holdings: `
      WITH held AS MATERIALIZED (
        SELECT ${HOLDING} FROM (${runningOf(operations, HOLDING)}) AS running WHERE $1::text IS NULL OR holder = $1
        UNION ALL
        SELECT ${HOLDING} FROM ${operations} WHERE status = 0 AND execution IS NOT NULL AND $1::text IS NULL)
      SELECT * FROM held WHERE id > $2::uuid ORDER BY id LIMIT $3`,
    holders: `SELECT DISTINCT holder FROM (${runningOf(operations, 'holder')}) AS running WHERE holder IS NOT NULL`,
  } as const
}

/** The page is found by its ids alone, and only its records are read. */
function lists(operations: string) {
  const ids = listedIds(operations, { type: '$1', owner: '$2', before: '$3', limit: '$4', statuses: '$5::smallint[]' })
  const asked = { type: 'asked.type', owner: 'asked.owner', before: '$3', limit: '$4' }
  const waiting = unfinishedIds(operations, 0, asked)
  return {
    list: `
      SELECT ${recordOf('o')} FROM ${operations} o
      WHERE o.id = ANY (ARRAY (SELECT id FROM (${ids}) AS listed ORDER BY id DESC LIMIT $4))
      ORDER BY o.id DESC`,
    // The planner cannot see the values here, and so has no reason to plan each list again for its values.
    listWaiting: `
      SELECT ${recordOf('o')} FROM ${operations} o
      WHERE o.id = ANY (ARRAY (
        SELECT found.id FROM unnest(ARRAY [$1::text], ARRAY [$2::text]) AS asked (type, owner)
        CROSS JOIN LATERAL (${waiting}) AS found))
      ORDER BY o.id DESC`,
  } as const
}

/** Operations are counted in the order of their index: the planner might look for a few in the whole table. */
function queueReads(schema: string, operations: string) {
  const ready = `FROM ${operations} WHERE type = $2 AND status = 0 AND run_at IS NULL`
  const due = `FROM ${operations} WHERE type = $2 AND status = 0 AND run_at <= (SELECT now FROM clock)`
  return {
    queue: `
      WITH ${CLOCK},
      view AS MATERIALIZED (
        SELECT id, priority, created_at FROM (
          (SELECT id, priority, created_at ${ready} ORDER BY priority DESC, id LIMIT ${QUEUE_READY_LIMIT})
          UNION ALL
          (SELECT id, priority, created_at ${due} ORDER BY run_at LIMIT ${QUEUE_READY_LIMIT})) AS both_kinds
        ORDER BY priority DESC, id LIMIT ${QUEUE_READY_LIMIT})
      SELECT
        array_to_string(ARRAY (SELECT id FROM view ORDER BY priority DESC, id), ','),
        CASE WHEN (SELECT count(*) FROM view) < ${QUEUE_READY_LIMIT} THEN (SELECT count(*) FROM view)
        ELSE (SELECT count(*) FROM (
          (SELECT 1 ${ready} ORDER BY priority DESC, id LIMIT ${QUEUE_COUNT_LIMIT})
          UNION ALL
          (SELECT 1 ${due} ORDER BY run_at LIMIT ${QUEUE_COUNT_LIMIT}) LIMIT ${QUEUE_COUNT_LIMIT}) AS counted) END,
        (SELECT count(*) FROM (
          SELECT 1 FROM ${operations} WHERE status = 1 AND type = $2 ORDER BY owner, id LIMIT ${QUEUE_COUNT_LIMIT}) AS counted),
        (SELECT min(created_at) FROM view),
        array_to_string(ARRAY (
          SELECT ran.ms FROM (
            SELECT slot, ms FROM ${schema}.durations WHERE type = $2 ORDER BY slot DESC LIMIT ${DURATIONS_KEPT}) AS d
          CROSS JOIN LATERAL unnest(d.ms) WITH ORDINALITY AS ran (ms, place)
          ORDER BY d.slot DESC, ran.place LIMIT ${DURATIONS_KEPT}), ',')`,
  } as const
}

function notes(schema: string, operations: string) {
  return {
    note: `
      WITH ${IMPATIENT_CLOCK},
      given AS MATERIALIZED (
        SELECT * FROM json_to_recordset($2::json)
        AS given (place integer, id uuid, attempt integer, name text, value text, level text, message text)),
      ${locked(operations, 'ARRAY (SELECT id FROM given)')},
      fitting AS MATERIALIZED (
        SELECT g.* FROM given g JOIN locked l ON l.id = g.id AND l.attempt = g.attempt AND l.status = 1),
      kept_steps AS (
        INSERT INTO ${schema}.steps (id, name, value)
        SELECT id, name, value FROM fitting WHERE name IS NOT NULL ORDER BY place
        ON CONFLICT DO NOTHING),
      numbered AS (
        SELECT f.*, row_number() OVER (PARTITION BY f.id ORDER BY f.place) + coalesce(
          (SELECT max(l.sequence) FROM ${schema}.logs l WHERE l.id = f.id), 0) AS sequence
        FROM fitting f WHERE f.level IS NOT NULL),
      kept_logs AS (
        INSERT INTO ${schema}.logs (id, sequence, attempt, at, level, message)
        SELECT id, sequence, attempt, (SELECT now FROM clock), level, message FROM numbered
        WHERE sequence <= ${LOG_LIMIT})
      SELECT place, true FROM fitting
      UNION ALL SELECT g.place, false FROM given g JOIN (
        SELECT o.id, o.attempt ${skipped(operations, 'given')}) AS s ON s.id = g.id AND s.attempt = g.attempt`,
  } as const
}

function sweeps(schema: string, operations: string) {
  const record = `SELECT ${recordOf('o')}, o.xmin::text, (SELECT now FROM clock) FROM ${operations} o`
  const beside = (table: string) => `
    ${table}_gone AS (
      DELETE FROM ${schema}.${table} WHERE id = ANY (ARRAY (SELECT id FROM doomed WHERE NOT purged)))`
  const entombed = `
    entombed AS (
      UPDATE ${operations} o SET purged = true, idempotency_key = NULL, tags = NULL, output = NULL,
        purge_at = (SELECT now FROM clock) + least(greatest(o.retention, ${DAY}), ${30 * DAY})
      WHERE o.id = ANY (ARRAY (SELECT id FROM doomed WHERE NOT purged))),
    ${['payloads', 'steps', 'logs'].map(beside).join(',')}`
  return {
    // What a sweep would find: nearly always nothing. So most sweeps end with this one statement. $2 is where the index
    // of retention is read from, see Retention.
    sweepDue: `
      WITH ${CLOCK}
      SELECT (SELECT now FROM clock), (SELECT min(lease_until) FROM (${runningOf(operations, 'lease_until')}) AS running),
        (SELECT ${endsBySql('o.')} FROM ${operations} o WHERE ${endsSql('o.')}
        AND ${endsBySql('o.')} <= (SELECT now FROM clock) ORDER BY ${endsBySql('o.')} LIMIT 1) IS NOT NULL,
        (SELECT o.purge_at FROM ${operations} o
        WHERE o.purge_at <= (SELECT now FROM clock) AND o.purge_at >= $2::bigint
        ORDER BY o.purge_at LIMIT 1) IS NOT NULL`,
    // The same as rescheduled() of the state machine.
    reschedule: `
      WITH ${CLOCK},
      rescheduled AS (
        UPDATE ${operations} o SET run_at = (SELECT now FROM clock) + greatest(0, o.run_at - o.updated_at),
          updated_at = (SELECT now FROM clock)
        WHERE o.id = ANY (ARRAY (
          SELECT id FROM ${operations} WHERE status = 0 AND run_at IS NOT NULL
          AND updated_at > (SELECT now FROM clock) + ${SET_BACK_MS} LIMIT ${RESCHEDULED_LIMIT} FOR UPDATE SKIP LOCKED))
        RETURNING 1)
      SELECT count(*) = ${RESCHEDULED_LIMIT} FROM rescheduled`,
    lapsed: `
      WITH ${CLOCK}
      (${record} WHERE o.id = ANY (ARRAY (
        SELECT id FROM (${runningOf(operations, 'id, lease_until')}) AS running
        WHERE lease_until <= (SELECT now FROM clock) - $3::bigint ORDER BY lease_until LIMIT $2)))
      UNION ALL
      (${record} WHERE ${endsSql('o.')} AND ${endsBySql('o.')} <= (SELECT now FROM clock)
      ORDER BY ${endsBySql('o.')} LIMIT $2)`,
    // First deletes the payloads and keeps the record, so that clients get 410. The record is deleted after the
    // retention has passed once more, but after 1 to 30 days. $3 is where the index is read from, see Retention.
    purge: `
      WITH ${CLOCK},
      doomed AS MATERIALIZED (
        SELECT o.id, o.purged, o.purge_at FROM ${operations} o
        WHERE o.purge_at <= (SELECT now FROM clock) AND o.purge_at >= $3::bigint
        ORDER BY o.purge_at LIMIT $2 FOR UPDATE SKIP LOCKED),
      records_gone AS (
        DELETE FROM ${operations} WHERE id = ANY (ARRAY (SELECT id FROM doomed WHERE purged))),
      ${entombed}
      SELECT id, purge_at FROM doomed`,
    purgeOne: `
      WITH ${CLOCK},
      doomed AS MATERIALIZED (
        SELECT o.id, o.purged FROM ${operations} o WHERE o.id = $2 AND o.status + 0 >= 2 AND NOT o.purged FOR UPDATE),
      ${entombed}
      SELECT id FROM doomed`,
    // The table has about a hundred rows for each type, and those since the last sweep.
    dropDurations: `
      DELETE FROM ${schema}.durations WHERE slot = ANY (ARRAY (
        SELECT slot FROM (
          SELECT slot, row_number() OVER (PARTITION BY type ORDER BY slot DESC) AS age FROM ${schema}.durations) AS aged
        WHERE age > ${DURATIONS_KEPT} LIMIT 10000))`,
  } as const
}
