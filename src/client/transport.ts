/** A URL that has not begun to answer after this long, in milliseconds, is asked again: polls are held for 30 s. */
const ANSWER_MS = 60_000

const MAX_REDIRECTS = 10

/** Headers of the first request that say something about its body or its answer, not about its sender. */
const OF_THE_REQUEST = /^(content-|if-|prefer|idempotency-|webhook-|range)/

/**
 * Sends the requests that follow the first one: with its headers and cookies to its own origin,
 * and without any to another one, redirects included.
 */
export class Transport {
  readonly #init: RequestInit
  readonly #origin: string
  readonly #credentials: RequestCredentials
  readonly #headers: Record<string, string>
  readonly #signal: AbortSignal

  constructor({ url, credentials, headers }: Request, init: RequestInit, signal: AbortSignal) {
    this.#origin = new URL(url).origin
    this.#credentials = credentials
    this.#headers = Object.fromEntries([...headers].filter(([name]) => !OF_THE_REQUEST.test(name)))
    this.#init = { ...init, method: 'GET', body: null, integrity: '', cache: 'no-store', redirect: 'manual' }
    this.#signal = signal
  }

  /**
   * Gets a URL, along redirects. A 303 is an answer of its own unless `all` are to be followed. A
   * browser does not show redirects: there it returns an opaque one, that {@link follow} goes along.
   */
  async get(url: string, headers: Record<string, string>, all = false): Promise<Response> {
    for (let redirects = 0; ; redirects++) {
      const response = await this.#fetch(url, headers, {})
      const { status } = response
      const location = response.headers.get('Location')
      const follows = status === 301 || status === 302 || status === 307 || status === 308 || (all && status === 303)
      if (!follows || !location || redirects === MAX_REDIRECTS) return response
      discard(response)
      url = new URL(location, url).href
    }
  }

  /**
   * Lets the browser go along redirects. Towards its own origin it can be told to stop at the
   * border; towards another one, only the header that browsers themselves drop at a border is sent.
   */
  follow(url: string): Promise<Response> {
    if (new URL(url).origin === location.origin)
      return this.#fetch(url, {}, { redirect: 'follow', mode: 'same-origin' })
    const { authorization } = this.#headers
    return this.#fetch(url, {}, { redirect: 'follow' }, authorization ? { authorization } : {})
  }

  /** Asks for a cancel, without waiting for the answer; survives the page that asks. */
  cancel(url: string, method: string): void {
    this.#fetch(url, {}, { method, keepalive: true, signal: null }).catch(() => {})
  }

  async #fetch(url: string, headers: Record<string, string>, init: RequestInit, mine = this.#headers) {
    const own = new URL(url).origin === this.#origin
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), ANSWER_MS)
    try {
      return await fetch(url, {
        ...this.#init,
        credentials: own ? this.#credentials : 'omit',
        headers: { ...(own && mine), ...headers },
        signal: AbortSignal.any([this.#signal, late.signal]),
        ...init,
      })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Frees the connection of a response that nobody will read. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {})
}
