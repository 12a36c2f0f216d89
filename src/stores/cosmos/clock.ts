/**
 * The store's clock: the time of the Cosmos DB service, computed from the `Date` header of its answers.
 *
 * The header has whole seconds, so each answer limits the service's clock to a range: one second plus the time between
 * the request and the answer. Many answers together give a narrower range. After a few dozen of them, the error is a
 * few milliseconds more than a round trip takes.
 */

/** Two clocks drift apart by less than this part of the time that passes. */
const DRIFT = 1e-4

export class ServerClock {
  /** The service's time minus the monotonic time lies between these two. */
  #low = 0
  #high = 0
  #heardAt: number | undefined
  readonly #monotonic: () => number

  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  /** Milliseconds since the epoch. Before the first answer, the clock of this machine is used. */
  now(): number {
    if (this.#heardAt === undefined) return Date.now()
    return Math.round(this.#monotonic() + (this.#low + this.#high) / 2)
  }

  /**
   * @param date the `Date` header of the answer
   * @param asked when the request was sent, by the monotonic clock
   */
  heard(date: unknown, asked: number): void {
    const second = typeof date === 'string' ? Date.parse(date) : Number.NaN
    if (Number.isNaN(second)) return
    const got = this.#monotonic()
    const [low, high] = [second - got, second + 1000 - asked]
    const drift = this.#heardAt === undefined ? 0 : (got - this.#heardAt) * DRIFT
    const [oldLow, oldHigh] = [this.#low - drift, this.#high + drift]
    const fits = this.#heardAt !== undefined && low <= oldHigh && high >= oldLow
    this.#heardAt = got
    // If the ranges do not overlap, one of the clocks was set, and the old range is discarded.
    this.#low = fits ? Math.max(low, oldLow) : low
    this.#high = fits ? Math.min(high, oldHigh) : high
  }
}
