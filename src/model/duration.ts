/** Durations as people write them: a number of milliseconds, or `'250ms'`, `'30s'`, `'15m'`, `'2h'`, `'7d'`. */

/** A duration: a number of milliseconds, or a number with the unit `ms`, `s`, `m`, `h` or `d`, such as `'30s'`. */
export type Duration = number | `${number}${Unit}`

/** Bounds in milliseconds. `min` is 0 by default. `max` is {@link LONGEST_TIMER_MS}, unless the duration never becomes a timer. */
export interface DurationRange {
  readonly min?: number
  readonly max?: number
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
type Unit = keyof typeof UNITS

export const SECOND: number = UNITS.s
export const MINUTE: number = UNITS.m
export const HOUR: number = UNITS.h

/** Ten years: the longest duration that is stored as data. */
export const LONGEST_MS: number = 3650 * UNITS.d

/**
 * The longest duration that may become a timer, in milliseconds: 20 days. A timer of 2^31 ms (24.8 days) or more fires
 * at once. 20 days leave room for the random part, up to a tenth, that a loop adds to its interval.
 */
export const LONGEST_TIMER_MS: number = 20 * UNITS.d

/** Limits a computed delay to what a timer can take: 0 to {@link LONGEST_TIMER_MS} milliseconds. */
export function timerMs(ms: number): number {
  return Math.min(Math.max(ms, 0), LONGEST_TIMER_MS)
}

/**
 * Reads a duration into milliseconds.
 *
 * @param name the name of the option; the error begins with it
 * @throws {TypeError} when the value is not a duration, or lies outside its range
 */
export function durationMs(name: string, value: unknown, range: DurationRange = {}): number {
  const ms = readDuration(value, range)
  if (ms !== undefined) return ms
  const { min = 0, max = LONGEST_TIMER_MS } = range
  const bounds = `from ${durationText(min)} to ${durationText(max)}`
  throw new TypeError(
    `${name} must be a number of milliseconds or a string such as "30s", ${bounds}, not ${JSON.stringify(value)}.`,
  )
}

/** The milliseconds of a duration that was checked already. */
export function toMs(duration: Duration): number {
  return readDuration(duration, { max: Number.POSITIVE_INFINITY }) ?? Number.NaN
}

/** The milliseconds of a duration; undefined when the value is not a duration, or lies outside its range. */
export function readDuration(value: unknown, { min = 0, max = LONGEST_TIMER_MS }: DurationRange): number | undefined {
  const ms = typeof value === 'number' ? value : parse(value)
  return ms >= min && ms <= max ? Math.round(ms) : undefined
}

/** Writes milliseconds in the largest unit that divides them, such as `30s`. */
export function durationText(ms: number): string {
  const [unit] = (Object.keys(UNITS) as Unit[]).filter(each => ms % UNITS[each] === 0 && ms > 0).slice(-1)
  return unit === undefined ? `${ms}ms` : `${ms / UNITS[unit]}${unit}`
}

function parse(value: unknown): number {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value) : null
  if (match === null) return Number.NaN
  return Number(match[1]) * UNITS[match[2] as Unit]
}
