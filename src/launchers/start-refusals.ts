/**
 * Watches for starts that an engine keeps refusing. A single refusal is harmless: the start is retried. Lasting
 * refusals are logged as an error, since the API keeps accepting operations that nothing runs.
 */

import type { Logger } from '../util/logger.ts'
import type { RefusalReason } from './launcher.ts'

/** How long starts must be refused without a success before it is an error, in milliseconds: well within a minute. */
const LASTS_AFTER_MS = 30_000
/** After how long a lasting refusal is logged as an error again, in milliseconds. */
const REPEAT_MS = 3_600_000

/** Reasons that are never errors, however long they last. */
const EXPECTED: readonly RefusalReason[] = ['limit']
/** Reasons that do not go away by themselves: already the first refusal is an error. */
const HOPELESS: readonly RefusalReason[] = ['unusable']

/** A refusal. A start that got no answer counts as one, too. */
export interface Refusal {
  readonly reason: RefusalReason
  readonly message: string
}

interface Row {
  /** When it began, by the clock. */
  readonly since: number
  count: number
  /** When it was last logged as an error. */
  errorAt: number | undefined
  last: Refusal
}

export interface StartRefusalsOptions {
  readonly logger: Logger
  /** Milliseconds, monotonic. Default: `performance.now`. */
  readonly clock?: () => number
}

/** The refusals since the last start that succeeded. */
export class StartRefusals {
  readonly #logger: Logger
  readonly #clock: () => number
  #row: Row | undefined

  constructor({ logger, clock = () => performance.now() }: StartRefusalsOptions) {
    this.#logger = logger
    this.#clock = clock
  }

  /** Whether nothing can be started at present, according to the last log entry. */
  get lasting(): boolean {
    return this.#row?.errorAt !== undefined
  }

  refused(refusal: Refusal): void {
    if (EXPECTED.includes(refusal.reason)) return
    this.#row ??= { since: this.#clock(), count: 0, errorAt: undefined, last: refusal }
    this.#row.count++
    this.#row.last = refusal
    if (HOPELESS.includes(refusal.reason) && this.#row.errorAt === undefined) this.#report(this.#row)
    else this.check()
  }

  started(): void {
    const row = this.#row
    this.#row = undefined
    if (row?.errorAt === undefined) return
    const { count: refusals, since } = row
    this.#logger.info({ refusals, lastedMs: Math.round(this.#clock() - since) }, 'Executions can be started again')
  }

  /** Logs refusals that have lasted long enough. Called at intervals, since the next refusal may come minutes later. */
  check(): void {
    const row = this.#row
    if (row === undefined) return
    const now = this.#clock()
    const dueAt = row.errorAt === undefined ? row.since + LASTS_AFTER_MS : row.errorAt + REPEAT_MS
    if (now >= dueAt) this.#report(row)
  }

  #report(row: Row): void {
    const { count: refusals, since, last } = row
    const now = this.#clock()
    row.errorAt = now
    this.#logger.error(
      { reason: last.reason, refusals, lastedMs: Math.round(now - since) },
      `Executions cannot be started: ${last.message}`,
    )
  }
}
