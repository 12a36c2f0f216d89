import { MAX_TIMER_MS, parseRetryAfter } from '../protocol.ts'
import { OperationError, WaitError } from './errors.ts'
import { readEvents } from './event-stream.ts'
import { type Answer, answerOf, type OnStatusPoll, type PolledStatus, problemOf, readAnswer } from './status.ts'
import { createTransport, type Transport } from './transport.ts'

/** How to wait. */
export interface WaitOptions {
  /** Also cancels the operation when `signal` or `timeoutMs` ends the wait. Default false: it goes on. */
  readonly cancelOnAbort?: boolean | undefined
  /** The longest that all of it may take, in milliseconds from 0. Default: no bound. */
  readonly timeoutMs?: number | undefined
  /** Hears the status URL as soon as the operation is accepted: keep it to `attach` after a reload. */
  readonly onAccepted?: ((statusUrl: string) => void) | undefined
}

/** The first delay where the server names none, between polls and after one that failed; it doubles up to the longest. */
const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 15_000
/** Polls that fail in a row before the wait is given up: about three minutes. */
const MAX_FAILURES = 20
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

  constructor(
    input: RequestInfo | URL,
    init?: (RequestInit & WaitOptions) | OnStatusPoll | null,
    onStatusPoll?: OnStatusPoll,
    overrides?: RequestInit,
  ) {
    this.input = input
    this.#onStatusPoll = typeof init === 'function' ? init : onStatusPoll
    this.#init = { ...init, ...overrides }
    const { signal = input instanceof Request ? input.signal : null } = this.#init
    this.#request = new Request(input, this.#init)
    this.#signal = AbortSignal.any(signal ? [signal, this.#deadline.signal] : [this.#deadline.signal])
    this.#transport = createTransport(this.#request, this.#init, this.#signal)
  }

  /** Runs `work`, and rejects as soon as the signal aborts or the time is over, whatever the work is at. */
  async within(work: (wait: Wait) => Promise<unknown>): Promise<unknown> {
    const { timeoutMs, cancelOnAbort } = this.#init
    const signal = this.#signal
    signal.throwIfAborted()
    const expire = () =>
      this.#deadline.abort(new WaitError('timed-out', `No result within ${timeoutMs} ms`, this.#details()))
    const timer = timeoutMs === undefined ? timeoutMs : setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS))
    const aborted = new Promise((_, reject) => {
      signal.onabort = () => {
        clearTimeout(this.#timer)
        if (cancelOnAbort) this.#cancel()
        reject(signal.reason)
      }
    })
    try {
      return await Promise.race([aborted, work(this)])
    } finally {
      clearTimeout(timer)
      signal.onabort = null
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
    if (!this.#eventsUrl) this.#delay = retryAfterOf(response) ?? 0
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
      const done = await (this.#eventsUrl && !this.#resultUrl ? this.#listen(this.#eventsUrl) : this.#poll())
      if (done) return done.value
    }
  }

  /** Finds the status URL in a 202: `Location` where the server is ours, else the monitor beside it where there is one. */
  #accept(answer: Answer): void {
    const { url, headers } = answer.response
    const location = headers.get('location')
    const ours = answer.body.links?.status
    const found = ours ? location || ours : headers.get('operation-location') || location
    if (!found) throw new WaitError('no-location', `The 202 of ${url} shows no Location`, this.#details(answer))
    this.#statusUrl = resolve(found, url)
    if (location && found !== location) this.#expectedUrl = resolve(location, url)
    this.#learn(answer.body)
  }

  /** Asks for the status, or for the result once that is known to be there. */
  async #poll(): Promise<Done> {
    const url = this.#resultUrl ?? this.#statusUrl
    const answer = await this.#ask(
      url,
      this.#etag && !this.#resultUrl ? { 'if-none-match': this.#etag, prefer: 'wait=30' } : {},
    )
    if (!answer) return
    const { response } = answer
    if (!this.#resultUrl)
      return this.#judge(
        response.status === 304 ? this.#replay(this.#text, response.headers.get('retry-after')) : answer,
      )
    const pause = response.status === 404 ? retryAfterOf(response) : undefined
    if (pause === undefined) return this.#settle(answer)
    // Not there yet, says the server: ask for the status again.
    this.#resultUrl = undefined
    this.#delay = pause
    return
  }

  async #judge(answer: Answer): Promise<Done> {
    const { response, body, outcome } = answer
    const { status, headers, ok, url } = response
    const location = headers.get('location')
    const says202 = status === 202
    this.#statusUrl = says202 && location ? resolve(location, url) : url
    if (status === 303 && location) this.#resultUrl = resolve(location, url)
    else if (ok && !outcome && (says202 || headers.has('retry-after') || (body.status && !this.#pendingIs202))) {
      this.#pendingIs202 ||= says202
      this.#etag = headers.get('etag') ?? this.#etag
      this.#text = JSON.stringify(body)
      this.#delay = retryAfterOf(response) ?? growing(this.#unpaced++)
      this.#learn(body)
      await this.#report(answer)
      // A server that holds polls has already let the time pass.
      if (headers.get('preference-applied')?.includes('wait')) this.#delay = 0
    } else return outcome && !this.#pendingIs202 ? this.#conclude(answer) : this.#settle(answer)
    return
  }

  /** Ends the wait as a final status asks: with the operation's error, or by way of its result. */
  async #conclude(answer: Answer): Promise<Done> {
    const { body, outcome } = answer
    await this.#report(answer)
    if (outcome !== 'completed') throw this.#failure(answer)
    const url = body.resourceLocation || body.links?.result
    if (!url && body.status === 'Succeeded' && 'result' in body) return { value: body.result }
    this.#resultUrl = url ? resolve(url, this.#statusUrl) : this.#expectedUrl
    return this.#resultUrl ? undefined : answer
  }

  async #listen(url: string): Promise<Done> {
    const headers = { accept: 'text/event-stream', ...(this.#lastEventId && { 'last-event-id': this.#lastEventId }) }
    const response = await this.#transport.get(url, headers).catch(() => undefined)
    if (response?.ok && response.body && response.headers.get('content-type')?.startsWith('text/event-stream')) {
      for await (const { event, data, id } of readEvents(response.body)) {
        if (id !== this.#lastEventId) this.#silentStreams = 0
        this.#lastEventId = id
        const done = event === 'status' && (await this.#judge(this.#replay(data, JSON.parse(data).retryAfter)))
        if (done || this.#resultUrl) return done || undefined
      }
    } else if (response) {
      this.#silentStreams = MAX_SILENT_STREAMS
    }
    this.#delay = jittered(this.#silentStreams++)
    if (this.#silentStreams > MAX_SILENT_STREAMS) this.#eventsUrl = undefined
    return
  }

  /** A status that was not the body of its own answer. */
  #replay(text: string, retryAfter: unknown): Answer {
    const headers = { 'content-type': 'application/json', 'retry-after': `${retryAfter}` }
    return answerOf(text, this.#statusUrl, { headers })
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
        if (pathOf(response.url) !== pathOf(url)) this.#resultUrl = response.url
      }
      answer = await readAnswer(response)
      if (!this.#isTransient(answer)) {
        this.#failures = 0
        return answer
      }
    } catch (error) {
      cause = error
    }
    const pause = answer && retryAfterOf(answer.response)
    this.#delay = pause === undefined ? jittered(this.#failures) : pause * (1 + Math.random() / 4)
    if (++this.#failures === MAX_FAILURES)
      throw new WaitError('unreachable', `${url} failed ${MAX_FAILURES} times`, { ...this.#details(answer), cause })
    return
  }

  /** Whether an answer says nothing about the operation, and another may. */
  #isTransient({ response, value, outcome }: Answer): boolean {
    const { status } = response
    if (status === 500 && (this.#resultUrl || this.#pendingIs202) && value !== response && this.#failures >= MAX_DOUBTS)
      return false
    return !outcome && (status >= 500 || [408, 425, 429].includes(status))
  }

  /** Takes an answer for the result, or throws what it says is wrong. */
  #settle(answer: Answer): { value: unknown } {
    const {
      response: { ok, status, url },
      body,
      outcome = 'completed',
    } = answer
    const gone = this.#statusUrl && (status === 404 || status === 410)
    const own = (this.#resultUrl || this.#pendingIs202) && !gone && ![401, 403, 407].includes(status)
    if (outcome === 'completed' || (ok && !('error' in body))) {
      if (ok) return answer
      if (!own)
        throw new WaitError(
          gone ? 'gone' : 'refused',
          `${url} answered ${status}: ${problemOf(answer).title}`,
          this.#details(answer),
        )
    }
    throw this.#failure(answer)
  }

  #failure(answer: Answer): OperationError {
    const { title, detail = '' } = problemOf(answer)
    const { id } = answer.body
    const status = answer.outcome === 'canceled' ? 'canceled' : 'failed'
    const details = { ...this.#details(answer), status, id }
    return new OperationError(`operation-${status}`, `Operation ${id} ${status}: ${title} ${detail}`, details)
  }

  #details(answer?: Answer) {
    return { response: answer?.response, problem: answer && problemOf(answer), statusUrl: this.#statusUrl }
  }

  async #report({ copy, body }: Answer): Promise<void> {
    const { status } = body
    this.#speaksAzure = /^[A-Z]/.test(`${status}`)
    await this.#onStatusPoll?.({ response: copy(), retryAfter: this.#delay / 1000, status, document: body })
  }

  #learn({ links }: PolledStatus): void {
    if (links?.events && this.#silentStreams <= MAX_SILENT_STREAMS)
      this.#eventsUrl = resolve(links.events, this.#statusUrl)
    if (links?.result) this.#expectedUrl = resolve(links.result, this.#statusUrl)
  }

  #cancel(): void {
    if (!this.#statusUrl) return
    const url = new URL(this.#statusUrl)
    if (this.#speaksAzure) url.pathname += ':cancel'
    this.#transport.cancel(url.href, this.#speaksAzure ? 'POST' : 'DELETE')
  }
}

function resolve(url: unknown, base: string): string {
  return new URL(`${url}`, base).href
}

/** What tells resources apart for a browser that was redirected: not the scheme, nor a slash at the end. */
function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}

/** `Retry-After` in milliseconds. */
function retryAfterOf({ headers }: Response): number | undefined {
  return parseRetryAfter(headers.get('retry-after'), Date.now())
}

/** The delay after `times` that it was used before. */
function growing(times: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** times, LONGEST_DELAY_MS)
}

/** A growing delay that is random by half, so that clients of a server that comes back do not come all at once. */
function jittered(times: number): number {
  return growing(times) * (0.5 + Math.random() / 2)
}
