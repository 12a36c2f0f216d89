/** Takes operations out of the queue: for attempts, or to start executions for them. */
import type { Row } from './pool.ts'
import type { StatementName } from './statements.ts'

/** Options of {@link Claims}. */
export interface ClaimsOptions {
  readonly run: (name: StatementName, values: unknown[]) => Promise<Row[]>
  /** Stands in for the server's clock; null for that one. */
  readonly now: () => number | null
  /** Whether outcomes are written at the end of this turn of the event loop. */
  readonly outcomesCome: () => boolean
}

/** A claim that waits for a batch of outcomes, to be sent with it. */
export interface JoiningClaim {
  /** The parameters of its statement. */
  readonly given: readonly unknown[]
  readonly resolve: (rows: Row[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Where a claim looks while all that it finds is locked by others: most of them claim too, and are done with the head
 * of the queue by the second look. Then it goes on behind, as far as 100,000 operations.
 */
const WINDOWS: readonly number[] = [0, ...Array(50).keys()]

export class Claims {
  readonly #options: ClaimsOptions
  readonly #joining: JoiningClaim[] = []

  constructor(options: ClaimsOptions) {
    this.#options = options
  }

  /**
   * Takes what is ready.
   *
   * @param limit how many in all; the further values are those that the statement has after it
   */
  async take(
    name: 'claim' | 'launch',
    types: readonly { readonly type: string; readonly limit: number }[],
    [limit, ...values]: readonly [number, ...unknown[]],
  ): Promise<Row[]> {
    const asked = types.filter(type => type.limit > 0)
    if (asked.length === 0 || limit <= 0) return []
    const wanted = asked.map((it, place) => ({ type: it.type, most: Math.min(it.limit, limit), place }))
    const given = [this.#options.now(), JSON.stringify(wanted), limit, ...values]
    for (const [look, skipped] of WINDOWS.entries()) {
      const isJoined = look === 0 && name === 'claim' && this.#options.outcomesCome()
      const rows = isJoined ? await this.#withOutcomes(given) : await this.#look(name, given, skipped)
      if (rows[0]?.at(-1) !== true) return rows.filter(([id]) => id !== null)
    }
    return []
  }

  /** The claim that is to be sent with the outcomes that are written now, if there is one. */
  joining(): JoiningClaim | undefined {
    return this.#joining.shift()
  }

  async #look(name: 'claim' | 'launch', given: unknown[], skipped: number): Promise<Row[]> {
    const { run } = this.#options
    return skipped === 0 ? await run(name, given) : await run(`${name}Behind`, [...given, skipped])
  }

  /** With the outcomes that are written at the end of this turn, so that both take one commit. */
  async #withOutcomes(given: unknown[]): Promise<Row[]> {
    const claim = { given, ...Promise.withResolvers<Row[]>() }
    this.#joining.push(claim)
    // There may be no such batch any more.
    setImmediate(() => {
      if (!this.#joining.includes(claim)) return
      this.#joining.splice(this.#joining.indexOf(claim), 1)
      this.#options.run('claim', given).then(claim.resolve, claim.reject)
    })
    return await claim.promise
  }
}
