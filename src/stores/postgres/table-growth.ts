/**
 * Prepared statements keep their plans, even plans that were made while the tables were small. A plan that reads a
 * whole table would stay until PostgreSQL analyzes that table, up to minutes after a burst. So the sizes of the tables
 * are measured while statements run, and each connection discards its plans once a table has grown fourfold.
 */
import type { PostgresClient } from './pool.ts'

/** The shortest time between two measurements, in milliseconds. */
const EVERY_MS = 1000
/**
 * A process that sends fewer statements than this between two measurements measures less often: bad plans cost it
 * little.
 */
const EVERY_STATEMENTS = 50
/** The longest time between two measurements while a process sends statements, in milliseconds. */
const AT_LAST_MS = 10_000

/**
 * The tables whose growth changes a plan. The other tables have few rows: one for each type, or one for each version.
 */
const TABLES = ['operations', 'payloads', 'steps', 'logs']

/**
 * Selects how many times the tables of `$1` have grown fourfold since they were empty, added up. A plan for a table of
 * 1,024 pages fits every larger table, so it does not count further.
 */
export const MEASURE = {
  name: 'waybill/growth',
  text: `
  SELECT sum(least(6, ceil(log(4, 1 + pg_relation_size(name::regclass) / current_setting('block_size')::int))))::int
  FROM unnest($1::text[]) AS name`,
}

/** The tables to measure, for `$1` of {@link MEASURE}. */
export function measuredTables(schema: string): string[] {
  return TABLES.map(table => `${schema}.${table}`)
}

export class TableGrowth {
  readonly #measure: () => Promise<number>
  readonly #seenBy = new WeakMap<PostgresClient, number>()
  #size = 0
  #measuring = false
  #measuredAt = Number.NEGATIVE_INFINITY
  #statements = 0

  /** @param measure runs {@link MEASURE} */
  constructor(measure: () => Promise<number>) {
    this.#measure = measure
  }

  /**
   * Called before each statement. Measures in the background, unless the last measurement is recent or few statements
   * have run since.
   */
  look(): void {
    this.#statements++
    const passed = performance.now() - this.#measuredAt
    if (this.#measuring || passed < EVERY_MS) return
    if (this.#statements < EVERY_STATEMENTS && passed < AT_LAST_MS) return
    this.#statements = 0
    this.#measuring = true
    void this.#look()
  }

  /** Discards the plans of a connection that were made for smaller tables. */
  async refresh(client: PostgresClient): Promise<void> {
    const seen = this.#seenBy.get(client)
    if (seen === this.#size) return
    this.#seenBy.set(client, this.#size)
    // A connection that is new to the store has no plans of it.
    if (seen !== undefined) await client.query({ text: 'DISCARD PLANS', values: [], rowMode: 'array' })
  }

  async #look(): Promise<void> {
    try {
      // Plans for larger tables also fit tables that have shrunk.
      this.#size = Math.max(this.#size, await this.#measure())
    } catch {
      // The next statement measures again.
    }
    this.#measuring = false
    this.#measuredAt = performance.now()
  }
}
