import { type Links, MAX_TIMER_MS, parseRetryAfter } from '../protocol.ts'
import { OperationError, WaitError, type WaitErrorCode } from './errors.ts'
import { readEvents, type StreamEvent } from './event-stream.ts'
import {
  type Answer,
  answerOf,
  type OnStatusPoll,
  outcomeOf,
  type PolledStatus,
  problemOf,
  readAnswer,
} from './status.ts'
import { discard, Transport } from './transport.ts'

/** How to wait. */
export interface WaitOptions {
  /** Also cancels the operation when `signal` or `timeoutMs` ends the wait. Default false: it goes on. */
  readonly cancelOnAbort?: boolean | undefined
  /** The longest that all of it may take, in milliseconds from 0. Default: no bound. */
  readonly timeoutMs?: number | undefined
  /** Hears the status URL as soon as the operation is accepted: keep it to `attach` after a reload. */
  readonly onAccepted?: ((statusUrl: string) => void) | undefined
}

/** The first delay between polls where the server names none; it doubles up to the longest. */
const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 10_000
/** The longest delay after a poll that failed. */
const LONGEST_BACKOFF_MS = 30_000
/** Polls that fail in a row before the wait is given up: about three minutes. */
const MAX_FAILURES = 12
/** A 500 that may be the operation's own is believed when it has been said this often. */
const MAX_DOUBTS = 3
/** Streams in a row that told nothing new before polls take over. */
const MAX_SILENT_STREAMS = 3

/** A result, or undefined where the wait goes on. */
type Done = { readonly value: unknown } | undefined

/** One wait for one operation: asks for the status until it tells where the result is, then for the result. */
export class Wait {
  /** Held here: a Request that has been collected passes its abort on to nobody. */
  readonly input: RequestInfo | URL
  readonly #init: RequestInit & WaitOptions
  readonly #onStatusPoll: OnStatusPoll | undefined
  readonly #request: Request
  readonly #deadline = new AbortController()
  readonly #signal: AbortSignal
  readonly #transport: Transport

  #statusUrl = ''
  /** Where the result is, once the operation has ended. */
  #resultUrl: string | undefined
  /** Where the result will be, as far as anyone told. */
  #expectedUrl: string | undefined
  #eventsUrl: string | undefined
  #lastEventId = ''
  #silentStreams = 0
  /** The text and the tag of the last status, for a 304 that refers to it. */
  #text = ''
  #etag = ''
  /** The status URL answers 202 until the operation has ended: another code is then the operation's own. */
  #pendingIs202 = false
  #speaksAzure = false
  #unpaced = 0
  #failures = 0
  #delay = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /** @throws TypeError for what `Request` refuses, and for a `timeoutMs` that is not a number from 0 */
  constructor(input: RequestInfo | URL, init: RequestInit & WaitOptions, onStatusPoll: OnStatusPoll | undefined) {
    const { timeoutMs = 0, signal = input instanceof Request ? input.signal : null } = init
    if (!(timeoutMs >= 0)) throw new TypeError(`timeoutMs: ${timeoutMs}`)
    this.input = input
    this.#init = init
    this.#onStatusPoll = onStatusPoll
    this.#request = new Request(input, init)
    this.#signal = AbortSignal.any(signal ? [signal, this.#deadline.signal] : [this.#deadline.signal])
    this.#transport = new Transport(this.#request, init, this.#signal)
  }

  /** Runs `work`, and rejects as soon as the signal aborts or the time is over, whatever the work is at. */
  async within(work: (wait: Wait) => Promise<unknown>): Promise<unknown> {
    const { timeoutMs, cancelOnAbort } = this.#init
    const signal = this.#signal
    signal.throwIfAborted()
    const { promise, reject } = Promise.withResolvers<never>()
    const stop = () => {
      clearTimeout(this.#timer)
      if (cancelOnAbort) this.#cancel()
      reject(signal.reason)
    }
    const expire = () => this.#deadline.abort(this.#error('timed-out', `No result within ${timeoutMs} ms`))
    const timer = timeoutMs === undefined ? timeoutMs : setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS))
    signal.addEventListener('abort', stop)
    try {
      return await Promise.race([promise, work(this)])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
  }

  /** Sends the request, and waits if it is answered with 202. */
  async submit(): Promise<unknown> {
    const { cancelOnAbort, onAccepted } = this.#init
    // To cancel what it starts, a request that is under way has to learn its status URL first.
    const response = await fetch(this.#request, { signal: cancelOnAbort ? null : this.#signal })
    if (response.status !== 202) return this.#settle(await readAnswer(response)).value
    const answer = await readAnswer(response).catch(() => answerOf('', response.url, response))
    this.#accept(answer)
    if (this.#signal.aborted) this.#cancel()
    onAccepted?.(this.#statusUrl)
    if (!this.#eventsUrl) this.#delay = retryAfterOf(answer) ?? 0
    return this.attach(this.#statusUrl)
  }

  /** Waits for the operation whose status URL is given, or was the input. */
  async attach(statusUrl = this.#request.url): Promise<unknown> {
    this.#statusUrl = statusUrl
    for (;;) {
      this.#signal.throwIfAborted()
      await new Promise(resolve => {
        this.#timer = setTimeout(resolve, Math.min(this.#delay, MAX_TIMER_MS))
      })
      this.#delay = 0
      const done = await (this.#resultUrl
        ? this.#collect()
        : this.#eventsUrl
          ? this.#listen(this.#eventsUrl)
          : this.#poll())
      if (done) return done.value
    }
  }

  /** Finds the status URL in a 202: `Location` where the server is ours, else the monitor beside it where there is one. */
  #accept(answer: Answer): void {
    const { url, headers } = answer.response
    const ours = linkOf(answer, 'status')
    const location = headers.get('location')
    const found = ours ? location || ours : headers.get('operation-location') || location
    if (!found) throw this.#error('no-location', `The 202 of ${url} names no Location (or not to this origin)`, answer)
    this.#statusUrl = new URL(found, url).href
    if (location) this.#expectedUrl = found === location ? undefined : new URL(location, url).href
    this.#learn(answer)
  }

  async #poll(): Promise<Done> {
    const url = this.#statusUrl
    let answer = await this.#ask(url, this.#etag ? { 'if-none-match': this.#etag, prefer: 'wait=30' } : {})
    if (answer?.response.status === 304) {
      const headers = new Headers(answer.response.headers)
      headers.set('content-type', 'application/json')
      answer = answerOf(this.#text, url, { headers })
    }
    return answer && (this.#resultUrl ? this.#settle(answer) : this.#judge(answer))
  }

  async #judge(answer: Answer): Promise<Done> {
    const { response, body } = answer
    const { status, headers, ok, url } = response
    const location = headers.get('location')
    const outcome = outcomeOf(body)
    const says202 = status === 202
    this.#statusUrl = says202 && location ? new URL(location, url).href : url
    if (status === 303 && location) this.#resultUrl = new URL(location, url).href
    else if (ok && !outcome && (says202 || headers.has('retry-after') || (body.status && !this.#pendingIs202))) {
      this.#pendingIs202 ||= says202
      this.#etag = headers.get('etag') ?? ''
      this.#text = JSON.stringify(body)
      const delay = await this.#pending(answer)
      // A server that holds polls has already let the time pass.
      this.#delay = headers.get('preference-applied')?.includes('wait') ? 0 : delay
    } else if (outcome && !this.#pendingIs202) return this.#conclude(answer)
    else return this.#settle(answer)
    return
  }

  /** Passes a pending status on. Returns how long it asks to be left alone, in milliseconds. */
  async #pending(answer: Answer): Promise<number> {
    const { retryAfter } = answer.body
    const delay =
      retryAfterOf(answer) ??
      (retryAfter === undefined ? Math.min(FIRST_DELAY_MS * 2 ** this.#unpaced++, LONGEST_DELAY_MS) : retryAfter * 1000)
    this.#learn(answer)
    await this.#report(answer, delay)
    return delay
  }

  /** Ends the wait as a final status asks: with the operation's error, or by way of its result. */
  async #conclude(answer: Answer): Promise<Done> {
    const { body } = answer
    await this.#report(answer, 0)
    if (outcomeOf(body) !== 'completed') throw this.#failure(answer)
    const url = body.resourceLocation || linkOf(answer, 'result')
    if (!url && this.#speaksAzure && 'result' in body) return { value: body.result }
    this.#resultUrl = url ? new URL(`${url}`, this.#statusUrl).href : this.#expectedUrl
    return this.#resultUrl ? undefined : answer
  }

  async #listen(url: string): Promise<Done> {
    const headers = { accept: 'text/event-stream', ...(this.#lastEventId && { 'last-event-id': this.#lastEventId }) }
    const response = await this.#transport.get(url, headers).catch(() => undefined)
    this.#silentStreams++
    this.#delay = backoff(this.#silentStreams)
    if (response?.ok && response.body && /^text\/event-stream/.test(response.headers.get('content-type') ?? '')) {
      for await (const event of readEvents(response.body)) {
        const done = await this.#hear(event)
        if (done || this.#resultUrl) return done
      }
    } else if (response) {
      discard(response)
      this.#silentStreams = MAX_SILENT_STREAMS
      this.#delay = retryAfterOf({ response }) ?? 0
    }
    if (this.#silentStreams >= MAX_SILENT_STREAMS) this.#eventsUrl = undefined
    return
  }

  async #hear({ event, data, id }: StreamEvent): Promise<Done> {
    if (id !== this.#lastEventId) this.#silentStreams = 0
    this.#lastEventId = id
    if (event !== 'status') return
    const headers = new Headers({ 'content-type': 'application/json' })
    const { body } = answerOf(data, '', {})
    headers.set('retry-after', `${outcomeOf(body) ? 0 : (body.retryAfter ?? 0)}`)
    const answer = answerOf(data, this.#statusUrl, { headers })
    if (outcomeOf(body)) return this.#conclude(answer)
    await this.#pending(answer)
    return
  }

  async #collect(): Promise<Done> {
    const answer = await this.#ask(`${this.#resultUrl}`, {})
    const pause = answer?.response.status === 404 ? retryAfterOf(answer) : undefined
    if (pause === undefined) return answer && this.#settle(answer)
    // Not there yet, says the server: ask for the status again.
    this.#resultUrl = undefined
    this.#delay = pause
    return
  }

  /** Gets an answer that says something about the operation; undefined where it has to be asked for again. */
  async #ask(url: string, headers: Record<string, string>): Promise<Answer | undefined> {
    let answer: Answer | undefined
    let cause: unknown
    try {
      let response = await this.#transport.get(url, headers, !!this.#resultUrl)
      if (response.type === 'opaqueredirect') {
        // A browser does not show where to: to the result, or to where the infrastructure moved the status.
        if (!this.#resultUrl && this.#expectedUrl) {
          this.#resultUrl = this.#expectedUrl
          return
        }
        response = await this.#transport.follow(url)
        if (leadsElsewhere(response, url)) this.#resultUrl = response.url
      }
      answer = await readAnswer(response)
    } catch (error) {
      this.#signal.throwIfAborted()
      cause = error
    }
    this.#failures++
    if (answer && !this.#isTransient(answer)) {
      this.#failures = 0
      return answer
    }
    if (this.#failures === MAX_FAILURES)
      throw this.#error('unreachable', `${url} failed ${MAX_FAILURES} times`, answer, cause)
    const pause = answer && retryAfterOf(answer)
    this.#delay = pause === undefined ? backoff(this.#failures) : pause * (1 + Math.random() / 4)
    if (answer) discard(answer.response)
    return
  }

  /** Whether an answer says nothing about the operation, and another may. */
  #isTransient({ response, body, value }: Answer): boolean {
    const { status } = response
    if (outcomeOf(body)) return false
    if (status === 500 && this.#speaksForOperation && value !== response) return this.#failures < MAX_DOUBTS
    return status >= 500 || status === 408 || status === 425 || status === 429
  }

  /** Whether a code that reports failure can be the operation's, rather than the poll's. */
  get #speaksForOperation(): boolean {
    return !!this.#resultUrl || this.#pendingIs202
  }

  /** Takes an answer for the result, or throws what it says is wrong. */
  #settle(answer: Answer): { value: unknown } {
    const { response, body } = answer
    const { ok, status, url } = response
    const outcome = outcomeOf(body) ?? 'completed'
    if (outcome !== 'completed' && (!ok || 'error' in body)) throw this.#failure(answer)
    if (ok) return answer
    const gone = this.#statusUrl && (status === 404 || status === 410)
    if (this.#speaksForOperation && !gone && ![401, 403, 407].includes(status)) throw this.#failure(answer)
    throw this.#error(gone ? 'gone' : 'refused', `${url} answered ${status}: ${problemOf(answer).title}`, answer)
  }

  #failure(answer: Answer): OperationError {
    const { response, body } = answer
    const status = outcomeOf(body) === 'canceled' ? 'canceled' : 'failed'
    return new OperationError(status, body.id, { response, problem: problemOf(answer), statusUrl: this.#statusUrl })
  }

  #error(code: WaitErrorCode, message: string, answer?: Answer, cause?: unknown): WaitError {
    const problem = answer && problemOf(answer)
    return new WaitError(code, message, { response: answer?.response, problem, statusUrl: this.#statusUrl }, cause)
  }

  async #report({ copy, body }: Answer, delay: number): Promise<void> {
    const { status } = body
    this.#speaksAzure = /^[A-Z]/.test(`${status}`)
    await this.#onStatusPoll?.({ response: copy(), retryAfter: delay / 1000, status, document: body })
  }

  #learn(answer: Answer): void {
    const events = linkOf(answer, 'events')
    const result = linkOf(answer, 'result')
    if (events && this.#silentStreams < MAX_SILENT_STREAMS) this.#eventsUrl = new URL(events, this.#statusUrl).href
    if (result) this.#expectedUrl = new URL(result, this.#statusUrl).href
  }

  #cancel(): void {
    if (!this.#statusUrl) return
    const url = new URL(this.#statusUrl)
    if (this.#speaksAzure) url.pathname += ':cancel'
    this.#transport.cancel(url.href, this.#speaksAzure ? 'POST' : 'DELETE')
  }
}

/** `Retry-After` in milliseconds; a date counts from the server's own clock where it shows it. */
function retryAfterOf({ response: { headers } }: Pick<Answer, 'response'>): number | undefined {
  return parseRetryAfter(headers.get('retry-after'), Date.parse(headers.get('date') ?? '') || Date.now())
}

/** Grows from half a second, and is random, so that clients of a server that comes back do not come all at once. */
function backoff(failures: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), LONGEST_BACKOFF_MS) * (0.5 + Math.random() / 2)
}

/** Whether a browser was redirected to another resource, rather than to the same one with a slash or with https. */
function leadsElsewhere({ url, status, headers }: Response, from: string): boolean {
  const path = (of: string) => new URL(of).pathname.replace(/\/$/, '')
  return path(url) !== path(from) && status !== 202 && !headers.has('retry-after')
}

function linkOf({ body: { links } }: Answer, name: keyof Links): string | undefined {
  const link = links?.[name]
  return typeof link === 'string' ? link : undefined
}
