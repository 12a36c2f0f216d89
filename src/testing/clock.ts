/** A clock that stands still until it is moved. */
export interface ManualClock {
  /** The present in milliseconds since the epoch. It can be handed on as a function of its own. */
  readonly now: () => number
  /** Moves the clock forward by so many milliseconds. */
  advance(ms: number): void
  /** Moves the clock forward to a time in milliseconds since the epoch; one that has passed changes nothing. */
  advanceTo(time: number): void
}

/**
 * Makes a clock that only moves when it is told to.
 *
 * @param start milliseconds since the epoch; default the beginning of 2025
 */
export function manualClock(start: number = Date.UTC(2025, 0, 1)): ManualClock {
  let time = start
  return {
    now: () => time,
    advance: ms => {
      time += ms
    },
    advanceTo: to => {
      time = Math.max(time, to)
    },
  }
}
