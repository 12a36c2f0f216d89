/** Durations as people write them: milliseconds as a number, or `'250ms'`, `'30s'`, `'15m'`, `'2h'`, `'7d'`. */

/** A duration: a number of milliseconds, or a number with the unit ms, s, m, h or d. */
export type Duration = number | `${number}${Unit}`

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
type Unit = keyof typeof UNITS

export const SECOND: number = UNITS.s
export const MINUTE: number = UNITS.m

/** Ten years: the longest duration that is taken anywhere. */
export const LONGEST_MS: number = 3650 * UNITS.d

/**
 * Reads a duration into milliseconds.
 *
 * @param name what the duration is for; the error names it
 * @throws {TypeError} when it cannot be read, or lies outside `min` (default 0) to `max` (default ten years)
 */
export function durationMs(name: string, value: unknown, range: { min?: number; max?: number } = {}): number {
  const { min = 0, max = LONGEST_MS } = range
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
