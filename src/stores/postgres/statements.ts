/**
 * Every statement, written for one schema. Rules:
 * - `$1` is the time of a clock that stands in for the server's, or null.
 * - Rows are chosen as `= ANY (ARRAY (…))`, which the planner always answers by the key: it cannot
 *   tell how many rows a subquery gives, and would read all operations where it thinks of many.
 * - A statement that changes several rows locks them in the order of their ids, so that two never wait for each other.
 */

import { SET_BACK_MS } from '../../model/state-machine.ts'
import { LOG_LIMIT, QUEUE_COUNT_LIMIT, QUEUE_READY_LIMIT } from '../store.ts'
import { accepts } from './accept-statements.ts'
import type { Statement } from './connections.ts'
import { channelOf, quoteText, unquoted } from './names.ts'
import { COLUMNS, idsOf, recordOf } from './rows.ts'
import { endsBySql, endsSql } from './schema.ts'
import { CLOCK, IMPATIENT_CLOCK, tellingClock } from './statement-clock.ts'
import { completion, DURATIONS_KEPT, locked, skipped, writes } from './write-statements.ts'

/** The statements, by name. */
export type Statements = Readonly<Record<StatementName, Statement>>
export type StatementName = keyof ReturnType<typeof texts>

const DAY = 86_400_000
/** Operations that have become due and are looked at in one claim, at most. */
const DUE_LIMIT = 1000
/** Ready operations that are looked at in one claim of a type, at most. */
const FOUND_LIMIT = 2000
/** Operations of a claim without an answer that are found again, at most. */
const FOUND_AGAIN_LIMIT = 10_000

/** The columns of a holding, in the order in which they are read. */
const HOLDING = 'id, type, status, attempt, holder, execution, engine, cancel_requested'

/**
 * Whether a row that is found by its id is pending. Written so that no partial index answers it: before version 18 and
 * while statistics are old, the planner takes the index of all that waits for nearly empty, and reads it for each row.
 */
const PENDING = 'o.status + 0 = 0'

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
 * Prepared statements live as long as their connection, which stores of other schemas may share. PostgreSQL tells them
 * apart by 63 bytes: up to 48 are the schema's, as long as its quotes are not doubled, and up to 14 the statement's.
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
    // No operation type has this name; the sweep deletes these rows like the others.
    check: `INSERT INTO ${schema}.durations (type, ms) VALUES ('', '{}')`,
  } as const
}

function reads(schema: string, operations: string, records: string) {
  return {
    read: `${records} WHERE o.id = ANY (${idsOf('$1')})`,
    readWithOutput: `
      SELECT ${recordOf('o')}, (SELECT body FROM ${schema}.payloads p WHERE p.id = o.id AND p.kind = 1)
      FROM ${operations} o WHERE o.id = ANY (${idsOf('$1')})`,
    byKey: `${records} WHERE o.type = $1 AND o.owner = $2 AND o.idempotency_key = $3`,
    payloads: `
      SELECT id, kind, body FROM ${schema}.payloads
      WHERE id = ANY (${idsOf('$1')}) AND kind = ANY (ARRAY (SELECT unnest($2::smallint[])))`,
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
      ORDER BY type, id LIMIT ${FOUND_AGAIN_LIMIT}`,
    // Materialized, so that no plan reads all operations in the order of their ids.
    holdings: `
      WITH held AS MATERIALIZED (
        SELECT ${HOLDING} FROM ${operations} WHERE status = 1 AND ($1::text IS NULL OR holder = $1)
        UNION ALL
        SELECT ${HOLDING} FROM ${operations} WHERE status = 0 AND execution IS NOT NULL AND $1::text IS NULL)
      SELECT * FROM held WHERE id > $2::uuid ORDER BY id LIMIT $3`,
    holders: `SELECT DISTINCT holder FROM ${operations} WHERE status = 1 AND holder IS NOT NULL`,
  } as const
}

/**
 * The newest of each status, merged. The status is compared as a range, though it is one value: so the order asked
 * for is that of the index, and no plan comes to mind that reads all operations by their ids, in search of an owner
 * who has had none for long. Of the type and the owner that would not do: before PostgreSQL 18 the end of a range of
 * whole rows is seen by its first column alone.
 */
function lists(operations: string) {
  return {
    list: `
      SELECT ${recordOf('o')} FROM unnest($5::smallint[]) AS asked (status) CROSS JOIN LATERAL (
        SELECT * FROM ${operations} l
        WHERE l.type = $1 AND l.owner = $2 AND l.status >= asked.status
        AND (l.status, l.id) < (asked.status, $3::uuid)
        ORDER BY l.status DESC, l.id DESC LIMIT $4) AS o
      ORDER BY o.id DESC LIMIT $4`,
  } as const
}

/** Those that run are counted in an order that only their own index has: PostgreSQL 18 may else skip through the index of lists. */
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
        ARRAY (SELECT id::text FROM view ORDER BY priority DESC, id),
        CASE WHEN (SELECT count(*) FROM view) < ${QUEUE_READY_LIMIT} THEN (SELECT count(*) FROM view)
        ELSE (SELECT count(*) FROM (SELECT 1 ${ready} UNION ALL SELECT 1 ${due} LIMIT ${QUEUE_COUNT_LIMIT}) AS counted) END,
        (SELECT count(*) FROM (
          SELECT 1 FROM ${operations} WHERE status = 1 AND type = $2 ORDER BY id LIMIT ${QUEUE_COUNT_LIMIT}) AS counted),
        (SELECT min(created_at) FROM view),
        ARRAY (
          SELECT ran.ms::float8 FROM (
            SELECT slot, ms FROM ${schema}.durations WHERE type = $2 ORDER BY slot DESC LIMIT ${DURATIONS_KEPT}) AS d
          CROSS JOIN LATERAL unnest(d.ms) AS ran (ms) ORDER BY d.slot DESC LIMIT ${DURATIONS_KEPT})`,
  } as const
}

/**
 * Finds ready operations and locks them one after the other, skipping what others have locked: those of each type
 * in turn up to its own limit, by priority and then by id; in all no more than `$3`. What has become due has no
 * place in the index of the ready ones, so it is looked up apart and merged.
 *
 * `outcome` says whether all that was found is locked by others: then it is worth to look again, or behind those. The
 * statements that look behind are apart, since the planner reckons with a part of all there is for an unknown offset.
 *
 * One plan fits all parameters, and its estimated cost does not grow with the queue: the planner takes a limit that
 * it does not know for a tenth of all there is, so what it does know, {@link FOUND_LIMIT}, stands within; and it takes
 * one in 200 for what an expression equals, so it reckons with few types. Otherwise it would plan each claim again,
 * which takes longer than to look at an empty queue, and compile it, which takes longer than anything.
 */
function picked(operations: string, { clock = CLOCK, timely = '', skipped }: Picking): string {
  const order = 'ORDER BY priority DESC, id'
  const from = (limit: number) => (skipped === undefined ? '' : `OFFSET ${skipped}::integer * ${limit}`)
  const lock = (found: string, condition: string) => `
    SELECT found.id, found.priority, a.place, a.most FROM asked a CROSS JOIN LATERAL (
      SELECT f.id, f.priority FROM (${found}) AS f CROSS JOIN LATERAL (
        SELECT o.id FROM ${operations} o WHERE o.id = f.id AND ${PENDING} AND ${condition} ${timely}
        FOR UPDATE SKIP LOCKED) AS locked
      ORDER BY f.priority DESC, f.id LIMIT a.most) AS found`
  const waiting = `SELECT id, priority FROM ${operations} o WHERE type = a.type AND status = 0 ${timely}`
  const isDue = 'run_at <= (SELECT now FROM clock)'
  return `
    ${clock},
    asked AS MATERIALIZED (
      SELECT type, most, place FROM json_to_recordset($2::json) AS given (type text, most integer, place integer)
      WHERE sign(most) = 1),
    ready AS MATERIALIZED (
      ${lock(`${waiting} AND run_at IS NULL ${order} LIMIT ${FOUND_LIMIT} ${from(FOUND_LIMIT)}`, 'o.run_at IS NULL')}),
    due AS MATERIALIZED (
      ${lock(
        `SELECT * FROM (${waiting} AND ${isDue} ORDER BY run_at LIMIT ${DUE_LIMIT} ${from(DUE_LIMIT)}) AS d ${order}`,
        'o.run_at <= (SELECT now FROM clock)',
      )}),
    ranked AS (
      SELECT *, row_number() OVER (PARTITION BY place ${order}) AS rank
      FROM (SELECT * FROM ready UNION ALL SELECT * FROM due) AS both_kinds),
    picked AS MATERIALIZED (
      SELECT id FROM (
        SELECT id, row_number() OVER (ORDER BY place, priority DESC, id) AS rank FROM ranked WHERE rank <= most) AS chosen
      WHERE rank <= $3),
    outcome AS MATERIALIZED (
      SELECT CASE WHEN EXISTS (SELECT 1 FROM picked) THEN false ELSE EXISTS (
        SELECT 1 FROM asked a WHERE coalesce(
        (SELECT id FROM (${waiting} AND run_at IS NULL ${order} LIMIT 1 ${from(FOUND_LIMIT)}) AS r),
        (SELECT id FROM (${waiting} AND ${isDue} ORDER BY run_at LIMIT 1 ${from(DUE_LIMIT)}) AS d)) IS NOT NULL)
        END AS all_held)`
}

/** What {@link picked} leaves out. */
interface Picking {
  /** The time, and possibly a limit on waiting for locks. */
  readonly clock?: string
  /** A condition on the time. */
  readonly timely?: string
  /** The parameter that says how often a full look at the queue, from its head on, is passed over. */
  readonly skipped?: string | undefined
}

function takes(schema: string, operations: string, channel: string) {
  const begin = (holder: number) => `
    status = 1, attempt = o.attempt + 1, run_at = NULL, started_at = coalesce(o.started_at, (SELECT now FROM clock)),
    attempt_started_at = (SELECT now FROM clock), holder = $${holder}::text,
    lease_until = (SELECT now FROM clock) + $${holder + 1}::bigint,
    launches = 0, execution = CASE WHEN $${holder + 3}::boolean THEN o.execution ELSE $${holder + 2}::text END,
    engine = coalesce(
      CASE WHEN $${holder + 3}::boolean OR o.execution = $${holder + 2}::text THEN o.engine END, $${holder + 4}::text),
    progress = NULL,
    version = o.version + 1, updated_at = greatest((SELECT now FROM clock), o.updated_at)`
  const input = `(SELECT body FROM ${schema}.payloads p WHERE p.id = t.id AND p.kind = 0)`
  // One row always: without a record where none was taken.
  const fromTaken = `FROM outcome LEFT JOIN taken t ON true
      ORDER BY (SELECT min(a.place) FROM asked a WHERE a.type = t.type), t.priority DESC, t.id`
  const taken = `WHERE o.id = ANY (ARRAY (SELECT id FROM picked)) AND ${PENDING}`
  const inTime = `AND (o.attempt > 0 OR o.start_by IS NULL OR o.start_by > (SELECT now FROM clock))
    AND (o.deadline IS NULL OR o.deadline > (SELECT now FROM clock))`
  const taking = (picking: Picking) => `
    ${picked(operations, { timely: inTime, ...picking })},
    taken AS (UPDATE ${operations} o SET ${begin(4)} ${taken} ${inTime} RETURNING ${recordOf('o')})`
  const claim = (skipped?: string) => `
    WITH ${taking({ skipped })}
    SELECT ${recordOf('t')}, ${input}, outcome.all_held ${fromTaken}`
  const launch = (skipped?: string) => `
    WITH ${picked(operations, { timely: inTime, skipped })},
    taken AS (
      UPDATE ${operations} o
      SET run_at = (SELECT now FROM clock) + $4::bigint, launches = o.launches + 1, execution = NULL, engine = NULL
      ${taken} ${inTime} RETURNING ${recordOf('o')})
    SELECT ${recordOf('t')}, outcome.all_held ${fromTaken}`
  return {
    claim: claim(),
    claimBehind: claim('$9'),
    // `complete` and `claim` as they are, in one statement: the last column says which of them a row answers.
    finishAndClaim: `
    WITH ${taking({ clock: tellingClock(channel, '$10') })},
    ${completion(schema, operations, '$9')}
    (SELECT ${recordOf('t')}, ${input}, outcome.all_held, true ${fromTaken})
    UNION ALL SELECT ${recordOf('s')}, NULL, false, false FROM saved s
    UNION ALL SELECT ${recordOf('o')}, NULL, true, false ${skipped(operations, 'given')}`,
    // It waits where the row is locked, and does not skip it: the transaction that has it may be about to make it ready.
    claimOne: `
      WITH ${IMPATIENT_CLOCK},
      taken AS (
        UPDATE ${operations} o SET ${begin(3)}
        WHERE o.id = $2 AND ${PENDING} AND (SELECT wait FROM clock) IS NOT NULL ${inTime} RETURNING ${recordOf('o')})
      SELECT ${recordOf('t')}, ${input} FROM taken t`,
    launch: launch(),
    launchBehind: launch('$5'),
    renew: `
      WITH ${CLOCK},
      asked AS MATERIALIZED (SELECT id, attempt FROM unnest($2::uuid[], $3::int[]) AS given (id, attempt)),
      ${locked(operations, idsOf('$2'))},
      renewed AS (
        UPDATE ${operations} o SET lease_until = (SELECT now FROM clock) + $4::bigint
        FROM asked a
        WHERE o.id = ANY (ARRAY (SELECT id FROM locked WHERE status = 1)) AND o.id = a.id AND o.attempt = a.attempt
        RETURNING o.id, o.attempt, o.cancel_requested)
      SELECT id, attempt, cancel_requested, true FROM renewed
      UNION ALL SELECT o.id, o.attempt, false, false ${skipped(operations, 'asked')}`,
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
      UPDATE ${operations} o SET purged = true, idempotency_key = NULL, tags = NULL,
        purge_at = (SELECT now FROM clock) + least(greatest(o.retention, ${DAY}), ${30 * DAY})
      WHERE o.id = ANY (ARRAY (SELECT id FROM doomed WHERE NOT purged))),
    ${['payloads', 'steps', 'logs'].map(beside).join(',')}`
  return {
    time: `WITH ${CLOCK} SELECT now FROM clock`,
    // As the state machine's rescheduled().
    reschedule: `
      WITH ${CLOCK},
      rescheduled AS (
        UPDATE ${operations} o SET run_at = (SELECT now FROM clock) + greatest(0, o.run_at - o.updated_at),
          updated_at = (SELECT now FROM clock)
        WHERE o.id = ANY (ARRAY (
          SELECT id FROM ${operations} WHERE status = 0 AND run_at IS NOT NULL
          AND updated_at > (SELECT now FROM clock) + ${SET_BACK_MS} LIMIT ${DUE_LIMIT} FOR UPDATE SKIP LOCKED))
        RETURNING 1)
      SELECT count(*) = ${DUE_LIMIT} FROM rescheduled`,
    lapsed: `
      WITH ${CLOCK}
      (${record} WHERE o.status = 1 AND o.lease_until <= (SELECT now FROM clock) - $3::bigint ORDER BY o.lease_until LIMIT $2)
      UNION ALL
      (${record} WHERE ${endsSql('o.')} AND ${endsBySql('o.')} <= (SELECT now FROM clock)
      ORDER BY ${endsBySql('o.')} LIMIT $2)`,
    // First the payloads go and a record stays to say so; the record goes after as long again, 1 to 30 days.
    purge: `
      WITH ${CLOCK},
      doomed AS MATERIALIZED (
        SELECT o.id, o.purged FROM ${operations} o WHERE o.purge_at <= (SELECT now FROM clock)
        ORDER BY o.purge_at LIMIT $2 FOR UPDATE SKIP LOCKED),
      records_gone AS (
        DELETE FROM ${operations} WHERE id = ANY (ARRAY (SELECT id FROM doomed WHERE purged))),
      ${entombed}
      SELECT id FROM doomed`,
    purgeOne: `
      WITH ${CLOCK},
      doomed AS MATERIALIZED (
        SELECT o.id, o.purged FROM ${operations} o WHERE o.id = $2 AND o.status >= 2 AND NOT o.purged FOR UPDATE),
      ${entombed}
      SELECT id FROM doomed`,
    // The table has about a hundred rows of each type, and those that came since the last sweep.
    dropDurations: `
      DELETE FROM ${schema}.durations WHERE slot = ANY (ARRAY (
        SELECT slot FROM (
          SELECT slot, row_number() OVER (PARTITION BY type ORDER BY slot DESC) AS age FROM ${schema}.durations) AS aged
        WHERE age > ${DURATIONS_KEPT} LIMIT 10000))`,
  } as const
}

/** How many columns a record has: what a statement selects beside it comes after. */
export const RECORD_WIDTH: number = COLUMNS.length
