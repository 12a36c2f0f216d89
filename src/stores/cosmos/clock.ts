/**
 * The store's clock: the time of the Cosmos DB service, told from the `Date` header of its answers.
 *
 * The header counts whole seconds, so each answer says that the service's clock was within one second
 * of some moment between the request and the answer. What many answers say together is narrower: after a few
 * dozen of them the time is known to some milliseconds more than a round trip takes.
 */

/** Two crystals drift apart by less than this, as a part of the time that passes. */
const DRIFT = 1e-4

export class ServerClock {
  /** The service's time, less the monotonic one, is between these two. */
  #low = 0
  #high = 0
  #heardAt: number | undefined
  readonly #monotonic: () => number

  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  /** Milliseconds since the epoch. Before the first answer, by this machine's clock. */
  now(): number {
    if (this.#heardAt === undefined) return Date.now()
    return Math.round(this.#monotonic() + (this.#low + this.#high) / 2)
  }

  /**
   * @param date of the answer, as in HTTP
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
    // Where it does not fit, a clock was set: what was known before is worth nothing.
    this.#low = fits ? Math.max(low, oldLow) : low
    this.#high = fits ? Math.min(high, oldHigh) : high
  }
}
