/** The statements that accept submissions. */
import { unfinishedIds } from './listed.ts'
import { COMMON, LAST_ID, recordOf, SUBMITTED_COLUMNS, SUBMITTED_TYPES } from './rows.ts'
import { CLOCK, IMPATIENT_CLOCK, LOCK_WAIT, tellingClock } from './statement-clock.ts'

/** The times that a submission gives, as durations. */
const TIMES = ['delay', 'start_within', 'end_within']

/**
 * @param schema its name, quoted
 * @param channel of its notifications, as a literal
 */
export function accepts(schema: string, operations: string, channel: string) {
  const times = TIMES.map(name => `${name} bigint`).join(', ')
  const types = `${SUBMITTED_TYPES}, input text, ${times}`
  const accept = (clock: string, free: string) => `
    WITH ${clock},
    given AS MATERIALIZED (SELECT g.*, ${free} AS free FROM json_to_recordset($2::json) AS g (${types})),
    free AS (SELECT * FROM given WHERE free),
    ${insertFrom('free')}
    SELECT id, created_at, NULL FROM accepted
    UNION ALL SELECT id, NULL, 'busy' FROM given WHERE NOT free`
  const acceptLimited = (clock: string, free: string) => `
    WITH ${clock},
    given AS MATERIALIZED (
      SELECT g.*, ${free} AS free FROM json_to_recordset($2::json)
      AS g (${types}, place integer, in_flight_limit integer, backlog_limit integer)),
    ${withinLimits(operations)},
    ${insertFrom('admitted')}
    SELECT id, created_at, NULL FROM accepted
    UNION ALL SELECT id, NULL, 'busy' FROM given WHERE NOT free
    UNION ALL SELECT id, NULL, 'inFlight' FROM ranked WHERE NOT fits
    UNION ALL SELECT id, NULL, 'backlog' FROM queued WHERE NOT fits`
  const insertOperations = (select: (column: string) => string) => {
    const [delay, startWithin, endWithin] = TIMES.map(select)
    return `
      INSERT INTO ${operations} (${SUBMITTED_COLUMNS.join(', ')}, created_at, updated_at, run_at, start_by, deadline)
      SELECT ${SUBMITTED_COLUMNS.map(select).join(', ')}, c.now, c.now,
        CASE WHEN ${delay} > 0 THEN c.now + ${delay} END, c.now + ${delay} + ${startWithin},
        c.now + ${delay} + ${endWithin}`
  }
  const given = (column: string) => `g.${column}`
  // Inserts in the order of the keys, so that two processes that insert the same keys cannot deadlock.
  const insertFrom = (source: string) => `
    accepted AS (
      ${insertOperations(given)} FROM clock c CROSS JOIN ${source} g
      ORDER BY g.type COLLATE "C", g.owner COLLATE "C", g.idempotency_key COLLATE "C", g.id
      ON CONFLICT DO NOTHING RETURNING id, created_at),
    inputs AS (
      INSERT INTO ${schema}.payloads (id, kind, body)
      SELECT g.id, 0, g.input FROM ${source} g WHERE g.id = ANY (ARRAY (SELECT id FROM accepted)))`
  const common = commonOnes(7)
  return {
    // For submissions that only a known id can refuse; then the statement fails. Values that all of them share are sent
    // once. The submissions are in the order of their ids, so that two processes that insert the same ids cannot
    // deadlock.
    acceptPlain: `
      WITH ${tellingClock(channel, '$2')},
      given AS MATERIALIZED (
        SELECT * FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) AS o (id, owner, traceparent, input)),
      accepted AS (${insertOperations(column => common[column] ?? given(column))} FROM clock c CROSS JOIN given g),
      inputs AS (INSERT INTO ${schema}.payloads (id, kind, body) SELECT g.id, 0, g.input FROM given g)
      SELECT now FROM clock`,
    accept: accept(tellingClock(channel, '$3'), keyIsFree(schema)),
    // Without a lock timeout: in the caller's transaction it would outlast the statement.
    acceptWithin: accept(CLOCK, keyIsTaken(schema)),
    // For submissions with limits, and for the others of the same batch.
    acceptLimited: acceptLimited(IMPATIENT_CLOCK, keyIsFree(schema)),
    limitedWithin: acceptLimited(CLOCK, keyIsTaken(schema)),
    // Runs after the statement that accepts, in the same transaction.
    acceptSteps: `
      INSERT INTO ${schema}.steps (id, name, value)
      SELECT g.id, g.name, g.value FROM json_to_recordset($1::json) AS g (id uuid, name text, value text)
      WHERE g.id = ANY (ARRAY (SELECT o.id FROM ${operations} o WHERE o.id = g.id))
      ON CONFLICT DO NOTHING`,
    // Runs before the statement that counts, in the same transaction, since a statement sees nothing that was committed
    // after it began. The locks are taken in one order, so that two transactions cannot deadlock.
    lockScopes: `
      SELECT pg_advisory_xact_lock(scope) FROM (
        SELECT DISTINCT hashtextextended(name, 0) AS scope FROM json_array_elements_text($1::json) AS name
        ORDER BY scope) AS scopes WHERE set_config('lock_timeout', '${LOCK_WAIT}', true) IS NOT NULL`,
    // Finds the operations whose keys, or else whose ids, are known. It runs after the insert, so that its snapshot
    // sees the rows that conflicted.
    known: `
      SELECT a.place, o.* FROM (
        SELECT place, id, type, owner, key FROM json_to_recordset($1::json)
        AS given (place integer, id uuid, type text, owner text, key text)) AS a
      CROSS JOIN LATERAL (
        SELECT ${recordOf('k')} FROM ${operations} k
        WHERE k.type = a.type AND k.owner = a.owner AND k.idempotency_key = a.key
        UNION ALL SELECT ${recordOf('i')} FROM ${operations} i WHERE i.id = a.id
        LIMIT 1) AS o`,
  } as const
}

/** What plain submissions have in common, by column or time: parameters, from that of a number on. */
function commonOnes(first: number): Readonly<Record<string, string>> {
  const types = [...Object.entries(COMMON), ...TIMES.map(name => [name, 'bigint'])]
  return Object.fromEntries(types.map(([column, type], index) => [column, `$${first + index}::${type}`]))
}

/**
 * Whether no open transaction of a caller has submitted under the key of `g`. A batch asks, since its insert would wait
 * for that transaction. The batch itself keeps no locks: one for each key until the commit would fill the lock table of
 * the server.
 */
function keyIsFree(schema: string): string {
  const key = keyLock(schema)
  return `CASE WHEN g.idempotency_key IS NULL THEN true
        WHEN pg_try_advisory_lock_shared(${key}) THEN pg_advisory_unlock_shared(${key}) ELSE false END`
}

/** Marks the key of `g` until the caller's transaction ends, after every transaction that has marked it before. */
function keyIsTaken(schema: string): string {
  return `CASE WHEN g.idempotency_key IS NULL THEN true ELSE pg_advisory_xact_lock(${keyLock(schema)}) IS NOT NULL END`
}

/** The number of the lock of a key. If two keys have the same number, one only waits for the other. */
function keyLock(schema: string): string {
  const scope = `'${schema.replaceAll("'", "''")}'`
  return `hashtextextended(concat_ws(chr(1), 'key', ${scope}, g.type, g.owner, g.idempotency_key), 0)`
}

/**
 * Finds which of the given submissions keep their limits, in the order of their places. Submissions whose key or id is
 * known do not count, and of equal keys only the first one counts. The first limit is applied before the second is
 * counted, so that submissions that the first one refuses do not count toward the second. Each count ends at its limit,
 * and is in the order of its index: the planner might look for so few rows in the whole table.
 */
function withinLimits(operations: string): string {
  const counted = { type: 's.type', owner: 's.owner', before: `'${LAST_ID}'`, limit: 's.most' }
  return `
    distinct_ones AS MATERIALIZED (
      SELECT DISTINCT ON (type, owner, idempotency_key, CASE WHEN idempotency_key IS NULL THEN id END) *
      FROM given WHERE free
      ORDER BY type, owner, idempotency_key, CASE WHEN idempotency_key IS NULL THEN id END, place),
    fresh AS MATERIALIZED (
      SELECT g.* FROM distinct_ones g
      WHERE (SELECT o.id FROM ${operations} o WHERE o.id = g.id) IS NULL
      AND (SELECT o.id FROM ${operations} o
        WHERE o.type = g.type AND o.owner = g.owner AND o.idempotency_key = g.idempotency_key) IS NULL),
    unfinished AS MATERIALIZED (
      SELECT s.*, (SELECT count(*) FROM (
        (${unfinishedIds(operations, 0, counted)}) UNION ALL (${unfinishedIds(operations, 1, counted)})
        LIMIT s.most) AS counted) AS count
      FROM (SELECT type, owner, max(in_flight_limit) AS most FROM fresh GROUP BY type, owner) AS s
      WHERE s.most IS NOT NULL),
    ranked AS MATERIALIZED (
      SELECT f.*, coalesce(u.count + row_number() OVER (PARTITION BY f.type, f.owner ORDER BY f.place)
        <= f.in_flight_limit, true) AS fits
      FROM fresh f LEFT JOIN unfinished u ON u.type = f.type AND u.owner = f.owner),
    ready AS MATERIALIZED (
      SELECT s.*, (SELECT count(*) FROM (
        (SELECT 1 FROM ${operations} o WHERE o.type = s.type AND o.status = 0 AND o.run_at IS NULL
        ORDER BY o.priority DESC, o.id LIMIT s.most)
        UNION ALL
        (SELECT 1 FROM ${operations} o
        WHERE o.type = s.type AND o.status = 0 AND o.run_at <= (SELECT now FROM clock)
        ORDER BY o.run_at LIMIT s.most)
        LIMIT s.most) AS counted) AS count
      FROM (SELECT type, max(backlog_limit) AS most FROM ranked WHERE fits GROUP BY type) AS s
      WHERE s.most IS NOT NULL),
    queued AS MATERIALIZED (
      SELECT f.id, coalesce(r.count + 1 + sum(CASE WHEN f.delay > 0 THEN 0 ELSE 1 END) OVER (
        PARTITION BY f.type ORDER BY f.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        <= f.backlog_limit, r.count < f.backlog_limit, true) AS fits
      FROM ranked f LEFT JOIN ready r ON r.type = f.type
      WHERE f.fits),
    admitted AS MATERIALIZED (
      SELECT g.* FROM fresh g WHERE g.id = ANY (ARRAY (SELECT id FROM queued WHERE fits)))`
}
