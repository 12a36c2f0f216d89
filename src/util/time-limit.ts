/**
 * A time limit for promises. The limit is the same for all of them, so one timer serves all. On a path that every
 * request takes, one timer for each promise would cost more than the work.
 */
import { Link } from './ring.ts'

/** A promise that waits, in a ring with those before and after it. */
class Waiting extends Link {
  /** When its time is up, by the monotonic clock. */
  readonly until: number
  readonly reject: (error: Error) => void

  constructor(until: number, reject: (error: Error) => void) {
    super()
    this.until = until
    this.reject = reject
  }
}

export class TimeLimit {
  readonly #ms: number
  readonly #message: string
  /** The ring of those that wait, in the order in which their time is up. This is its begin, and waits for nothing. */
  readonly #waiting = new Waiting(0, () => {})
  #timer: NodeJS.Timeout | undefined

  /** @param message the message of the error when the time is up */
  constructor(ms: number, message: string) {
    this.#ms = ms
    this.#message = message
  }

  /** Settles as the promise does, or rejects when the time is up. */
  within<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting = new Waiting(performance.now() + this.#ms, reject)
      waiting.join(this.#waiting)
      this.#timer ??= setTimeout(() => this.#rejectLate(), this.#ms).unref()
      const settle = <A>(act: (result: A) => void) => {
        return (result: A) => {
          waiting.leave()
          act(result)
        }
      }
      promise.then(settle(resolve), settle(reject))
    })
  }

  #rejectLate(): void {
    this.#timer = undefined
    const now = performance.now()
    for (let first = this.#waiting.after; first !== this.#waiting; first = this.#waiting.after) {
      if (first.until > now) {
        this.#timer = setTimeout(() => this.#rejectLate(), first.until - now).unref()
        return
      }
      first.leave()
      first.reject(new Error(this.#message))
    }
  }
}
