import { MAX_TIMER_MS, parseRetryAfter } from '../protocol.ts'
import { type WaitError, type WaitErrorCode, waitError } from './errors.ts'
import { readEvents } from './event-stream.ts'
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
  /** Sends every request, the first as a Request. Default: the global `fetch`. */
  readonly fetch?: typeof fetch
}

/** The first delay where the server names none, between polls and after one that failed; it doubles up to the longest. */
const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 15_000
/** Seconds until the next poll after a 304 that names none. */
const UNCHANGED_S = 5
/** Polls that fail in a row before the wait is given up: about three minutes. */
const MAX_FAILURES = 20
/** A 500 that may be the operation's own is believed when it has been said this often. */
const MAX_DOUBTS = 3
const EVENT_STREAM = 'text/event-stream'
/** Streams in a row that told nothing new before polls take over. */
const MAX_SILENT_STREAMS = 3

type Init = RequestInit & WaitOptions

/** One wait for one operation. */
export class Wait {
  readonly #init: Init & { readonly fetch: typeof fetch; readonly input: RequestInfo | URL }
  readonly #onStatusPoll: OnStatusPoll | undefined
  readonly #request: Request
  readonly #deadline = new AbortController()
  readonly #signal: AbortSignal
  readonly #transport: Transport
  #timer: ReturnType<typeof setTimeout> | undefined

  #statusUrl = ''
  /** Where events are, and where the result will be, as far as anyone told. */
  #eventsUrl: string | undefined
  #resultUrl: string | undefined
  /** The status URL answers 202 until the operation has ended: another code is then the operation's own. */
  #pendingIs202 = false
  /** A browser does not show redirects. */
  #isBlind = false
  #unpaced = 0
  #delay = 0

  constructor(input: RequestInfo | URL, init?: Init | OnStatusPoll | null, onStatusPoll?: OnStatusPoll) {
    this.#onStatusPoll = typeof init === 'function' ? init : onStatusPoll
    // `input` is held because a Request that has been collected passes its abort on to nobody.
    this.#init = { fetch, ...init, input }
    this.#request = new Request(input, this.#init)
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
      signal.onabort = null
    }
  }

  /** Sends the request, and waits if it is answered with 202. */
  async submit(): Promise<unknown> {
    const { cancelOnAbort, onAccepted, fetch } = this.#init
    // To cancel what it starts, a request that is under way has to learn its status URL first.
    const response = await fetch(this.#request, { signal: cancelOnAbort ? null : this.#signal })
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
    this.#learn(answer.body)
    if (cancelOnAbort && this.#signal.aborted) this.#transport.cancel(this.#statusUrl)
    onAccepted?.(this.#statusUrl)
    if (!this.#eventsUrl) this.#delay = retryAfterOf(response) ?? 0
    return this.attach()
  }

  /** Waits for the operation whose status URL is given, or was the input. */
  async attach(): Promise<unknown> {
    this.#statusUrl ||= this.#request.url
    for await (const answer of this.#statuses()) {
      const done = await this.#judge(answer)
      if (done) return done.value
    }
    return
  }

  /** What is heard of the status: by streams of events where there are any, else by polls. */
  async *#statuses(): AsyncGenerator<Answer> {
    let silentStreams = 0
    let lastEventId = ''
    let etag = ''
    let text = ''
    for (;;) {
      await this.#sleep(this.#delay)
      if (this.#eventsUrl && silentStreams < MAX_SILENT_STREAMS) {
        const resume = lastEventId && { 'last-event-id': lastEventId }
        const response = await this.#transport
          .get(this.#eventsUrl, { accept: EVENT_STREAM, ...resume })
          .catch(() => undefined)
        const streams = response?.headers.get('content-type')?.includes(EVENT_STREAM)
        if (response && streams) {
          for await (const { event, data, id } of readEvents(response)) {
            if (id && id !== lastEventId) {
              lastEventId = id
              silentStreams = 0
            }
            if (event === 'status\n') yield this.#replay(data, JSON.parse(data).retryAfter)
          }
        }
        this.#delay = retryAfterOf(response) ?? growing(silentStreams)
        silentStreams += response && !streams ? MAX_SILENT_STREAMS : 1
      } else {
        const answer = await this.#ask(this.#statusUrl, etag ? { 'if-none-match': etag, prefer: 'wait=30' } : {})
        const { status, headers } = answer.response
        const seen = status === 304 ? this.#replay(text, headers.get('retry-after') ?? UNCHANGED_S) : answer
        yield seen
        etag = headers.get('etag') || etag
        text = JSON.stringify(seen.body)
        // A server that holds polls has already let the time pass.
        if (headers.has('preference-applied')) this.#delay = 0
      }
    }
  }

  /** The result that an answer leads to; undefined where it is pending. */
  async #judge(answer: Answer): Promise<{ value: unknown } | undefined> {
    const { response, body, outcome } = answer
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
      isElsewhere ||
      (response.ok && (pause !== undefined || (typeof body.status === 'string' && !this.#pendingIs202)))
    ) {
      this.#delay = pause ?? growing(this.#unpaced++)
      return this.#report(answer)
    }
    return this.#settle(answer, this.#pendingIs202)
  }

  async #collect(url: string): Promise<{ value: unknown }> {
    return this.#settle(await this.#ask(url, {}, true), true)
  }

  /** Gets an answer that says something about the operation, as often as it takes. */
  async #ask(url: string, headers: Record<string, string>, isResult = false): Promise<Answer> {
    for (let failures = 0; ; failures++) {
      let answer: Answer | undefined
      let cause: unknown
      try {
        let response = await this.#transport.get(url, headers, isResult)
        if (response.type === 'opaqueredirect') {
          this.#isBlind = true
          response = await this.#transport.follow(url, isResult ? undefined : this.#resultUrl)
        }
        answer = await readAnswer(response)
        const { status } = answer.response
        // Where a 500 can be the operation's own, it is believed when it stays.
        const isOwn = (isResult || this.#pendingIs202) && status === 500 && answer.value !== response
        if (!isTransient(answer) || (isOwn && failures === MAX_DOUBTS)) return answer
      } catch (error) {
        cause = error
      }
      if (failures === MAX_FAILURES) throw this.#error('unreachable', answer, cause)
      await this.#sleep(retryAfterOf(answer?.response) ?? growing(failures))
    }
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
  #settle(answer: Answer, own = false): { value: unknown } {
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
    if (links?.events) this.#eventsUrl = resolve(links.events, this.#statusUrl)
    if (resourceLocation) this.#resultUrl = resolve(resourceLocation, this.#statusUrl)
  }

  /** A status that was not the body of its own answer. */
  #replay(text: string, retryAfter: unknown): Answer {
    return answerOf(text, this.#statusUrl, {
      headers: { 'content-type': 'application/json', 'retry-after': `${retryAfter}` },
    })
  }
}

/** What tells resources apart for a browser that was redirected: not the scheme, nor a slash at the end. */
function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}

/** Whether an answer says nothing about what it was asked for, and asking again may help. */
export function isTransient({ response: { status }, outcome }: Answer): boolean {
  return !outcome && (status >= 500 || status === 408 || status === 425 || status === 429)
}

/** `Retry-After` in milliseconds. */
export function retryAfterOf(response: Response | undefined): number | undefined {
  return parseRetryAfter(response?.headers.get('retry-after'), Date.now())
}

/** The delay after `times` that it was used before; by half random, so that not all clients come at once. */
export function growing(times: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** times, LONGEST_DELAY_MS) * (0.5 + Math.random() / 2)
}
