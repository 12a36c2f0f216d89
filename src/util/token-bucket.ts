/**
 * A token bucket: so many at once, and so many a second. It is how Azure Resource Manager meters
 * its callers, and how a caller keeps within that by itself.
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

  /** Takes one. 0 when it was there; else the milliseconds until one may be, and none is taken. */
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

  /** Gives nothing for so many milliseconds, and then begins without a reserve: whoever asked for the pause had none left. */
  pause(ms: number): void {
    this.#tokens = 0
    this.#countedTo = Math.max(this.#countedTo, performance.now() + ms)
  }

  /**
   * Takes one when it is there, unless that takes too long.
   *
   * @returns 0 when it was taken; else the milliseconds that it would still take
   * @throws when the signal aborts
   */
  async turn(longestMs: number, signal: AbortSignal): Promise<number> {
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
