/** The limits of submissions, counted within the transaction that writes them. */
import type { Operation } from '../../model/operation.ts'
import type { Submission, SubmissionLimits } from '../../model/submission.ts'
import { type Database, prepare, type Statement } from './database.ts'

interface Counted {
  readonly limit: number
  /** The count when it was read, at most the limit, plus the operations that the transaction has accepted since. */
  count: number
}

export class Limits {
  readonly #unfinished: Statement<{ count: number }>
  readonly #ready: Statement<{ count: number }>
  /** The counts by scope, so that a batch of submissions reads each count once. */
  #counted = new Map<string, Counted>()

  constructor(database: Database) {
    this.#unfinished = prepare(
      database,
      `
      SELECT count(*) AS count FROM (
        SELECT 1 FROM operations INDEXED BY operations_listed WHERE type = ? AND owner = ? AND ended IS NULL LIMIT ?)`,
    )
    this.#ready = prepare(
      database,
      `
      SELECT count(*) AS count FROM (
        SELECT 1 FROM operations INDEXED BY operations_ready WHERE type = ? AND status = 0 AND run_at IS NULL
        UNION ALL SELECT 1 FROM operations INDEXED BY operations_delayed WHERE type = ? AND status = 0 AND run_at <= ? LIMIT ?)`,
    )
  }

  /** Forgets the counts. Call it when something other than {@link add} may have changed them. */
  forget(): void {
    if (this.#counted.size > 0) this.#counted = new Map()
  }

  /** The limit that one more operation would exceed. */
  reached({ type, owner, limits }: Submission, now: number): keyof SubmissionLimits | undefined {
    if (limits === undefined) return undefined
    const { inFlight, backlog } = limits
    if (this.#isReached(flightOf(type, owner), inFlight, most => this.#unfinished.get(type, owner, most))) {
      return 'inFlight'
    }
    return this.#isReached(type, backlog, most => this.#ready.get(type, type, now, most)) ? 'backlog' : undefined
  }

  /** Counts an operation that was accepted. */
  add({ type, owner, runAt }: Operation): void {
    if (this.#counted.size === 0) return
    const scopes = runAt === null ? [flightOf(type, owner), type] : [flightOf(type, owner)]
    for (const scope of scopes) {
      const counted = this.#counted.get(scope)
      if (counted !== undefined) counted.count++
    }
  }

  #isReached(scope: string, limit: number | undefined, read: (most: number) => { count: number } | undefined): boolean {
    if (limit === undefined) return false
    let counted = this.#counted.get(scope)
    if (counted?.limit !== limit) {
      counted = { limit, count: read(limit)?.count ?? 0 }
      this.#counted.set(scope, counted)
    }
    return counted.count >= limit
  }
}

function flightOf(type: string, owner: string): string {
  return `${type}/${owner}`
}
