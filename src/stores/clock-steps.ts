/**
 * Detects steps of a store's clock. They are caused by an administrator, by NTP, or by a machine that wakes up. Leases
 * and due times are measured by that clock; a step is detected by a comparison with the monotonic clock of this
 * process.
 */

/** The result of a look at the clock. */
export interface ClockLook {
  /**
   * How far the clock was set forward after the current leases may have been written, in whole milliseconds. Leases
   * last longer by this much, since otherwise their holders would have had less time than agreed.
   */
  readonly aheadMs: number
  /**
   * Whether the clock may have been set back after due times were written. True from the first look, and from each step
   * back, until {@link ClockSteps.noteRescheduled} is called.
   */
  readonly mayBeBack: boolean
}

/**
 * A smaller difference between the two clocks, in milliseconds, is not a step; neither is a difference below this part
 * of the time between two looks.
 */
const TOLERANCE_MS = 1000
const TOLERANCE_SHARE = 1 / 1000
/** How long holders have to renew their leases by the new time, in milliseconds, unless longer leases are known. */
const RENEWED_WITHIN_MS = 60_000

export class ClockSteps {
  readonly #monotonic: () => number
  #seen: { readonly now: number; readonly at: number } | undefined
  #renewedWithinMs = RENEWED_WITHIN_MS
  #aheadMs = 0
  /** True at first: the clock may have been set back while no process ran. */
  #mayBeBack = true
  #aheadUntil = 0

  /** @param monotonic milliseconds; default `performance.now` */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  /** Notes that a lease of this length was requested. */
  noteLease(leaseMs: number): void {
    this.#renewedWithinMs = Math.max(this.#renewedWithinMs, leaseMs)
  }

  /** Notes that all due times from before a step back have been corrected. */
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
