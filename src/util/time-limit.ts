/**
 * A time limit for promises. The limit is the same for all of them, so one timer serves all. On a path that every
 * request takes, one timer for each promise would cost more than the work.
 */

interface Waiting {
  /** When its time is up, by the monotonic clock. */
  readonly until: number
  readonly reject: (error: Error) => void
}

export class TimeLimit {
  readonly #ms: number
  readonly #message: string
  /** In the order in which their time is up. */
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined

  /** @param message the message of the error when the time is up */
  constructor(ms: number, message: string) {
    this.#ms = ms
    this.#message = message
  }

  /** Settles as the promise does, or rejects when the time is up. */
  within<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { until: performance.now() + this.#ms, reject }
      this.#waiting.add(waiting)
      this.#timer ??= setTimeout(() => this.#rejectLate(), this.#ms).unref()
      const settle = <A>(act: (result: A) => void) => {
        return (result: A) => {
          this.#waiting.delete(waiting)
          act(result)
        }
      }
      promise.then(settle(resolve), settle(reject))
    })
  }

  #rejectLate(): void {
    this.#timer = undefined
    const now = performance.now()
    for (const waiting of this.#waiting) {
      if (waiting.until > now) {
        this.#timer = setTimeout(() => this.#rejectLate(), waiting.until - now).unref()
        return
      }
      this.#waiting.delete(waiting)
      waiting.reject(new Error(this.#message))
    }
  }
}
