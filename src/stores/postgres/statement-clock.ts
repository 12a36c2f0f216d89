/**
 * Parts of statements: the time, a lock timeout, and notifications. `$1` is the time of a clock that replaces the
 * server's, or null.
 */

/** How long a write waits for a row or a key that another transaction has locked. Then it fails and is retried. */
export const LOCK_WAIT = '1s'

const NOW = `coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`
/** The time, as one row of one column. */
export const CLOCK = `clock AS MATERIALIZED (SELECT ${NOW} AS now)`
/** The time, and a lock timeout that ends with the statement's own transaction. */
export const IMPATIENT_CLOCK = `
  clock AS MATERIALIZED (SELECT ${NOW} AS now, set_config('lock_timeout', '${LOCK_WAIT}', true) AS wait)`

/**
 * The time, a lock timeout, and messages for other processes, which the commit sends.
 *
 * @param channel where they are sent, as a literal
 * @param messages the parameter with them, or null for none
 */
export function tellingClock(channel: string, messages: string): string {
  return `
  clock AS MATERIALIZED (SELECT ${NOW} AS now, set_config('lock_timeout', '${LOCK_WAIT}', true) AS wait,
    (SELECT count(pg_notify(${channel}, message)) FROM unnest(${messages}::text[]) AS message) AS told)`
}

/**
 * The time, and the ids of a part of the statement, as one row `c`. For each execution PostgreSQL looks for subqueries in
 * all expressions of a query that has one. Here it has them in the `FROM` alone, so that a long list of columns costs
 * nothing.
 */
export function clockAndIds(of: string): string {
  return `(SELECT now, ARRAY (SELECT id FROM ${of}) AS ids FROM clock) c`
}
