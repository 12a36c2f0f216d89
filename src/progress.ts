/** Writing an attempt's progress: the latest one, now and then. */
import type { Progress } from './protocol.ts'

/** Progress is written at most so often; of what comes in between, the last counts. */
const PROGRESS_EVERY_MS = 200

/** Writes the latest progress, now and then. */
export class ProgressWriter {
  readonly #write: (progress: Progress) => Promise<unknown>
  #next: Progress | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(write: (progress: Progress) => Promise<unknown>) {
    this.#write = write
  }

  write(progress: Progress): void {
    this.#next = progress
    if (this.#timer === undefined) this.#flush()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {}, 0).unref()
    this.#next = undefined
  }

  #flush(): void {
    const progress = this.#next
    this.#next = undefined
    this.#timer = undefined
    if (progress === undefined) return
    // A progress that is not written is only missed; the next one, or the outcome, says more.
    this.#write(progress).catch(() => {})
    this.#timer = setTimeout(() => this.#flush(), PROGRESS_EVERY_MS).unref()
  }
}
