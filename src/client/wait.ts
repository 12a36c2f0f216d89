import { MAX_TIMER_MS } from '../model/protocol.ts'
import type { WebFetch, WebRequestInit, WebRequestInput } from '../model/web-types.ts'
import { type WaitError, type WaitErrorCode, waitError } from './errors.ts'
import { readEvents } from './event-stream.ts'
import { floor, growing, isTransient, retryAfterOf } from './retry.ts'
import { type Answer, answerOf, type OnStatusPoll, type PolledStatus, readAnswer } from './status.ts'
import { createTransport, resolve, type Transport } from './transport.ts'

/** How to wait. */
export interface WaitOptions {
  /**
   * Also cancels the operation, by DELETE of its status URL, when `signal` or `timeoutMs` ends the
   * wait. The rejection does not wait for that. A request that is still under way then is not cut
   * off, so that what it starts can be canceled. Default false: the operation goes on.
   */
  readonly cancelOnAbort?: boolean | undefined
  /** The longest that all of it may take, in milliseconds from 0. Default, and most: 2^31 - 1, some 24.8 days. */
  readonly timeoutMs?: number | undefined
  /** Hears the status URL as soon as the operation is accepted: keep it to `attach` after a reload. */
  readonly onAccepted?: ((statusUrl: string) => void) | undefined
  /**
   * Called when a request for the status or the result fails and will be repeated, with an error whose code is
   * `unreachable`; and with undefined once the server answers again. The operation is not affected.
   */
  readonly onTrouble?: ((trouble: WaitError | undefined) => void) | undefined
  /** Sends every request; called with a URL and an init. Default: the global `fetch`. */
  readonly fetch?: WebFetch
}

/**
 * Tens of seconds that a poll may be held. A gateway may end requests sooner: after one that failed the next is held
 * for 10 s, then none.
 */
const HOLD_TENS = 3
/**
 * Streams and held polls of all waits to one origin. A page over HTTP/1.1 has six connections to an origin, and needs
 * some for its other requests.
 */
const MAX_HELD = 2
/** The waits that have the server hold a request, and at which origin. */
const holders = new Map<Wait, string>()
/** Polls without a hold that fail in a row before the wait is given up: about three minutes. */
const MAX_FAILURES = 20
/** A status that is new lowers the floor between polls: to 62 to 125 ms. */
const FRESH = -2
/** A status that was heard four times is asked for by polls, since streams of it are cut. */
const STALE = 1
/** A 500 that may be the operation's own is believed when it has been said this often. */
const MAX_DOUBTS = 3
const EVENT_STREAM = 'text/event-stream'

type Init = WebRequestInit & WaitOptions

/** A result, which may be undefined. */
interface Result {
  readonly value: unknown
}

/** One wait for one operation. */
export class Wait {
  readonly #init: Init & { readonly fetch: WebFetch; readonly input: WebRequestInput }
  readonly #onStatusPoll: OnStatusPoll | undefined
  readonly #request: Request
  readonly #deadline = new AbortController()
  readonly #signal: AbortSignal
  readonly #transport: Transport
  #timer: ReturnType<typeof setTimeout> | undefined

  #statusUrl = ''
  /** Where events are, empty where they are of no use, and where the result will be. */
  #eventsUrl: string | undefined
  #resultUrl: string | undefined
  /** The status URL answers 202 until the operation has ended: another code is then the operation's own. */
  #pendingIs202 = false
  /** A browser does not show redirects. */
  #isBlind = false
  #trouble: WaitError | undefined
  #delay = 0
  /** How often in a row an answer brought nothing new, from FRESH. */
  #stale = Number.NEGATIVE_INFINITY
  #etag = ''
  #last: Answer | undefined
  #tens = HOLD_TENS

  constructor(input: WebRequestInput, init?: Init | OnStatusPoll | null, onStatusPoll?: OnStatusPoll) {
    this.#onStatusPoll = typeof init === 'function' ? init : onStatusPoll
    // `input` is held because a Request that has been collected passes its abort on to nobody.
    this.#init = { fetch, ...init, input }
    // Without the body: it can be read only once, and is sent by `submit`.
    this.#request = new Request(input, { ...this.#init, body: null })
    this.#signal = AbortSignal.any([this.#init.signal ?? this.#request.signal, this.#deadline.signal])
    this.#transport = createTransport(this.#request, this.#init, this.#signal)
  }

  /** Runs `work`, and rejects as soon as the signal aborts or the time is over, whatever the work is at. */
  async within(work: (wait: Wait) => Promise<unknown>): Promise<unknown> {
    const { timeoutMs = MAX_TIMER_MS, cancelOnAbort } = this.#init
    const signal = this.#signal
    signal.throwIfAborted()
    const expire = () => this.#deadline.abort(this.#error('timed-out'))
    const timer = setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS))
    try {
      return await Promise.race([
        work(this),
        new Promise((_, reject) => {
          signal.onabort = () => {
            clearTimeout(this.#timer)
            if (cancelOnAbort && this.#statusUrl) this.#transport.cancel(this.#statusUrl)
            reject(signal.reason)
          }
        }),
      ])
    } finally {
      clearTimeout(timer)
      holders.delete(this)
      signal.onabort = null
    }
  }

  /** Sends the request, and waits if it is answered with 202. */
  async submit(): Promise<unknown> {
    const { cancelOnAbort, onAccepted } = this.#init
    const response = await this.#send()
    if (response.status !== 202) return this.#settle(await readAnswer(response)).value
    const answer = await readAnswer(response).catch(() => answerOf('', response.url, response))
    const { url, headers } = response
    const location = headers.get('location')
    const ours = answer.body.links?.status
    // `Location` is the status where the server is ours, and may be the result where there is a monitor beside it.
    const found = (!ours && headers.get('operation-location')) || location || ours
    if (!found) throw this.#error('no-location', answer)
    this.#statusUrl = resolve(found, url)
    if (location && found !== location) this.#resultUrl = resolve(location, url)
    if (cancelOnAbort && this.#signal.aborted) this.#transport.cancel(this.#statusUrl)
    onAccepted?.(this.#statusUrl)
    if (!answer.body.links?.events) this.#delay = retryAfterOf(response) ?? 0
    return this.attach(answer.body.links)
  }

  /** The result that an operation has ended with. */
  async end(answer: Answer): Promise<unknown> {
    this.#statusUrl = this.#request.url
    return this.#settle(await readAnswer(answer.copy()), true).value
  }

  async #send(): Promise<Response> {
    const { body, cancelOnAbort } = this.#init
    const { url, method, headers, redirect } = this.#request
    const own = await this.#request.blob()
    return this.#transport.send(
      url,
      {},
      {
        ...{ method, headers, redirect },
        body: body ?? (own.size ? own : null),
        // To cancel what it starts, a request that is under way has to learn its status URL first.
        signal: cancelOnAbort ? null : this.#signal,
      },
    )
  }

  /**
   * Waits for the operation whose status URL is given, or was the input.
   *
   * @param links what is known of it without asking
   */
  async attach(links?: PolledStatus['links']): Promise<unknown> {
    this.#statusUrl ||= this.#request.url
    this.#learn({ links })
    for (;;) {
      await this.#sleep(Math.max(this.#delay, floor(this.#stale)))
      const url = this.#stale < STALE && this.#eventsUrl
      const done = await (url && this.#claim(url) ? this.#stream(url) : this.#poll())
      if (done) return done.value
    }
  }

  /** Reads a stream of events to its end. One that tells no status gives way to polls. */
  async #stream(url: string): Promise<Result | undefined> {
    const response = await this.#transport.get(url, { accept: EVENT_STREAM }).catch(() => undefined)
    this.#eventsUrl = ''
    if (response?.headers.get('content-type')?.includes(EVENT_STREAM)) {
      for await (const { event, data } of readEvents(response)) {
        if (event !== 'status\n') continue
        this.#setTrouble()
        this.#eventsUrl = url
        const headers = { 'content-type': 'application/json', 'retry-after': JSON.parse(data).retryAfter }
        const done = await this.#judge(answerOf(data, this.#statusUrl, { headers }))
        if (done) return done
      }
    }
    holders.delete(this)
    this.#delay = retryAfterOf(response) ?? growing(this.#stale - FRESH)
    return
  }

  async #poll(): Promise<Result | undefined> {
    const answer = await this.#ask(this.#statusUrl)
    const { headers } = answer.response
    this.#etag = headers.get('etag') || this.#etag
    const done = await this.#judge(answer)
    // A server that holds polls has already let the time pass.
    if (headers.has('preference-applied')) this.#delay = 0
    return done
  }

  /** Whether the server may hold one more request for `url`; it then counts until it is taken out of the holders. */
  #claim(url: string): boolean {
    const { origin } = new URL(url)
    const free = [...holders.values()].filter(other => other === origin).length < MAX_HELD
    if (free) holders.set(this, origin)
    return free
  }

  /** The result that an answer leads to; undefined where it is pending. */
  async #judge(answer: Answer): Promise<Result | undefined> {
    const { response, body, text, outcome } = answer
    const { status, url } = response
    const location = response.headers.get('location')
    const pause = retryAfterOf(response)
    if (status === 303 && location) return this.#collect(resolve(location, url))
    const isElsewhere = this.#isBlind && pathOf(url) !== pathOf(this.#statusUrl)
    if (isElsewhere && pause === undefined) return this.#settle(answer, true)
    if (!isElsewhere) this.#statusUrl = url
    if (status === 202) {
      this.#pendingIs202 = true
      if (location) this.#statusUrl = resolve(location, url)
    }
    if (outcome && !this.#pendingIs202) {
      this.#delay = 0
      await this.#report(answer)
      if (outcome === 'completed' && this.#resultUrl) return this.#collect(this.#resultUrl)
      if (body.status === 'Succeeded' && 'result' in body) return { value: body.result }
    } else if (
      status === 202 ||
      status === 304 ||
      isElsewhere ||
      (response.ok && (pause !== undefined || (typeof body.status === 'string' && !this.#pendingIs202)))
    ) {
      const last = this.#last
      if (status !== 304) this.#last = answer
      this.#stale = text === last?.text || status === 304 ? this.#stale + 1 : FRESH
      this.#delay = pause ?? growing(this.#stale - FRESH)
      return this.#report(this.#last ?? answer)
    }
    return this.#settle(answer, this.#pendingIs202)
  }

  async #collect(url: string): Promise<Result> {
    return this.#settle(await this.#ask(url, true), true)
  }

  /** Gets an answer that says something about the operation, as often as it takes. */
  async #ask(url: string, isResult = false): Promise<Answer> {
    let answer: Answer | undefined
    for (let failures = 0; ; ) {
      const etag = !isResult && this.#etag
      const tens = etag && this.#tens && this.#claim(url) ? this.#tens : 0
      const headers = { ...(etag && { 'if-none-match': etag }), ...(tens && { prefer: `wait=${tens}0` }) }
      let cause: unknown
      answer = undefined
      try {
        answer = await this.#get(url, headers, isResult)
        // Where a 500 can be the operation's own, it is believed when it stays.
        const { response, value } = answer
        const isOwn = (isResult || this.#pendingIs202) && response.status === 500 && value !== response
        if (!isTransient(answer) || (isOwn && failures === MAX_DOUBTS)) break
      } catch (error) {
        cause = error
      } finally {
        holders.delete(this)
      }
      this.#signal.throwIfAborted()
      if (tens) this.#tens >>= 1
      else {
        const error = this.#error('unreachable', answer, cause)
        if (failures++ === MAX_FAILURES) throw error
        this.#setTrouble(error)
      }
      await this.#sleep(Math.max(retryAfterOf(answer?.response) ?? growing(failures), floor(failures)))
    }
    this.#setTrouble()
    return answer
  }

  async #get(url: string, headers: Record<string, string>, isResult: boolean): Promise<Answer> {
    let response = await this.#transport.get(url, headers, isResult)
    if (response.type === 'opaqueredirect') {
      this.#isBlind = true
      response = await this.#transport.follow(url, isResult ? undefined : this.#resultUrl)
    }
    return readAnswer(response)
  }

  /** Tells of trouble, or that it is over: the server may then stream and hold polls as before. */
  #setTrouble(error?: WaitError): void {
    if (error === this.#trouble) return
    this.#trouble = error
    if (!error) {
      this.#tens = HOLD_TENS
      this.#eventsUrl ||= undefined
    }
    this.#init.onTrouble?.(error)
  }

  async #sleep(ms: number): Promise<void> {
    this.#signal.throwIfAborted()
    await new Promise(resolve => {
      this.#timer = setTimeout(resolve, ms)
    })
  }

  /**
   * Takes an answer for the result, or throws what it says is wrong.
   * @param own whether it speaks for the operation by its code; a status does by its word alone
   */
  #settle(answer: Answer, own = false): Result {
    const { response, body, outcome = 'completed' } = answer
    const { ok, status } = response
    const gone = this.#statusUrl && (status === 404 || status === 410)
    if (outcome !== 'completed' && (!ok || 'error' in body || (this.#statusUrl && !own)))
      throw this.#error(outcome, answer)
    if (ok) return answer
    if (own && !gone && ![401, 403].includes(status)) throw this.#error('failed', answer)
    throw this.#error(gone ? 'gone' : 'refused', answer)
  }

  #error(code: WaitErrorCode, answer?: Answer, cause?: unknown): WaitError {
    return waitError(code, this.#statusUrl || this.#request.url, this.#statusUrl, answer, cause)
  }

  async #report({ copy, body }: Answer): Promise<undefined> {
    this.#learn(body)
    await this.#onStatusPoll?.({
      response: copy(),
      retryAfter: this.#delay / 1000,
      status: body.status,
      document: body,
    })
  }

  #learn({ links, resourceLocation = links?.result }: PolledStatus): void {
    if (links?.events) this.#eventsUrl ??= resolve(links.events, this.#statusUrl)
    if (resourceLocation) this.#resultUrl = resolve(resourceLocation, this.#statusUrl)
  }
}

/** What tells resources apart for a browser that was redirected: not the scheme, nor a slash at the end. */
function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}
