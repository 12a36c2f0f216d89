/**
 * Dates as text. `Date` takes a microsecond to format a time, which answers to clients do several times; times that are
 * formatted one after the other mostly lie in the same minute.
 */

const MINUTE_MS = 60_000
const SECONDS = Array.from({ length: 60 }, (_, second) => String(second).padStart(2, '0'))
const MILLISECONDS = Array.from({ length: 1000 }, (_, ms) => String(ms).padStart(3, '0'))

/**
 * Reads a day, or a date and time, of ISO 8601. A day without a time begins in UTC. NaN for a day or an hour that does
 * not exist: `Date.parse` takes February 31 for March 3, and hour 24 for the next day.
 */
export function parseIsoTime(text: string): number {
  const upper = text.toUpperCase()
  const asUtc = Date.parse(upper.replace(/(?<=T.*)[+-]\d{2}:\d{2}$/, 'Z'))
  if (Number.isNaN(asUtc) || isoTime(asUtc).slice(0, 10) !== text.slice(0, 10)) return Number.NaN
  return Date.parse(upper)
}

/** Reads a date of HTTP (RFC 9110, 5.6.7) in the preferred format. NaN for a day or an hour that does not exist. */
export function parseHttpDate(text: string): number {
  const at = Date.parse(text)
  return Number.isNaN(at) || httpDate(at).slice(5, 16) !== text.slice(5, 16) ? Number.NaN : at
}

/** Makes a function that formats a minute, and keeps the text of the last one. */
function minuteFormat(format: (minute: Date) => string): (minute: number) => string {
  let last = Number.NaN
  let text = ''
  return minute => {
    if (minute !== last) {
      text = format(new Date(minute * MINUTE_MS))
      last = minute
    }
    return text
  }
}

const isoMinute = minuteFormat(minute => minute.toISOString().slice(0, -'00.000Z'.length))
const httpMinute = minuteFormat(minute => minute.toUTCString().slice(0, -'00 GMT'.length))

/**
 * The same as `new Date(at).toISOString()`.
 *
 * @param at milliseconds since the epoch; a fraction, which the clock of a user may have, is left out
 * @throws {RangeError} if it is not a time
 */
export function isoTime(at: number): string {
  const whole = Math.trunc(at)
  const minute = Math.floor(whole / MINUTE_MS)
  const left = whole - minute * MINUTE_MS
  const second = Math.floor(left / 1000)
  return `${isoMinute(minute)}${SECONDS[second]}.${MILLISECONDS[left - second * 1000]}Z`
}

/**
 * The same as `new Date(at).toUTCString()`: a date of HTTP (RFC 9110, 5.6.7).
 *
 * @param at milliseconds since the epoch
 */
export function httpDate(at: number): string {
  const whole = Math.trunc(at)
  const minute = Math.floor(whole / MINUTE_MS)
  return `${httpMinute(minute)}${SECONDS[Math.floor((whole - minute * MINUTE_MS) / 1000)]} GMT`
}
