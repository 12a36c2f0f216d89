/**
 * A client of asynchronous HTTP APIs that is used like `fetch`:
 *
 *     const order = await fetchAndWait('/orders', { method: 'POST', headers, body })
 *
 * For browsers and Node 22 or later, without dependencies.
 */

export type { Problem, Status, StatusDocument } from '../model/protocol.ts'
export { OperationError, WaitError, type WaitErrorCode, type WaitErrorDetails } from './errors.ts'
export type { OperationHandle, ResultOptions, SavedOperation } from './handle.ts'
export type { CallOptions, ClientOptions } from './requests.ts'
export type { OnStatusPoll, PolledStatus, StatusPoll } from './status.ts'
export {
  type Client,
  type Contracts,
  client,
  type ListOptions,
  type SubmitOptions,
  type TypeClient,
} from './typed.ts'
export type { WaitOptions } from './wait.ts'

import type { WebRequestInit, WebRequestInput, WebURL } from '../model/web-types.ts'
import type { OnStatusPoll } from './status.ts'
import { type WaitOptions, wait } from './wait.ts'

/** The options of `fetch`, and how to wait. */
export interface WaitInit extends WebRequestInit, WaitOptions {}

/**
 * Sends a request as `fetch` does; if the answer is 202, waits for the end of the operation and resolves with its
 * result. Any other answer is the result itself.
 *
 * It follows the operation by the event stream if the server offers one, else by long polls, else by polls as far apart
 * as `Retry-After` asks. It understands status URLs that end in a 303, Azure's `Operation-Location` monitors, and
 * status URLs that answer 202 until they answer with the result. A poll that fails (network, 408, 425, 429, 5xx) says
 * nothing about the operation: it is repeated after `Retry-After` or after growing, random delays, up to twenty times
 * in a row. A long poll that fails does not count. The next one is shorter; after that, polls are not held. All waits
 * together hold at most two streams and long polls at each origin.
 *
 * The headers and cookies of `init` are sent with polls to the request's own origin, and never to another one. Headers
 * about the body, conditions, `Prefer` and `Idempotency-Key` are sent with the request alone. The request is sent once:
 * it is not repeated if it fails.
 *
 * @param input the URL or Request
 * @param init as for `fetch`; `signal` ends the wait, and see {@link WaitOptions}
 * @param onStatusPoll called, and awaited, with each status that is received, including the final one if a stream or a
 *   monitor sends it (a 303 does not); what it throws ends the wait
 * @returns the parsed body if its media type is JSON, undefined for 204 or an empty JSON body, else the Response, its
 *   body unread
 * @throws OperationError the operation failed or was canceled
 * @throws WaitError the outcome is not known; `code` says why
 * @throws the reason of `init.signal`, at once when it aborts; what `fetch` throws for the request itself
 * @example
 * import { fetchAndWait } from 'waybill/client'
 *
 * const { order } = await fetchAndWait<{ order: { customer: string } }>('https://api.example.com/orders', {
 *   method: 'POST',
 *   headers: { 'content-type': 'application/json' },
 *   body: JSON.stringify({ customer: 'Contoso', items: [{ name: 'Apple', quantity: 5 }] }),
 * })
 * console.log(order.customer) // Contoso
 */
export const fetchAndWait: FetchAndWait = wait

/** The two ways to call `fetchAndWait`. */
export interface FetchAndWait {
  <Result = unknown>(input: WebRequestInput, init?: WaitInit | null, onStatusPoll?: OnStatusPoll): Promise<Result>
  <Result = unknown>(input: WebRequestInput, onStatusPoll?: OnStatusPoll): Promise<Result>
}

/**
 * Waits for an operation that was started before the page was reloaded, or by another process. All else is as in
 * {@link fetchAndWait}; the method and the body of `init` are not sent.
 *
 * @param statusUrl from `onAccepted`, `WaitError.statusUrl` or the `url` of a polled response
 * @example
 * import { attach } from 'waybill/client'
 *
 * const accepted = await fetch('https://api.example.com/orders', {
 *   method: 'POST',
 *   headers: { 'content-type': 'application/json' },
 *   body: JSON.stringify({ customer: 'Contoso', items: [{ name: 'Apple', quantity: 5 }] }),
 * })
 * const statusUrl = new URL(`${accepted.headers.get('location')}`, accepted.url)
 * const { order } = await attach<{ order: { customer: string } }>(statusUrl)
 * console.log(order.customer) // Contoso
 */
export function attach<Result = unknown>(
  statusUrl: string | WebURL,
  init?: WaitInit | null,
  onStatusPoll?: OnStatusPoll,
): Promise<Result>
export function attach<Result = unknown>(statusUrl: string | WebURL, onStatusPoll?: OnStatusPoll): Promise<Result>
export async function attach<Result>(
  statusUrl: string | WebURL,
  init?: WaitInit | OnStatusPoll | null,
  onStatusPoll?: OnStatusPoll,
): Promise<Result> {
  return wait(statusUrl, init, onStatusPoll, new Request(statusUrl).url)
}
