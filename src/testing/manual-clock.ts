/** A clock that only moves when the test moves it. */
export interface ManualClock {
  /** The present in milliseconds since the epoch. The function can be passed on without the clock. */
  readonly now: () => number
  /** The monotonic clock, in milliseconds. The function can be passed on without the clock. */
  readonly monotonic: () => number
  /** Moves both clocks forward by this many milliseconds. */
  advance(ms: number): void
  /**
   * Sets the clock forward, or back if `ms` is negative, as an administrator does. The monotonic clock does not change.
   */
  step(ms: number): void
  /** Moves the clock forward to a time in milliseconds since the epoch. A time in the past changes nothing. */
  advanceTo(time: number): void
}

/**
 * Makes a clock that only moves when the test moves it.
 *
 * @param start milliseconds since the epoch; default the beginning of 2025
 *
 * @example
 * const clock = manualClock()
 * const timed = sqliteStore({ path: ':memory:', clock: clock.now, monotonicClock: clock.monotonic })
 * clock.advance(60_000)
 */
export function manualClock(start: number = Date.UTC(2025, 0, 1)): ManualClock {
  let time = start
  let passed = 0
  const advance = (ms: number) => {
    time += ms
    passed += ms
  }
  return {
    now: () => time,
    monotonic: () => passed,
    advance,
    step: ms => {
      time += ms
    },
    advanceTo: to => advance(Math.max(0, to - time)),
  }
}
