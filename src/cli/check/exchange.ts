/** Sends the requests of a check, and keeps the answers. */
import { messageOf } from '../output.ts'

/** The API gave nothing that can be checked. */
export class CheckError extends Error {
  override readonly name = 'CheckError'
}

/** One request and its answer. */
export interface Exchange {
  readonly method: string
  readonly url: string
  readonly status: number
  readonly headers: Headers
  /** The body as JSON; undefined if it is not JSON. */
  readonly json: unknown
  readonly text: string
  /** How long the answer took, in milliseconds. */
  readonly ms: number
}

/** The options of a request. */
export interface Sent {
  readonly body?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Leaves out the headers that {@link CREDENTIALS} names. */
  readonly anonymous?: boolean | undefined
}

/** Headers that authenticate a caller. */
const CREDENTIALS = /^(authorization|cookie|.*(api-?key|token|secret).*)$/i

const ANSWER_TIMEOUT_MS = 120_000
const MOVED = [301, 308]
const MAX_MOVES = 5

/** Sends requests with the headers of the user. Other origins do not receive these headers. */
export class Requests {
  readonly #headers: Readonly<Record<string, string>>
  readonly #origin: string

  /** @param url where the operations are started */
  constructor(url: string, headers: Readonly<Record<string, string>>) {
    this.#headers = headers
    this.#origin = new URL(url).origin
  }

  get hasCredentials(): boolean {
    return Object.keys(this.#headers).some(name => CREDENTIALS.test(name))
  }

  /**
   * Sends a request. A redirect counts as the answer, unless it says that the resource has moved permanently.
   *
   * @throws {CheckError} where there is no answer
   */
  async send(method: string, url: string, sent: Sent = {}, moves = MAX_MOVES): Promise<Exchange> {
    const started = performance.now()
    const response = await this.#fetch(url, {
      method,
      redirect: 'manual',
      headers: { accept: 'application/json, */*;q=0.5', ...this.#own(url, sent), ...sent.headers },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      ...(sent.body !== undefined && { body: sent.body }),
    })
    const text = await response.text()
    const { status, headers } = response
    const location = headers.get('location')
    if (MOVED.includes(status) && location && moves > 0) {
      return await this.send(method, new URL(location, url).href, sent, moves - 1)
    }
    return { method, url, status, headers, text, json: parse(text), ms: performance.now() - started }
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, init)
    } catch (error) {
      throw new CheckError(`${init.method} ${url}: ${messageOf(error)}`)
    }
  }

  #own(url: string, { body, anonymous }: Sent): Record<string, string> {
    const isHome = new URL(url).origin === this.#origin
    const own = Object.entries(this.#headers).filter(
      ([name]) => isHome && !(anonymous && CREDENTIALS.test(name)) && !(body === undefined && /^content-/i.test(name)),
    )
    const hasType = own.some(([name]) => /^content-type$/i.test(name))
    return { ...(body !== undefined && !hasType && { 'content-type': 'application/json' }), ...Object.fromEntries(own) }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The members of a JSON value; none if it is not an object. */
export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

/** Such as `POST /orders → 202`. */
export function describeExchange({ method, url, status }: Exchange): string {
  const { pathname, search } = new URL(url)
  return `${method} ${pathname}${search} → ${status}`
}

/** Whether the answer is a problem detail of RFC 9457. */
export function isProblem({ headers }: Exchange): boolean {
  return /^application\/problem\+json\b/i.test(headers.get('content-type') ?? '')
}
