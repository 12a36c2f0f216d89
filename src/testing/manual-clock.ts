/** A clock that stands still until it is moved. */
export interface ManualClock {
  /** The present in milliseconds since the epoch. It can be handed on as a function of its own. */
  readonly now: () => number
  /** The monotonic clock beside it, in milliseconds. It can be handed on as a function of its own. */
  readonly monotonic: () => number
  /** Moves both clocks forward by this many milliseconds. */
  advance(ms: number): void
  /** Sets the clock forward, or back where `ms` is negative, as an administrator does: the monotonic one stays. */
  step(ms: number): void
  /** Moves the clock forward to a time in milliseconds since the epoch; one that has passed changes nothing. */
  advanceTo(time: number): void
}

/**
 * Makes a clock that only moves when it is told to.
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
