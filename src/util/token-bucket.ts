/**
 * A token bucket: allows a burst, and a rate per second in the long run. Azure Resource Manager limits its callers this
 * way, and a caller can stay within that limit with a bucket of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** How many tokens a bucket gives. */
export interface TokenRate {
  /** Tokens per second, in the long run. */
  readonly perSecond: number
  /** The most tokens at once, after a time without use. */
  readonly burst: number
}

export class TokenBucket {
  readonly #rate: TokenRate
  #tokens: number
  /** The time, by the monotonic clock, up to which the tokens have been counted. It is in the future during a pause. */
  #countedTo = performance.now()

  constructor(rate: TokenRate) {
    this.#rate = rate
    this.#tokens = rate.burst
  }

  /** Takes a token and returns 0. Without a token, returns the milliseconds until there may be one. */
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

  /**
   * Gives no tokens for this many milliseconds, and is empty after that: if a service asks for a pause, its own bucket
   * was empty.
   */
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
