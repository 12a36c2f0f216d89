/** Which requests are repeated, and after which delay. */
import { parseRetryAfter } from '../model/protocol.ts'
import type { WebResponse } from '../model/web-types.ts'
import { FIRST_DELAY_MS, MAX_DELAY_MS, MAX_RETRY_AFTER_MS } from './limits.ts'
import type { Answer } from './status.ts'

/**
 * Whether an answer says nothing about the operation, so that a retry may help.
 *
 * @param isDoubted whether a 500 with a document has been repeated often enough, so that it counts as the outcome of
 * the operation
 */
export function isTransient({ response: { status }, outcome, text }: Answer, isDoubted?: boolean): boolean {
  return !outcome && /^(5|408|42[59])/.test(`${status}`) && !(isDoubted && text && status === 500)
}

/** A delay that doubles `times` times; half of it is random, so that clients do not all come at once. */
export function backoff(times: number, longest = MAX_DELAY_MS): number {
  return Math.min(FIRST_DELAY_MS * 2 ** times, longest) * (0.5 + Math.random() / 2)
}

/** The delay that a response asks for by `Retry-After`, at most an hour; else one that grows with `times`. */
export function delayAfter(response: WebResponse | undefined, times: number): number {
  const headers = response?.headers
  return Math.min(
    parseRetryAfter(headers?.get('retry-after'), headers?.get('date')) ?? backoff(times),
    MAX_RETRY_AFTER_MS,
  )
}

/** Waits for `work`, and calls `expire` if it has not ended after `ms` milliseconds. */
export function withTimeout<T>(ms: number, work: Promise<T>, expire: () => void): Promise<T> {
  const timer = setTimeout(expire, ms)
  return work.finally(() => clearTimeout(timer))
}
