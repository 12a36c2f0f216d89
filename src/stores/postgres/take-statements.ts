/** The statements that take operations from the queue, and those that renew leases. */
import { idsOf, recordOf } from './rows.ts'
import { isAnySeatFree } from './seats.ts'
import { CLOCK, clockAndIds, IMPATIENT_CLOCK, tellingClock } from './statement-clock.ts'
import { completion, locked, skipped } from './write-statements.ts'

/** The most operations that have become due and are read in one claim. */
const DUE_LIMIT = 1000
/** The most ready operations of a type that are read in one claim. */
const FOUND_LIMIT = 2000

/**
 * Whether a row that is found by its id is pending. Written so that no partial index answers it: before version 18 and
 * while statistics are old, the planner takes the index of all that waits for nearly empty, and reads it for each row.
 */
const PENDING = 'o.status + 0 = 0'

/** The condition that a row may still begin at a time. */
function inTime(now: string): string {
  return `AND (o.attempt > 0 OR o.start_by IS NULL OR o.start_by > ${now})
    AND (o.deadline IS NULL OR o.deadline > ${now})`
}

/** The condition that a found row may still begin. */
const IN_TIME = inTime('(SELECT now FROM clock)')

/** The rows to take, and the condition on them. */
const PICKED = `FROM ${clockAndIds('picked')} WHERE o.id = ANY (c.ids) AND ${PENDING} ${inTime('c.now')}`

/**
 * The types of `$2`. One plan fits all parameters, and its estimated cost does not grow with the queue: the planner takes
 * a limit that it does not know for a tenth of all there is, so what it does know, {@link FOUND_LIMIT}, stands within;
 * and it takes one in 200 for what an expression equals, so it reckons with few types. Otherwise it would plan each claim
 * again, which takes longer than to look at an empty queue, and compile it, which takes longer than anything.
 */
const ASKED = `
    asked AS MATERIALIZED (
      SELECT type, most, place FROM json_to_recordset($2::json) AS given (type text, most integer, place integer)
      WHERE sign(most) = 1)`

/**
 * What a claim by {@link pickedOfReady} has missed: `due` where something else has become due, else null. What it has
 * skipped is being taken by others: it skips all that is locked, and stops only when it has enough.
 */
const MISSED_OF_READY = `CASE WHEN due.is_any THEN 'due' END`

/**
 * @param schema its name, quoted
 * @param channel of its notifications, as a literal
 */
export function takes(schema: string, operations: string, channel: string) {
  const input = `(SELECT body FROM ${schema}.payloads p WHERE p.id = t.id AND p.kind = 0)`
  // There is always at least one row; it has no record if nothing was taken.
  const inOrder = `FROM outcome LEFT JOIN taken t ON true
      ORDER BY (SELECT min(a.place) FROM asked a WHERE a.type = t.type), t.priority DESC, t.id`
  const claimed = `UPDATE ${operations} o SET ${begin(4)}
      ${PICKED} RETURNING ${recordOf('o')}, o.type, o.priority`
  const claimAll = (skipped?: string) => `
    WITH ${CLOCK},
    ${pickedOfAll(operations, skipped)},
    taken AS (${claimed})
    SELECT t.id, t.record, ${input}, outcome.missed ${inOrder}`
  const launch = (skipped?: string) => `
    WITH ${CLOCK},
    ${pickedOfAll(operations, skipped)},
    taken AS (
      UPDATE ${operations} o
      SET run_at = c.now + $4::bigint, launches = o.launches + 1, execution = NULL, engine = NULL
      ${PICKED} RETURNING ${recordOf('o')}, o.type, o.priority)
    SELECT t.id, t.record, outcome.missed ${inOrder}`
  return {
    // In any order: the caller sorts the few rows.
    claim: `
    WITH ${CLOCK},
    ${pickedOfReady(operations)},
    taken AS (${claimed})
    SELECT t.id, t.record, ${input}, ${MISSED_OF_READY} FROM due LEFT JOIN taken t ON true`,
    // Whether a claim would find something, and whether a seat is free. It costs half of a claim that finds nothing.
    peek: `
    WITH ${CLOCK},
    ${ASKED}
    SELECT EXISTS (SELECT 1 FROM asked a WHERE (${readyOf(operations)} LIMIT 1) IS NOT NULL),
      EXISTS (SELECT 1 FROM asked a WHERE (${dueOf(operations)}) IS NOT NULL),
      ${isAnySeatFree('$3')}`,
    claimAll: claimAll(),
    claimBehind: claimAll('$9'),
    // `complete` and `claim` unchanged, in one statement. The last column says to which of them a row belongs.
    finishAndClaim: `
    WITH ${tellingClock(channel, '$10')},
    ${pickedOfReady(operations)},
    taken AS (${claimed}),
    ${completion(operations, '$9')}
    SELECT t.id, t.record, ${input}, ${MISSED_OF_READY}, true FROM due LEFT JOIN taken t ON true
    UNION ALL SELECT s.*, false FROM saved s`,
    // It waits for a locked row and does not skip it: the transaction that has the lock may be about to make the row
    // ready.
    claimOne: `
      WITH ${IMPATIENT_CLOCK},
      taken AS (
        UPDATE ${operations} o SET ${begin(3)} FROM clock c
        WHERE o.id = $2 AND ${PENDING} AND c.wait IS NOT NULL ${IN_TIME} RETURNING ${recordOf('o')})
      SELECT t.id, t.record, ${input} FROM taken t`,
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

/**
 * Begins an attempt as claimed() of the state machine does. `c` is the clock.
 *
 * @param holder the number of the first parameter: who claims, for how long, in which execution, whether that is unknown, on which engine
 */
function begin(holder: number): string {
  const [by, leaseMs, execution, isUnknown, engine] = [0, 1, 2, 3, 4].map(at => `$${holder + at}`)
  return `
    status = 1, attempt = o.attempt + 1, run_at = NULL, started_at = coalesce(o.started_at, c.now),
    attempt_started_at = c.now, holder = ${by}::text, lease_until = c.now + ${leaseMs}::bigint,
    launches = 0, execution = CASE WHEN ${isUnknown}::boolean THEN o.execution ELSE ${execution}::text END,
    engine = coalesce(
      CASE WHEN ${isUnknown}::boolean OR o.execution = ${execution}::text THEN o.engine END, ${engine}::text),
    progress = NULL,
    version = o.version + 1, updated_at = greatest(c.now, o.updated_at)`
}

/**
 * Picks ready operations where nothing else has become due, as nearly always: of each type in turn up to its own limit,
 * by priority and then by id; in all no more than `$3`. It locks one after the other and skips what others have locked,
 * and ends as soon as it has enough.
 *
 * Where something else has become due, nothing is picked.
 */
function pickedOfReady(operations: string): string {
  return `
    ${ASKED},
    due AS MATERIALIZED (
      SELECT EXISTS (SELECT 1 FROM asked a WHERE (${dueOf(operations)}) IS NOT NULL) AS is_any),
    picked AS MATERIALIZED (
      SELECT found.id FROM asked a CROSS JOIN LATERAL (
        SELECT f.id FROM (${readyOf(operations)} LIMIT ${FOUND_LIMIT} FOR UPDATE SKIP LOCKED) AS f LIMIT a.most) AS found
      WHERE NOT (SELECT is_any FROM due) LIMIT $3)`
}

function dueOf(operations: string): string {
  return `SELECT o.run_at FROM ${operations} o
        WHERE o.type = a.type AND o.status = 0 AND o.run_at <= (SELECT now FROM clock)
        ORDER BY o.run_at LIMIT 1`
}

function readyOf(operations: string): string {
  return `SELECT o.id FROM ${operations} o WHERE o.type = a.type AND o.status = 0 AND o.run_at IS NULL ${IN_TIME}
      ORDER BY o.priority DESC, o.id`
}

/**
 * Picks as {@link pickedOfReady}, and what has become due too. That has no place in the index of the ready ones, so it is
 * looked up apart and merged.
 *
 * The statements that look behind what is locked are apart, since the planner reckons with a part of all there is for an
 * unknown offset.
 *
 * @param skipped the parameter that says how often a full look at the queue, from its head on, is passed over
 */
function pickedOfAll(operations: string, skipped?: string): string {
  const order = 'ORDER BY priority DESC, id'
  const from = (limit: number) => (skipped === undefined ? '' : `OFFSET ${skipped}::integer * ${limit}`)
  const lock = (found: string, condition: string) => `
    SELECT found.id, found.priority, a.place, a.most FROM asked a CROSS JOIN LATERAL (
      SELECT f.id, f.priority FROM (${found}) AS f CROSS JOIN LATERAL (
        SELECT o.id FROM ${operations} o WHERE o.id = f.id AND ${PENDING} AND ${condition} ${IN_TIME}
        FOR UPDATE SKIP LOCKED) AS locked
      ORDER BY f.priority DESC, f.id LIMIT a.most) AS found`
  const waiting = `SELECT id, priority FROM ${operations} o WHERE type = a.type AND status = 0 ${IN_TIME}`
  const isDue = 'run_at <= (SELECT now FROM clock)'
  return `
    ${ASKED},
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
      SELECT CASE WHEN EXISTS (SELECT 1 FROM picked) THEN NULL WHEN EXISTS (
        SELECT 1 FROM asked a WHERE coalesce(
        (SELECT id FROM (${waiting} AND run_at IS NULL ${order} LIMIT 1 ${from(FOUND_LIMIT)}) AS r),
        (SELECT id FROM (${waiting} AND ${isDue} ORDER BY run_at LIMIT 1 ${from(DUE_LIMIT)}) AS d)) IS NOT NULL)
        THEN 'held' END AS missed)`
}
