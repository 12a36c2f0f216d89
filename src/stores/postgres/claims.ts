/** Takes operations from the queue, for attempts or in order to start executions. */
import type { Operation } from '../../model/operation.ts'
import type { Row } from './pool.ts'
import type { StatementName } from './statements.ts'

/** Options of {@link Claims}. */
export interface ClaimsOptions {
  readonly run: (name: StatementName, values: unknown[]) => Promise<Row[]>
  /** A clock that replaces the server's; null: the server's clock is used. */
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
 * Where a look at all that is ready or due goes on while others have locked everything that it finds. Most of them are
 * claims too, and have finished with the head of the queue by the second look. Then it looks further back, through up to
 * 100,000 operations.
 */
const WINDOWS: readonly number[] = [0, ...Array(50).keys()]

export class Claims {
  readonly #options: ClaimsOptions
  readonly #joining: JoiningClaim[] = []

  constructor(options: ClaimsOptions) {
    this.#options = options
  }

  /**
   * Takes what is ready. Claims come in any order: see {@link inOrder}.
   *
   * @param limit how many in all; the other values are the parameters of the statement after it
   */
  async take(
    name: 'claim' | 'launch',
    types: readonly { readonly type: string; readonly limit: number }[],
    [limit, ...values]: readonly [number, ...unknown[]],
  ): Promise<Row[]> {
    const asked = types.filter(type => type.limit > 0)
    if (asked.length === 0 || limit <= 0) return []
    const given = [this.#options.now(), askedText(asked, limit), limit, ...values]
    if (name === 'launch') return await this.#lookOn('launch', 'launchBehind', given)
    const first = await (this.#options.outcomesCome() ? this.#withOutcomes(given) : this.#options.run('claim', given))
    if (missedBy(first) === null) return takenBy(first)
    return await this.#lookOn('claimAll', 'claimBehind', given)
  }

  /**
   * Whether a claim would find something, and whether a seat is free.
   *
   * @param seats their names
   */
  async peek(
    types: readonly { readonly type: string; readonly limit: number }[],
    seats: readonly string[],
  ): Promise<{ isAnyReady: boolean; isSeatFree: boolean }> {
    // One of each type would be enough to know.
    const [row = []] = await this.#options.run('peek', [this.#options.now(), askedText(types, 1), seats])
    return { isAnyReady: row[0] === true || row[1] === true, isSeatFree: row[2] === true }
  }

  /** The claim that is sent together with the outcomes that are written now, if there is one. */
  joining(): JoiningClaim | undefined {
    return this.#joining.shift()
  }

  /**
   * Looks at all ready operations, including those that have become due. While others have locked all that it found, it
   * looks further back.
   */
  async #lookOn(name: StatementName, behind: StatementName, given: readonly unknown[]): Promise<Row[]> {
    const { run } = this.#options
    for (const skipped of WINDOWS) {
      const rows = await (skipped === 0 ? run(name, [...given]) : run(behind, [...given, skipped]))
      if (missedBy(rows) === null) return takenBy(rows)
    }
    return []
  }

  /** Claims together with the outcomes that are written at the end of this turn, so that both need one commit. */
  async #withOutcomes(given: unknown[]): Promise<Row[]> {
    const claim = { given, ...Promise.withResolvers<Row[]>() }
    this.#joining.push(claim)
    // If there is no such batch after all, the claim is sent alone.
    setImmediate(() => {
      if (!this.#joining.includes(claim)) return
      this.#joining.splice(this.#joining.indexOf(claim), 1)
      this.#options.run('claim', given).then(claim.resolve, claim.reject)
    })
    return await claim.promise
  }
}

/** The types to claim, in their order, and the most of each: `$2` of the statements. */
function askedText(types: readonly { readonly type: string; readonly limit: number }[], most: number): string {
  return JSON.stringify(types.map(({ type, limit }, place) => ({ type, most: Math.min(limit, most), place })))
}

/** What a statement has missed in the queue: `due`, `held` or null. The last column of its first row contains it. */
function missedBy(rows: readonly Row[]): unknown {
  return rows[0]?.at(-1)
}

function takenBy(rows: readonly Row[]): Row[] {
  return rows.filter(([id]) => id !== null)
}

/** Sorts claimed operations: by type in the order of the request, then by priority, then by id. */
export function inOrder<Claimed extends { readonly operation: Operation }>(
  claimed: readonly Claimed[],
  types: readonly { readonly type: string }[],
): Claimed[] {
  const places = types.map(({ type }) => type)
  return claimed.toSorted(
    ({ operation: one }, { operation: other }) =>
      places.indexOf(one.type) - places.indexOf(other.type) ||
      other.priority - one.priority ||
      (one.id < other.id ? -1 : 1),
  )
}
