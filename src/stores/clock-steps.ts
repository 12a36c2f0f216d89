/**
 * Steps of a store's clock, such as an administrator, a correction by NTP or a machine that wakes up makes. Leases and
 * due times are kept by that clock; a step is seen by comparing it with the monotonic clock of this process.
 */

/** What a look at the clock has found. */
export interface ClockLook {
  /**
   * How many whole milliseconds the clock was set forward since leases may have been written. A lease has run out when it has
   * by the clock less these: its holder has not had its time.
   */
  readonly aheadMs: number
  /** Whether due times may have been written by a clock that has been set back since: from the first look, and from a step back, until {@link ClockSteps.noteRescheduled}. */
  readonly mayBeBack: boolean
}

/** Two clocks differ by less, in milliseconds; and by less than this part of the time between two looks. */
const TOLERANCE_MS = 1000
const TOLERANCE_SHARE = 1 / 1000
/** How long holders have to renew by the new time, in milliseconds, unless longer leases are known. */
const RENEWED_WITHIN_MS = 60_000

export class ClockSteps {
  readonly #monotonic: () => number
  #seen: { readonly now: number; readonly at: number } | undefined
  #renewedWithinMs = RENEWED_WITHIN_MS
  #aheadMs = 0
  /** At first too: the clock may have been set back while no process ran. */
  #mayBeBack = true
  #aheadUntil = 0

  /** @param monotonic milliseconds; default `performance.now` */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  /** A lease of this length was asked for. */
  noteLease(leaseMs: number): void {
    this.#renewedWithinMs = Math.max(this.#renewedWithinMs, leaseMs)
  }

  /** Every due time that an older clock wrote is in order again: until then each look says that there may be some. */
  noteRescheduled(): void {
    this.#mayBeBack = false
  }

  /** @param now the store's clock, in milliseconds since the epoch */
  look(now: number): ClockLook {
    const [at, seen] = [this.#monotonic(), this.#seen]
    this.#seen = { now, at }
    if (at >= this.#aheadUntil) this.#aheadMs = 0
    if (seen === undefined) return { aheadMs: 0, mayBeBack: this.#mayBeBack }
    const step = now - seen.now - (at - seen.at)
    const isStep = Math.abs(step) > TOLERANCE_MS + TOLERANCE_SHARE * (at - seen.at)
    if (isStep) {
      this.#aheadMs = Math.max(0, Math.ceil(this.#aheadMs + step))
      this.#aheadUntil = at + this.#renewedWithinMs
    }
    if (isStep && step < 0) this.#mayBeBack = true
    return { aheadMs: this.#aheadMs, mayBeBack: this.#mayBeBack }
  }
}
