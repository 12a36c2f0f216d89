/** Durations as people write them: milliseconds as a number, or `'250ms'`, `'30s'`, `'15m'`, `'2h'`, `'7d'`. */

/** A duration: a number of milliseconds, or a number with the unit ms, s, m, h or d. */
export type Duration = number | `${number}${Unit}`

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
type Unit = keyof typeof UNITS

export const SECOND: number = UNITS.s
export const MINUTE: number = UNITS.m

/** Ten years: the longest duration that is kept anywhere as data. */
export const LONGEST_MS: number = 3650 * UNITS.d

/**
 * The longest duration that may become a timer, in milliseconds: 20 days. A timer of 2^31 ms (24.8 days) or more fires
 * at once, and a loop adds up to a tenth to its interval.
 */
export const LONGEST_TIMER_MS: number = 20 * UNITS.d

/** What a timer is set to that is computed from what others ask for: milliseconds, at most {@link LONGEST_TIMER_MS}. */
export function timerMs(ms: number): number {
  return Math.min(Math.max(ms, 0), LONGEST_TIMER_MS)
}

/**
 * Reads a duration into milliseconds.
 *
 * @param name what the duration is for; the error names it
 * @param range `min` is 0 by default. `max` is {@link LONGEST_TIMER_MS}, unless the duration never becomes a timer
 * @throws {TypeError} when it cannot be read, or lies outside its range
 */
export function durationMs(name: string, value: unknown, range: { min?: number; max?: number } = {}): number {
  const { min = 0, max = LONGEST_TIMER_MS } = range
  const ms = typeof value === 'number' ? value : parse(value)
  if (ms >= min && ms <= max) return Math.round(ms)
  const bounds = `from ${min} ms to ${max} ms`
  throw new TypeError(
    `${name} must be milliseconds, or a text such as "250ms", "30s", "15m", "2h" or "7d", ${bounds}, not ${JSON.stringify(value)}.`,
  )
}

function parse(value: unknown): number {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value) : null
  if (match === null) return Number.NaN
  return Number(match[1]) * UNITS[match[2] as Unit]
}
