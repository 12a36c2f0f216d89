import type { WebAbortSignal, WebFetch, WebRequestInit, WebURL } from '../model/web-types.ts'
import { waitError } from './errors.ts'
import { MAX_RETRIES, MAX_RETRY_DELAY_MS } from './limits.ts'
import { delayAfter, isTransient } from './retry.ts'
import { type Answer, readAnswer } from './status.ts'
import { createTransport } from './transport.ts'

/** How a typed client reaches its API. */
export interface ClientOptions {
  /**
   * The URL at which the API is mounted, such as `https://api.example.com/v1`. In a page it may be relative to the page;
   * elsewhere the first request refuses a relative one. Default: the root of the page's origin.
   */
  readonly baseUrl?: string | WebURL | undefined
  /**
   * Headers of every request to the API's own origin, or a function that returns them. The function is called before
   * each request, so that a wait can outlast a token; if it fails, the request has failed. Other origins receive none.
   */
  readonly headers?:
    | WebRequestInit['headers']
    | (() => WebRequestInit['headers'] | Promise<WebRequestInit['headers']>)
    | undefined
  /** Whether cookies are sent to the API's own origin, as in `fetch`. Default `same-origin`. */
  readonly credentials?: WebRequestInit['credentials'] | undefined
  /** Sends every request; called with a URL and an init. Default: the global `fetch`. */
  readonly fetch?: WebFetch | undefined
  /** Ends all calls of the client when it aborts. */
  readonly signal?: WebAbortSignal | undefined
}

/** The option of every call. */
export interface CallOptions {
  /** Ends the call when it aborts: it rejects with the signal's reason. */
  readonly signal?: WebAbortSignal | undefined
}

/** The API as the client reaches it. */
export interface Api {
  /**
   * Absolute; ends in a slash.
   *
   * @throws {TypeError} if `baseUrl` is relative, and there is no page
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
  /** The status URL of the operation that the request is about. */
  readonly statusUrl?: string
}

/**
 * By the constructor: `URL.canParse` is wrong in Node 22 once it is hot, and not all browsers have `URL.parse`.
 *
 * @throws {TypeError} that says what is wrong with `baseUrl`
 */
function parse(url: string | URL, page: string | undefined, fault: string): URL {
  try {
    return new URL(url, page)
  } catch {
    throw new TypeError(`baseUrl ${fault}: "${url}".`)
  }
}

/** @throws {TypeError} if `baseUrl` is not a URL, whatever the page */
export function createApi({
  baseUrl = '/',
  headers,
  credentials,
  fetch = globalThis.fetch,
  signal,
}: ClientOptions): Api {
  parse(baseUrl, 'http://page', 'is not a URL')
  // Resolved when it is needed: servers that render or build a page load its modules too.
  const base = () => {
    const page = (globalThis as { readonly location?: { readonly href: string } }).location?.href
    return parse(`${baseUrl}`.replace(/\/*$/, '/'), page, 'must be absolute outside a page')
  }
  return {
    get base() {
      return base().href
    },
    signal,
    fetch: async (input, init) => {
      const own = new URL(`${input}`).origin === base().origin
      const given = new Headers(own ? await (typeof headers === 'function' ? headers() : headers) : {})
      // A redirect may lead this request to another origin without notice: only `authorization` is dropped on the way.
      const names = init?.redirect === 'follow' && init.mode !== 'same-origin' ? /^authorization$/ : /./
      const passed = [...given].filter(([name]) => names.test(name))
      return fetch(input, {
        ...init,
        headers: Object.fromEntries([...passed, ...new Headers(init?.headers)]),
        credentials: own ? (credentials ?? 'same-origin') : 'omit',
      })
    },
  }
}

/** A signal that aborts when one of the given signals does. */
export function anyOf(...signals: (WebAbortSignal | undefined)[]): WebAbortSignal {
  return AbortSignal.any(signals.filter(signal => signal !== undefined))
}

/**
 * Sends a request, and repeats it while it fails (network, 408, 425, 429, 5xx), after `Retry-After` or growing, random
 * delays. Redirects of a GET are followed, except 303; others are not.
 *
 * @returns any other answer, whatever its status
 * @throws {WaitError} `unreachable`
 */
export async function request(api: Api, url: string, options: Repeatable = {}): Promise<Answer> {
  const { signal: given, statusUrl = '', headers: asked, ...init } = options
  const headers = { ...asked }
  const signal = anyOf(api.signal, given)
  const send = () =>
    init.method
      ? api.fetch(url, { ...init, headers, signal, redirect: 'manual', keepalive: init.method === 'DELETE' })
      : createTransport({ input: url, fetch: api.fetch }, signal).get(url, headers, false, null)
  for (let failures = 0; ; failures++) {
    let answer: Answer | undefined
    let cause: unknown
    try {
      answer = await readAnswer(await send())
    } catch (error) {
      signal.throwIfAborted()
      cause = error
    }
    if (answer && !isTransient(answer)) return answer
    // A gateway may have ended the request because the server held it.
    delete headers.prefer
    const delay = delayAfter(answer?.response, failures)
    if (failures === MAX_RETRIES || delay > MAX_RETRY_DELAY_MS) throw waitError('unreachable', statusUrl, answer, cause)
    await sleep(delay, signal)
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
