import type { WebFetch, WebRequestInit, WebRequestInput, WebResponse } from '../model/web-types.ts'
import { ANSWER_TIMEOUT_MS, MAX_REDIRECTS } from './limits.ts'
import { withTimeout } from './retry.ts'

/** The first request, and those that follow it. */
export interface Transport {
  /** Aborts when the signal of the first request or the deadline does. */
  readonly signal: AbortSignal
  /** Sends the first request. */
  submit(): Promise<WebResponse>
  /**
   * Gets a URL and follows redirects, except a 303 unless `all` is set.
   *
   * A browser does not show redirects. It follows one by itself, to the result or to the status URL that has moved: at
   * first within its own origin, so that all headers can be sent. If that fails, `fallback` is requested instead. Without
   * one the browser may follow anywhere, with no header but `authorization`, which it drops on the way to another origin.
   *
   * @param fallback the URL of the result, if that is known; null: a redirect that is not shown is returned
   */
  get(url: string, headers: Record<string, string>, all?: boolean, fallback?: string | null): Promise<WebResponse>
  /** Requests a cancel, if `cancelOnAbort` is set, and does not wait for the answer. The request outlives the page. */
  cancel(url: string): void
}

/** What a transport takes from the options of a wait. */
export interface TransportInit extends WebRequestInit {
  /** The first request. It is kept: a Request that has been garbage-collected does not pass its abort on. */
  readonly input: WebRequestInput
  readonly cancelOnAbort?: boolean | undefined
  readonly fetch?: WebFetch | undefined
}

/**
 * Creates a transport. It sends the headers and cookies of the first request along to its own origin, and none of
 * them to another one, redirects included.
 */
export function createTransport({ fetch: call = fetch, ...init }: TransportInit, deadline: AbortSignal): Transport {
  // Without the body, which can be read only once: `submit` sends it.
  const request = new Request(init.input, { ...init, body: null })
  const { url, method, redirect, credentials } = request
  const signal = AbortSignal.any([init.signal ?? request.signal, deadline])
  const { origin } = new URL(url)

  /**
   * Sends a request. Headers of the first request are sent along to its own origin: those whose names match. By default
   * these describe its sender, not its body or its response.
   */
  function send(
    url: string,
    headers: Record<string, string>,
    own?: RequestInit,
    names = /^(?!content|if|prefer|idem)/,
  ): Promise<WebResponse> {
    const isHome = new URL(url).origin === origin
    const late = new AbortController()
    const passed = [...request.headers].filter(([name]) => isHome && names.test(name))
    const answer = call(url, {
      ...init,
      method: 'GET',
      body: null,
      redirect: 'manual',
      credentials: isHome ? credentials : 'omit',
      signal: AbortSignal.any([signal, late.signal]),
      ...own,
      headers: { ...Object.fromEntries(passed), ...headers },
    })
    return withTimeout(ANSWER_TIMEOUT_MS, answer, () => late.abort())
  }

  async function get(
    url: string,
    headers: Record<string, string>,
    all?: boolean,
    fallback?: string | null,
    hops = MAX_REDIRECTS,
  ): Promise<WebResponse> {
    const response = await send(url, headers)
    if (response.type === 'opaqueredirect' && fallback !== null) {
      return send(url, {}, { redirect: 'follow', mode: 'same-origin' }).catch(() =>
        fallback ? get(fallback, {}) : send(url, {}, { redirect: 'follow' }, /^authorization$/),
      )
    }
    const location = locationOf(response)
    return location && hops && [301, 302, 307, 308, all && 303].includes(response.status)
      ? get(location, headers, all, fallback, hops - 1)
      : response
  }

  return {
    signal,
    get,
    async submit() {
      const own = await request.blob()
      const body = init.body ?? (own.size ? own : null)
      // What this request starts can be canceled only when its answer says where the status is.
      return send(url, {}, { method, redirect, body, signal: init.cancelOnAbort ? null : signal }, /./)
    },
    cancel(url) {
      if (init.cancelOnAbort && url) send(url, {}, { method: 'DELETE', signal: null, keepalive: true }).catch(() => {})
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
