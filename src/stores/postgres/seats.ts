/**
 * The seats of a fleet. While notifications are frequent, only processes that hold a seat listen: a notification wakes
 * every session that listens in the database. There are a few seats for each need, such as for work of the same types.
 *
 * A seat is an advisory lock of the session that listens. So it is free as soon as that session ends, however it ends,
 * and it needs neither a table nor a time limit.
 */
import type { Connections, Statement } from './connections.ts'
import type { PostgresClient } from './pool.ts'

/** How many processes hold a seat for the same need. */
export const SEATS = 3

const ALL = Array.from({ length: SEATS }, (_, seat) => seat)

function keyOf(name: string, seat: number | string): string {
  return `hashtextextended(${name}, ${seat})`
}

const TAKE = `SELECT CASE ${ALL.map(seat => `WHEN pg_try_advisory_lock(${keyOf('$1::text', seat)}) THEN ${seat}`).join(' ')} END`
const RELEASE = `SELECT pg_advisory_unlock(${keyOf('$1::text', '$2::bigint')})`
const IS_ANY_FREE: Statement = { name: 'waybill/seats', text: `SELECT ${isAnySeatFree('$1')}` }

/**
 * Whether a seat is free. It takes the first one, and releases it at the end of the transaction.
 *
 * @param names the parameter with the names of seats
 */
export function isAnySeatFree(names: string): string {
  const tries = ALL.map(seat => `pg_try_advisory_xact_lock(${keyOf('name', seat)})`)
  return `EXISTS (SELECT 1 FROM unnest(${names}::text[]) AS name WHERE ${tries.join(' OR ')})`
}

/** The seats that one process holds. */
export class Seats {
  readonly #prefix: string
  readonly #held = new Map<string, number>()

  /** @param channel of the schema's notifications */
  constructor(channel: string) {
    this.#prefix = `${channel} seat `
  }

  /** The needs for which it holds a seat. */
  get held(): readonly string[] {
    return [...this.#held.keys()]
  }

  /**
   * Takes a seat, if one is free.
   *
   * @param client the session that listens
   */
  async take(client: PostgresClient, need: string): Promise<boolean> {
    const values = [this.#prefix + need]
    const { rows } = await client.query({ text: TAKE, values, rowMode: 'array' })
    const seat = rows[0]?.[0]
    if (typeof seat === 'number') this.#held.set(need, seat)
    return typeof seat === 'number'
  }

  /** Releases the seat for a need. */
  async release(client: PostgresClient, need: string): Promise<void> {
    const values = [this.#prefix + need, this.#held.get(need)]
    this.#held.delete(need)
    await client.query({ text: RELEASE, values, rowMode: 'array' })
  }

  /** The session has ended, and its seats with it. */
  forget(): void {
    this.#held.clear()
  }

  /** The names of the seats for some needs. */
  namesOf(needs: readonly string[]): readonly string[] {
    return needs.map(need => this.#prefix + need)
  }

  /** Whether a seat for one of the needs is free. */
  async isAnyFree(connections: Connections, needs: readonly string[]): Promise<boolean> {
    const rows = await connections.run(IS_ANY_FREE, [this.namesOf(needs)])
    return rows[0]?.[0] === true
  }
}
