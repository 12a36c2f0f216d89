import type { WebFetch, WebRequestInit, WebRequestInput, WebResponse } from '../model/web-types.ts'
import { ANSWER_TIMEOUT_MS, MAX_REDIRECTS } from './limits.ts'
import { withTimeout } from './retry.ts'

/** Headers of the first request that describe its body or its response, not its sender. */
const OF_THE_REQUEST = /^(content|if|prefer|idem)/

/** The first request, and those that follow it. */
export interface Transport {
  /** The URL of the first request. */
  readonly url: string
  /** Aborts when the signal of the first request or the deadline does. */
  readonly signal: AbortSignal
  /** Sends the first request. */
  submit(): Promise<WebResponse>
  /**
   * Gets a URL and follows redirects, except a 303 unless `all` is set. A browser does not show redirects: there it
   * returns an opaque one, for `follow`.
   */
  get(url: string, headers: Record<string, string>, all?: boolean): Promise<WebResponse>
  /**
   * Lets the browser follow a redirect that it does not show: to the result, or to the status URL that has moved. At
   * first within its own origin, so that all headers can be sent. If that fails and the result URL is known, that is
   * requested instead; else it may follow anywhere, with no header but `authorization`, which browsers drop on the way
   * to another origin.
   */
  follow(url: string, result?: string): Promise<WebResponse>
  /** Requests a cancel and does not wait for the answer. The request outlives the page. */
  cancel(url: string): void
}

/** What a transport takes from the options of a wait. */
export interface TransportInit extends WebRequestInit {
  readonly cancelOnAbort?: boolean | undefined
  readonly fetch?: WebFetch | undefined
}

/**
 * Creates a transport. It sends the headers and cookies of the first request along to its own origin, and none of
 * them to another one, redirects included.
 */
export function createTransport(
  input: WebRequestInput,
  { fetch: call = fetch, ...options }: TransportInit,
  deadline: AbortSignal[] = [],
): Transport {
  // Keeps `input`: a Request that has been garbage-collected does not pass its abort on.
  const init = { ...options, input }
  // Without the body, which can be read only once: `submit` sends it.
  const request = new Request(input, { ...init, body: null })
  const { url, method, headers, redirect, credentials } = request
  const signal = AbortSignal.any([init.signal ?? request.signal, ...deadline])
  const { origin } = new URL(url)
  const lasting = Object.fromEntries([...headers].filter(([name]) => !OF_THE_REQUEST.test(name)))

  function send(url: string, own: RequestInit, sender: Record<string, string> = lasting): Promise<WebResponse> {
    const isHome = new URL(url).origin === origin
    const late = new AbortController()
    const answer = call(url, {
      ...init,
      method: 'GET',
      body: null,
      redirect: 'manual',
      credentials: isHome ? credentials : 'omit',
      signal: AbortSignal.any([signal, late.signal]),
      ...own,
      headers: { ...(isHome && sender), ...own.headers },
    })
    return withTimeout(ANSWER_TIMEOUT_MS, answer, () => late.abort())
  }

  async function get(
    url: string,
    headers: Record<string, string>,
    all?: boolean,
    hops = MAX_REDIRECTS,
  ): Promise<WebResponse> {
    const response = await send(url, { headers })
    const location = locationOf(response)
    return location && hops && [301, 302, 307, 308, all && 303].includes(response.status)
      ? get(location, headers, all, hops - 1)
      : response
  }

  return {
    url,
    signal,
    get,
    async submit() {
      const own = await request.blob()
      return call(url, {
        ...{ ...init, method, headers, redirect, credentials },
        body: init.body ?? (own.size ? own : null),
        // What this request starts can be canceled only when its answer says where the status is.
        signal: init.cancelOnAbort ? null : signal,
      })
    },
    follow(url, result) {
      const { authorization } = lasting
      return send(url, { redirect: 'follow', mode: 'same-origin' }).catch(() =>
        result ? get(result, {}) : send(url, { redirect: 'follow' }, authorization ? { authorization } : {}),
      )
    },
    cancel(url) {
      send(url, { method: 'DELETE', keepalive: true, signal: null }).catch(() => {})
    },
  }
}

/** The `Location` of a response, as an absolute URL. */
export function locationOf({ headers, url }: WebResponse): string | undefined {
  const location = headers.get('location')
  return location ? resolve(location, url) : undefined
}

/** Makes a URL absolute. */
export function resolve(url: string, base: string): string {
  return new URL(url, base).href
}
