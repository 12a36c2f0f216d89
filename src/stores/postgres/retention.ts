/**
 * Deletes what has passed its retention, in batches. Until a vacuum, the index keeps an entry for each deleted operation,
 * and while a transaction is open that is older than the deletion, such as a backup's, the row of each is looked up too.
 * So after a full batch the next one begins where that one ended: else each batch would pass all earlier ones.
 */
import type { Connections } from './connections.ts'
import type { Statements } from './statements.ts'

/** Options of {@link Retention}. */
export interface RetentionOptions {
  readonly connections: Connections
  readonly statements: Pick<Statements, 'purge'>
  /** A clock that replaces the server's; null: the server's clock is used. */
  readonly now: () => number | null
}

export class Retention {
  readonly #options: RetentionOptions
  #from = 0

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /** When the last operation of a full batch was due to be deleted; 0 after any other batch. */
  get from(): number {
    return this.#from
  }

  /**
   * Deletes a batch.
   *
   * @returns the ids; fewer than the limit only if there are no more
   */
  async purge(limit: number): Promise<string[]> {
    const purged = await this.#purge(limit)
    if (purged.length < limit && this.#from > 0) {
      // What other transactions held is in front.
      this.#from = 0
      purged.push(...(await this.#purge(limit - purged.length)))
    }
    return purged
  }

  async #purge(limit: number): Promise<string[]> {
    const { connections, statements, now } = this.#options
    const rows = await connections.run(statements.purge, [now(), limit, this.#from])
    if (rows.length === limit) this.#from = rows.reduce((last, [, at]) => Math.max(last, Number(at)), 0)
    return rows.map(([id]) => id as string)
  }
}
