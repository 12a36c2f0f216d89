/** A URL that has not begun to answer after this long, in milliseconds, is asked again: polls are held for 30 s. */
const ANSWER_MS = 60_000

const MAX_REDIRECTS = 10

/** Headers of the first request that say something about its body or its answer, not about its sender. */
const OF_THE_REQUEST = /^(content|if|prefer|idem)/

/** The requests that follow the first one. */
export interface Transport {
  /** Sends one request with an init, which wins, and follows nothing. */
  send(url: string, headers: Record<string, string>, init: RequestInit): Promise<Response>
  /**
   * Gets a URL, along redirects. A 303 is an answer of its own unless `all` are to be followed. A
   * browser does not show redirects: there it returns an opaque one, that `follow` goes along.
   */
  get(url: string, headers: Record<string, string>, all?: boolean): Promise<Response>
  /**
   * Has the browser go where it does not show us: to the result, or to where the status has moved.
   * First it is told to stay on its own origin, so that all headers can be sent. If it cannot, we
   * go to the result ourselves where that is known; else it goes anywhere, with nothing but the
   * header that browsers themselves drop at a border.
   */
  follow(url: string, result?: string): Promise<Response>
  /** Asks for a cancel, without waiting for the answer; survives the page that asks. */
  cancel(url: string): void
}

/**
 * Sends the headers and cookies of the first request along to its own origin, and none of them to
 * another one, redirects included.
 */
export function createTransport(
  first: Request,
  { fetch, ...init }: RequestInit & { readonly fetch: typeof globalThis.fetch },
  signal: AbortSignal,
): Transport {
  const { origin } = new URL(first.url)
  const lasting = Object.fromEntries([...first.headers].filter(([name]) => !OF_THE_REQUEST.test(name)))

  async function send(url: string, headers: Record<string, string>, special: RequestInit, mine = lasting) {
    const own = new URL(url).origin === origin
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), ANSWER_MS)
    try {
      return await fetch(url, {
        ...init,
        method: 'GET',
        body: null,
        redirect: 'manual',
        credentials: own ? first.credentials : 'omit',
        headers: { ...(own && mine), ...headers },
        signal: AbortSignal.any([signal, late.signal]),
        ...special,
      })
    } finally {
      clearTimeout(timer)
    }
  }

  async function get(
    url: string,
    headers: Record<string, string>,
    all?: boolean,
    hops = MAX_REDIRECTS,
  ): Promise<Response> {
    const response = await send(url, headers, {})
    const location = response.headers.get('location')
    return location && hops && [301, 302, 307, 308, all && 303].includes(response.status)
      ? get(resolve(location, url), headers, all, hops - 1)
      : response
  }

  return {
    send,
    get,
    follow(url, result) {
      const { authorization } = lasting
      return send(url, {}, { redirect: 'follow', mode: 'same-origin' }).catch(() =>
        result ? get(result, {}) : send(url, {}, { redirect: 'follow' }, authorization ? { authorization } : {}),
      )
    },
    cancel(url) {
      send(url, {}, { method: 'DELETE', keepalive: true, signal: null }).catch(() => {})
    },
  }
}

/** An absolute URL, of one that may be relative to `base`. */
export function resolve(url: string, base: string): string {
  return new URL(url, base).href
}
