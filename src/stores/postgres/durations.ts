/**
 * How long completed attempts ran; estimates are made from that. A process writes its durations together once a second,
 * because a row of them would make each outcome more expensive. If the process is killed, the last ones are missing.
 */
import type { Operation } from '../../model/operation.ts'

/** How many durations of a type are read. No more are written at once, and no more are kept. */
export const DURATIONS_KEPT = 100

const PAUSE_MS = 1000

/** Durations of one type in milliseconds, the newest first. */
export interface DurationRow {
  readonly type: string
  readonly ms: readonly number[]
}

export class Durations {
  readonly #write: (rows: readonly DurationRow[]) => Promise<unknown>
  /** By type, the newest last. */
  readonly #held = new Map<string, number[]>()
  #timer: NodeJS.Timeout | undefined
  #written: Promise<void> = Promise.resolve()

  constructor(write: (rows: readonly DurationRow[]) => Promise<unknown>) {
    this.#write = write
  }

  /** Adds the duration of an operation that has just been completed. */
  note({ type, attemptStartedAt, finishedAt }: Operation): void {
    if (attemptStartedAt === null || finishedAt === null) return
    const held = this.#held.get(type) ?? []
    this.#held.set(type, held)
    held.push(finishedAt - attemptStartedAt)
    if (held.length > 2 * DURATIONS_KEPT) held.splice(0, DURATIONS_KEPT)
    this.#timer ??= setTimeout(() => void this.flush(), PAUSE_MS).unref()
  }

  /** Resolves when everything that was added is written, or could not be: estimates are then less exact. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const rows = [...this.#held].map(([type, ms]) => ({ type, ms: ms.slice(-DURATIONS_KEPT).reverse() }))
    this.#held.clear()
    if (rows.length > 0) this.#written = this.#written.then(() => this.#write(rows)).then(ignore, ignore)
    await this.#written
  }
}

function ignore(): void {}
