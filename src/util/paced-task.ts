/** A task that many events request. It runs at once for the first request, and then at a limited pace. */

/** Options of a {@link PacedTask}. */
export interface PacedTaskOptions {
  /** The shortest time between two runs, in milliseconds. */
  readonly everyMs: number
  /** It runs for at most this share of the time, from 0 to 1. Default 1: only `everyMs` counts. */
  readonly share?: number
}

export class PacedTask {
  readonly #run: () => Promise<void> | void
  readonly #everyMs: number
  readonly #share: number
  #requested = false
  #busy = false
  #stopped = false
  #timer: NodeJS.Timeout | undefined

  /** @param run the task; it handles its own errors */
  constructor(run: () => Promise<void> | void, { everyMs, share = 1 }: PacedTaskOptions) {
    this.#run = run
    this.#everyMs = everyMs
    this.#share = share
  }

  /** Runs the task now, or once more as soon as its pace allows. */
  request(): void {
    this.#requested = true
    if (!this.#busy && !this.#stopped) void this.#turn()
  }

  /** Does not run it again. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #turn(): Promise<void> {
    this.#requested = false
    this.#busy = true
    const began = performance.now()
    await this.#run()
    if (this.#stopped) return
    const tookMs = performance.now() - began
    const pause = Math.max(this.#everyMs, tookMs / this.#share) - tookMs
    this.#timer = setTimeout(() => {
      this.#busy = false
      if (this.#requested) void this.#turn()
    }, pause).unref()
  }
}
