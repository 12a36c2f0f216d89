/** When a request is sent again: after an answer that says nothing, and how long after. */
import { parseRetryAfter, timeOf } from '../model/protocol.ts'
import type { Answer } from './status.ts'

/** The first delay where the server names none, between polls and after one that failed; it doubles up to the longest. */
const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 15_000
/** The longest floor, whatever `Retry-After` says below it. */
const LONGEST_FLOOR_MS = 1000
/** A server that names more than an hour is asked after an hour: its clock, or its estimate, may be wrong. */
const LONGEST_PAUSE_MS = 3_600_000

/** Whether an answer says nothing about what it was asked for, and asking again may help. */
export function isTransient({ response: { status }, outcome }: Answer): boolean {
  return !outcome && (status >= 500 || [408, 425, 429].includes(status))
}

/** `Retry-After` in milliseconds, at most an hour; a date counts from the server's own `Date`. */
export function retryAfterOf(response: Response | undefined): number | undefined {
  const headers = response?.headers
  const ms = parseRetryAfter(headers?.get('retry-after'), timeOf(headers?.get('date'), Date.now()))
  return ms && Math.min(ms, LONGEST_PAUSE_MS)
}

/** The delay after `times` that it was used before; by half random, so that not all clients come at once. */
export function growing(times: number, longest = LONGEST_DELAY_MS): number {
  return Math.min(FIRST_DELAY_MS * 2 ** times, longest) * (0.5 + Math.random() / 2)
}

/** The least delay after `times` that nothing new was heard, so that a `Retry-After` of 0 makes no storm. */
export function floor(times: number): number {
  return growing(times, LONGEST_FLOOR_MS)
}
