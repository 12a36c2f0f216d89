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

const MOVED = [301, 308]
const MAX_MOVES = 5

/** Options of {@link Requests}. */
export interface RequestsOptions {
  /** Where the operations are started. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** The longest wait for the answer to one request, in milliseconds. */
  readonly answerTimeoutMs: number
  /** Called when an answer takes long, with a message for people. */
  readonly onSlow: (message: string) => void
}

/** After this time without an answer the user gets a message, in milliseconds. */
const SLOW_MS = 5000

/** Sends requests with the headers of the user. Other origins do not receive these headers. */
export class Requests {
  readonly #options: RequestsOptions
  readonly #origin: string

  constructor(options: RequestsOptions) {
    this.#options = options
    this.#origin = new URL(options.url).origin
  }

  get hasCredentials(): boolean {
    return Object.keys(this.#options.headers).some(name => CREDENTIALS.test(name))
  }

  /**
   * Sends a request. A redirect counts as the answer, unless it says that the resource has moved permanently.
   *
   * @throws {CheckError} where there is no answer
   */
  async send(method: string, url: string, sent: Sent = {}, moves = MAX_MOVES): Promise<Exchange> {
    const started = performance.now()
    const { response, text } = await this.#fetch(url, {
      method,
      redirect: 'manual',
      headers: { accept: 'application/json, */*;q=0.5', ...this.#own(url, sent), ...sent.headers },
      ...(sent.body !== undefined && { body: sent.body }),
    })
    const { status, headers } = response
    const location = headers.get('location')
    if (MOVED.includes(status) && location && moves > 0) {
      return await this.send(method, new URL(location, url).href, sent, moves - 1)
    }
    return { method, url, status, headers, text, json: parse(text), ms: performance.now() - started }
  }

  async #fetch(url: string, init: RequestInit): Promise<{ response: Response; text: string }> {
    const { answerTimeoutMs, onSlow } = this.#options
    const what = `${init.method} ${url}`
    const limit = `${answerTimeoutMs / 1000} s (--answer-timeout)`
    const timer = setTimeout(() => onSlow(`${what}: no answer yet; waiting for up to ${limit}.`), SLOW_MS)
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(answerTimeoutMs) })
      return { response, text: await response.text() }
    } catch (error) {
      const isLate = error instanceof Error && error.name === 'TimeoutError'
      throw new CheckError(`${what}: ${isLate ? `no answer within ${limit}.` : messageOf(error)}`)
    } finally {
      clearTimeout(timer)
    }
  }

  #own(url: string, { body, anonymous }: Sent): Record<string, string> {
    const isHome = new URL(url).origin === this.#origin
    const own = Object.entries(this.#options.headers).filter(
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

/** Such as `POST /orders → 202`. */
export function describeExchange({ method, url, status }: Exchange): string {
  const { pathname, search } = new URL(url)
  return `${method} ${pathname}${search} → ${status}`
}

/** Whether the answer is a problem detail of RFC 9457. */
export function isProblem({ headers }: Exchange): boolean {
  return /^application\/problem\+json\b/i.test(headers.get('content-type') ?? '')
}
