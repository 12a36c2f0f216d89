/** Which requests are repeated, and after which delay. */
import { parseRetryAfter, timeOf } from '../model/protocol.ts'
import type { WebResponse } from '../model/web-types.ts'
import { FIRST_DELAY_MS, MAX_DELAY_MS, MAX_FLOOR_MS, MAX_RETRY_AFTER_MS } from './limits.ts'
import type { Answer } from './status.ts'

/** Whether an answer says nothing about the operation, and a retry may help. */
export function isTransient({ response: { status }, outcome }: Answer): boolean {
  return !outcome && (status >= 500 || [408, 425, 429].includes(status))
}

/** `Retry-After` in milliseconds, at most an hour; a date is relative to the server's own `Date`. */
export function retryAfterOf(response: WebResponse | undefined): number | undefined {
  const headers = response?.headers
  return parseRetryAfter(headers?.get('retry-after'), timeOf(headers?.get('date'), Date.now()), MAX_RETRY_AFTER_MS)
}

/** A delay that doubles `times` times; half of it is random, so that clients do not come all at once. */
export function backoff(times: number, longest = MAX_DELAY_MS): number {
  return Math.min(FIRST_DELAY_MS * 2 ** times, longest) * (0.5 + Math.random() / 2)
}

/** The delay that a response asks for by `Retry-After`, else a growing one. */
export function delayAfter(response: WebResponse | undefined, times: number): number {
  return retryAfterOf(response) ?? backoff(times)
}

/** The least delay after nothing new was received `times` times: a `Retry-After` of 0 must not cause a storm. */
export function minDelay(times: number): number {
  return backoff(times - 2, MAX_FLOOR_MS)
}

/** Waits for `work`, and calls `expire` if it has not ended after `ms` milliseconds. */
export async function withTimeout<T>(ms: number, work: Promise<T>, expire: () => void): Promise<T> {
  const timer = setTimeout(expire, ms)
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}
