/** One POST to a stranger's server: to an address that was checked, without redirects, and with little patience. */
import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import type { Address } from './addresses.ts'

/** What to send, and where. */
export interface Post {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The checked addresses of the URL's host, one or more. Only these are connected to. */
  readonly addresses: readonly Address[]
  readonly signal: AbortSignal
}

/** The used parts of an answer. */
export interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  /** When the receiver sent it, by its own clock. */
  readonly date: string | undefined
}

/**
 * How many bytes of a response's body are read and discarded, so that its sender can end normally. Then the connection
 * is cut.
 */
const ANSWER_BODY_LIMIT = 16 * 1024

/** How long the body may take, in milliseconds. Only the status is needed, so a slot is not held longer. */
const ANSWER_BODY_MS = 1000

/**
 * Sends a POST on a connection of its own, which no later request shares.
 *
 * @returns the answer, as soon as its header is there and its body has ended, is too long, or has taken a second
 * @throws if there is no answer: Node's error of the connection
 */
export function post({ url, headers, body, addresses, signal }: Post): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const { request } = url.protocol === 'https:' ? https : http
  const sent = request(url, { method: 'POST', headers, agent: false, lookup: pinnedTo(addresses), signal })
  let answer: Answer | undefined
  sent.on('response', response => {
    const { date, 'retry-after': retryAfter } = response.headers
    answer = { status: response.statusCode ?? 0, retryAfter, date }
    setTimeout(() => sent.destroy(), ANSWER_BODY_MS).unref()
    let read = 0
    response.on('data', (chunk: Buffer) => {
      read += chunk.length
      if (read > ANSWER_BODY_LIMIT) sent.destroy()
    })
    // An error in the body does not change the status.
    response.on('error', () => {})
  })
  let failure: unknown = new Error('The connection was closed.')
  sent.on('error', error => {
    failure = error
  })
  sent.on('close', () => (answer === undefined ? reject(failure) : resolve(answer)))
  sent.end(body)
  return promise
}

/** A `lookup` for the socket that returns the checked addresses. */
function pinnedTo(addresses: readonly Address[]): LookupFunction {
  return (_host, options, callback) => {
    const [first] = addresses
    if (options.all) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family ?? 4)
  }
}
