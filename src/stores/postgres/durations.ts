/**
 * How long completed attempts ran; estimates are made from that. A process writes its durations together, because a row
 * of them would make each outcome more expensive. If the process is killed, the last ones are missing.
 */
import type { Operation } from '../../model/operation.ts'

/** How many durations of a type are read. No more are written at once, and no more are kept. */
export const DURATIONS_KEPT = 100

/** How long durations are collected before they are written, in milliseconds, after a time without any. */
const FIRST_PAUSE_MS = 1000
/** The same while durations come all the time. In a large fleet many processes write them. */
const PAUSE_MS = 5000

/** Runs a statement on the table of durations. */
type Run = (name: 'noteDurations' | 'check' | 'dropDurations', values: unknown[]) => Promise<unknown>

export class Durations {
  readonly #run: Run
  #hasGrown = false
  #writtenAt = Number.NEGATIVE_INFINITY
  /** By type, the newest last. */
  readonly #held = new Map<string, number[]>()
  #timer: NodeJS.Timeout | undefined
  #written: Promise<void> = Promise.resolve()

  constructor(run: Run) {
    this.#run = run
  }

  /** Whether this process has added rows to the table since it has deleted old ones. */
  get hasGrown(): boolean {
    return this.#hasGrown
  }

  /** Writes the last ones. A process that never sweeps, such as one for a single operation, deletes old rows here. */
  async close(): Promise<void> {
    await this.flush()
    // If this fails, another process deletes them later.
    if (this.#hasGrown) await this.drop().catch(ignore)
  }

  /** Deletes old rows. */
  async drop(): Promise<void> {
    await this.#run('dropDurations', [])
    this.#hasGrown = false
  }

  /** Adds a row that means nothing, to see whether the database can be written. */
  async check(): Promise<void> {
    this.#hasGrown = true
    await this.#run('check', [])
  }

  /** Adds the duration of an operation that has just been completed. */
  note({ type, attemptStartedAt, finishedAt }: Operation): void {
    if (attemptStartedAt === null || finishedAt === null) return
    const held = this.#held.get(type) ?? []
    this.#held.set(type, held)
    held.push(finishedAt - attemptStartedAt)
    if (held.length > 2 * DURATIONS_KEPT) held.splice(0, DURATIONS_KEPT)
    const wasQuiet = performance.now() - this.#writtenAt > 2 * PAUSE_MS
    this.#timer ??= setTimeout(() => void this.flush(), wasQuiet ? FIRST_PAUSE_MS : PAUSE_MS).unref()
  }

  /** Resolves when everything that was added is written, or could not be: estimates are then less exact. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // The newest come first.
    const rows = [...this.#held].map(([type, ms]) => ({ type, ms: ms.slice(-DURATIONS_KEPT).reverse() }))
    this.#held.clear()
    if (rows.length > 0) {
      this.#written = this.#written.then(() => this.#write(JSON.stringify(rows))).then(ignore, ignore)
    }
    await this.#written
  }

  async #write(rows: string): Promise<void> {
    this.#hasGrown = true
    this.#writtenAt = performance.now()
    await this.#run('noteDurations', [rows])
  }
}

function ignore(): void {}
