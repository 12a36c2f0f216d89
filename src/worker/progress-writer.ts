/** Writes the progress of an attempt: the first value at once, then the latest one at intervals. */
import type { Progress } from '../model/protocol.ts'

/**
 * The shortest time between two writes of the progress, in milliseconds. Only the last of the values in between is
 * written.
 */
const PROGRESS_EVERY_MS = 200

export class ProgressWriter {
  readonly #write: (progress: Progress) => void
  #next: Progress | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(write: (progress: Progress) => void) {
    this.#write = write
  }

  write(progress: Progress): void {
    this.#next = progress
    if (this.#timer === undefined) this.#writeNext()
  }

  /** Writes the value that is held back: called when the attempt ends. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#next !== undefined) this.#write(this.#next)
    this.#next = undefined
  }

  #writeNext(): void {
    this.flush()
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#next !== undefined) this.#writeNext()
    }, PROGRESS_EVERY_MS).unref()
  }
}
