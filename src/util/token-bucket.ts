/**
 * A token bucket: allows a burst, and a rate per second in the long run. Azure Resource Manager limits its callers this
 * way, and a caller can keep within that limit by the same means.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** How much a bucket gives. */
export interface TokenRate {
  /** How many a second, in the long run. */
  readonly perSecond: number
  /** How many at once, after a rest. */
  readonly burst: number
}

export class TokenBucket {
  readonly #rate: TokenRate
  #tokens: number
  /** By the monotonic clock: up to when the tokens have been counted. In the future while it is paused. */
  #countedTo = performance.now()

  constructor(rate: TokenRate) {
    this.#rate = rate
    this.#tokens = rate.burst
  }

  /** Takes a token and returns 0, or returns the milliseconds until there may be one. */
  take(): number {
    const now = performance.now()
    if (now > this.#countedTo) {
      this.#tokens = Math.min(this.#rate.burst, this.#tokens + ((now - this.#countedTo) / 1000) * this.#rate.perSecond)
      this.#countedTo = now
    }
    if (now < this.#countedTo) return this.#countedTo - now + this.#untilNextMs
    if (this.#tokens < 1) return this.#untilNextMs
    this.#tokens--
    return 0
  }

  /** Gives nothing for this many milliseconds, and starts empty after that: a service that asks for a pause had no token left. */
  pause(ms: number): void {
    this.#tokens = 0
    this.#countedTo = Math.max(this.#countedTo, performance.now() + ms)
  }

  /**
   * Waits for a token and takes it, unless that takes too long.
   *
   * @returns 0 when a token was taken; else the milliseconds until there may be one
   * @throws when the signal aborts
   */
  async waitAndTake(longestMs: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted()
      const ms = this.take()
      if (ms === 0 || ms > longestMs) return ms
      await sleep(Math.ceil(ms), undefined, { signal })
    }
  }

  get #untilNextMs(): number {
    return Math.max(((1 - this.#tokens) / this.#rate.perSecond) * 1000, 0)
  }
}
