import type { WebAbortSignal, WebFetch, WebRequestInit, WebURL } from '../model/web-types.ts'
import { waitError } from './errors.ts'
import { growing, isTransient, retryAfterOf } from './retry.ts'
import { type Answer, readAnswer } from './status.ts'
import { createTransport } from './transport.ts'

/** How a typed client reaches its API. */
export interface ClientOptions {
  /**
   * Where the API is mounted, such as `https://api.example.com/v1`; in a page it may be relative to it; elsewhere a relative one is refused by the first request.
   * Default: the root of the page's origin.
   */
  readonly baseUrl?: string | WebURL | undefined
  /**
   * Headers of every request to the API's own origin, or what gives them, asked before each request, so
   * that a wait can outlast a token. No other origin gets any. If it fails, so has the request.
   */
  readonly headers?: WebRequestInit['headers'] | (() => WebRequestInit['headers'] | Promise<WebRequestInit['headers']>)
  /** Whether cookies go along to the API's own origin, as in `fetch`. Default `same-origin`. */
  readonly credentials?: WebRequestInit['credentials'] | undefined
  /** Sends every request; called with a URL and an init. Default: the global `fetch`. */
  readonly fetch?: WebFetch | undefined
  /** Ends everything that the client is at when it aborts. */
  readonly signal?: WebAbortSignal | undefined
}

/** What can be said of any call. */
export interface CallOptions {
  /** Ends the call when it aborts: it rejects with the signal's reason. */
  readonly signal?: WebAbortSignal | undefined
}

/** The API as the client reaches it. */
export interface Api {
  /**
   * Absolute; ends in a slash.
   *
   * @throws {TypeError} where it is relative, and there is no page
   */
  readonly base: string
  /** Sends one request to an absolute URL, with the credentials if it is of the API's own origin. */
  readonly fetch: WebFetch
  readonly signal: WebAbortSignal | undefined
}

/** A request that may be repeated. */
export interface Repeatable extends CallOptions {
  readonly method?: 'POST' | 'DELETE'
  readonly headers?: Record<string, string>
  readonly body?: string
  /** Where the operation's status is that it is about. */
  readonly statusUrl?: string
}

/** How often a request that fails is repeated: over 8 to 16 seconds where the server asks for no more. */
const MAX_REPEATS = 5
/** A longer `Retry-After` than this, in milliseconds, is left to the caller. */
const LONGEST_PAUSE_MS = 60_000

/** @throws {TypeError} when the base URL is none, whatever page it is relative to */
export function createApi({
  baseUrl = '/',
  headers,
  credentials,
  fetch = globalThis.fetch,
  signal,
}: ClientOptions): Api {
  if (!URL.canParse(baseUrl, 'http://page')) throw new TypeError(`baseUrl is not a URL: "${baseUrl}".`)
  // Not before it is needed: a module of a page is loaded by servers too, which render or build the page.
  const base = () => {
    const page = (globalThis as { readonly location?: { readonly href: string } }).location?.href
    if (!URL.canParse(baseUrl, page)) throw new TypeError(`baseUrl must be absolute outside a page, not "${baseUrl}".`)
    return new URL(`${baseUrl}`.replace(/\/*$/, '/'), page)
  }
  return {
    get base() {
      return base().href
    },
    signal,
    fetch: async (input, init) => {
      const own = new URL(`${input}`).origin === base().origin
      const all = new Headers(own ? await (typeof headers === 'function' ? headers() : headers) : {})
      // Where it may be led to another origin unseen: the one header that is dropped at the border.
      if (init?.redirect === 'follow' && init.mode !== 'same-origin') {
        for (const name of [...all.keys()]) if (name !== 'authorization') all.delete(name)
      }
      new Headers(init?.headers).forEach((value, name) => {
        all.set(name, value)
      })
      return fetch(input, { ...init, headers: all, credentials: own ? (credentials ?? 'same-origin') : 'omit' })
    },
  }
}

/** A signal that aborts when one of those given does. */
export function anyOf(...signals: (WebAbortSignal | undefined)[]): WebAbortSignal {
  return AbortSignal.any(signals.filter(signal => signal !== undefined))
}

/**
 * Sends a request, and again where it fails (network, 408, 425, 429, 5xx), after `Retry-After` or
 * growing, random delays. Redirects of a GET are followed, except 303; others are not.
 *
 * @returns any other answer, whatever it says
 * @throws {WaitError} `unreachable`
 */
export async function request(api: Api, url: string, options: Repeatable = {}): Promise<Answer> {
  const { signal: given, statusUrl = '', headers: asked, ...init } = options
  const headers = { ...asked }
  const signal = anyOf(api.signal, given)
  const send = () =>
    init.method
      ? api.fetch(url, { ...init, headers, signal, redirect: 'manual', keepalive: init.method === 'DELETE' })
      : createTransport(new Request(url), { fetch: api.fetch }, signal).get(url, headers)
  for (let failures = 0; ; failures++) {
    let answer: Answer | undefined
    let cause: unknown
    try {
      answer = await readAnswer(await send())
      if (!isTransient(answer)) return answer
    } catch (error) {
      signal.throwIfAborted()
      cause = error
    }
    // A gateway may end requests that the server holds.
    delete headers.prefer
    const pause = retryAfterOf(answer?.response) ?? growing(failures)
    if (failures === MAX_REPEATS || pause > LONGEST_PAUSE_MS) {
      throw waitError('unreachable', url, statusUrl, answer, cause)
    }
    await sleep(pause, signal)
  }
}

function sleep(ms: number, signal: WebAbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const timer = setTimeout(resolve, ms)
    signal.onabort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
  })
}
