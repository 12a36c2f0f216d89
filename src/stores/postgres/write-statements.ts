/** The statements that change records, and how they lock rows. */
import { CHANGED_COLUMNS, CHANGED_TYPES, idsOf, recordOf } from './rows.ts'
import { CLOCK, clockAndIds, IMPATIENT_CLOCK, tellingClock } from './statement-clock.ts'

/**
 * Locks rows in the order of their ids, and returns their state. Rows that others have locked are skipped, since one of
 * them would delay the whole batch. There is no condition on the status: with one, the planner might choose the index
 * of running operations.
 */
export function locked(operations: string, ids: string): string {
  return `
    locked AS MATERIALIZED (
      SELECT o.id, o.attempt, o.status FROM ${operations} o WHERE o.id = ANY (${ids})
      ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED)`
}

/**
 * The rows that were skipped and are running, as far as this snapshot shows. An operation that is not running has lost
 * its attempt for good.
 */
export function skipped(operations: string, asked: string): string {
  return `
    FROM ${operations} o
    WHERE o.id = ANY (ARRAY (SELECT id FROM ${asked} EXCEPT SELECT id FROM locked)) AND o.status + 0 = 1`
}

/**
 * Completes attempts as finished() of the state machine does: `saved` has what {@link Completed} needs. Rows that another
 * transaction holds are skipped. A row keeps its holder, because the history leaves out the last attempt (see rows.ts).
 *
 * @param given the parameter with id, attempt and output of each
 */
export function completion(operations: string, given: string): string {
  return `
      given AS MATERIALIZED (
        SELECT * FROM json_to_recordset(${given}::json) AS given (id uuid, attempt integer, output text)),
      ${locked(operations, 'ARRAY (SELECT id FROM given)')},
      saved AS (
        UPDATE ${operations} o SET status = 2, version = o.version + 1,
          updated_at = greatest(c.now, o.updated_at), finished_at = c.now,
          expires_at = c.now + o.retention, purge_at = c.now + o.retention,
          run_at = NULL, lease_until = NULL, output = v.output, webhook_due = o.webhook_url IS NOT NULL,
          family_due = o.parent IS NOT NULL OR o.waits::json -> 'children' IS NOT NULL
        FROM ${clockAndIds('locked')} CROSS JOIN given v
        WHERE o.id = ANY (c.ids) AND o.id = v.id AND o.attempt = v.attempt AND o.status + 0 = 1
        RETURNING o.id, o.version::text, o.finished_at::text, o.waits)`
}

/**
 * @param schema its name, quoted
 * @param channel of its notifications, as a literal
 */
export function writes(schema: string, operations: string, channel: string) {
  const set = CHANGED_COLUMNS.map(column => `${column} = v.${column}`).join(', ')
  return {
    complete: `
      WITH ${tellingClock(channel, '$3')},
      ${completion(operations, '$2')}
      SELECT * FROM saved`,
    versions: `
      WITH ${CLOCK}
      SELECT ${recordOf('o')}, o.xmin::text, (SELECT now FROM clock) FROM ${operations} o
      WHERE o.id = ANY (${idsOf('$2')})`,
    // A record is written only over the row version that it was made from: xmin changes with each write. Conditions on the
    // status have a sum, because the planner might read the whole index of what has ended.
    save: `
      WITH ${IMPATIENT_CLOCK},
      given AS MATERIALIZED (
        SELECT * FROM json_to_recordset($2::json)
        AS given (id uuid, seen xid, output text, thrown text, events json, ${CHANGED_TYPES})),
      ${locked(operations, 'ARRAY (SELECT id FROM given)')},
      saved AS (
        UPDATE ${operations} o SET ${set}, output = v.output FROM given v
        WHERE o.id = ANY (ARRAY (SELECT id FROM locked)) AND o.id = v.id AND o.xmin = v.seen AND o.status + 0 < 2
        RETURNING o.id),
      told AS (
        UPDATE ${operations} o SET webhook_due = v.webhook_due, family_due = v.family_due, retried_by = v.retried_by
        FROM given v
        WHERE o.id = ANY (ARRAY (SELECT id FROM locked)) AND o.id = v.id AND o.xmin = v.seen AND o.status + 0 >= 2
        RETURNING o.id),
      thrown AS (
        INSERT INTO ${schema}.payloads (id, kind, body)
        SELECT v.id, 1 + v.attempt, v.thrown FROM given v JOIN saved s ON s.id = v.id WHERE v.thrown IS NOT NULL
        ON CONFLICT (id, kind) DO UPDATE SET body = excluded.body),
      events AS (
        INSERT INTO ${schema}.steps (id, name, value)
        SELECT v.id, e.name, e.value FROM given v JOIN saved s ON s.id = v.id
        CROSS JOIN json_to_recordset(v.events) AS e (name text, value text) WHERE v.events IS NOT NULL
        ON CONFLICT (id, name) DO NOTHING)
      SELECT id FROM saved UNION ALL SELECT id FROM told`,
  } as const
}
