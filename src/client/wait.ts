import { MAX_TIMER_MS } from '../model/protocol.ts'
import type { WebFetch, WebRequestInit, WebRequestInput } from '../model/web-types.ts'
import { type WaitError, waitError } from './errors.ts'
import { readStatuses } from './event-stream.ts'
import { HOLD_TENS, MAX_DOUBTS, MAX_FAILURES, MAX_HELD, MAX_REPEATS } from './limits.ts'
import { delayAfter, isTransient, minDelay, retryAfterOf, withTimeout } from './retry.ts'
import { settle } from './settle.ts'
import { type Answer, answerOf, makeResponse, type OnStatusPoll, type PolledStatus, readAnswer } from './status.ts'
import { createTransport, locationOf, resolve, type Transport } from './transport.ts'

/** How to wait. */
export interface WaitOptions {
  /**
   * Also cancels the operation, by DELETE of its status URL, when `signal` or `timeout` ends the wait. The rejection
   * does not wait for that. If the first request is still under way then, it is not aborted, so that what it starts can
   * be canceled. Default false: the operation goes on.
   */
  readonly cancelOnAbort?: boolean | undefined
  /** The longest that the whole wait may take, in milliseconds from 0. Default and maximum: 2^31 - 1, about 24.8 days. */
  readonly timeout?: number | undefined
  /** Called with the status URL when the operation is accepted. Keep it to `attach` after a reload. */
  readonly onAccepted?: ((statusUrl: string) => void) | undefined
  /**
   * Called with a `WaitError` (`unreachable`) each time a request for the status or the result fails and will be
   * repeated, and with undefined when the server answers again. The operation is not affected.
   */
  readonly onTrouble?: ((trouble: WaitError | undefined) => void) | undefined
  /** Sends every request; called with a URL and an init. Default: the global `fetch`. */
  readonly fetch?: WebFetch | undefined
}

/** The waits whose request the server holds, and at which origin. */
const holders = new Map<Wait, string>()

type Init = WebRequestInit & WaitOptions

/** A result, which may be undefined. */
type Result = Pick<Answer, 'value'>

/** One wait for one operation. */
export class Wait {
  readonly #init: Init
  readonly #onStatusPoll: OnStatusPoll | undefined
  readonly #deadline = new AbortController()
  readonly #transport: Transport
  #timer: ReturnType<typeof setTimeout> | undefined

  #statusUrl = ''
  /** The URL of the event stream; undefined while it is not known, empty while the stream is of no use. */
  #eventsUrl: string | undefined
  #resultUrl: string | undefined
  /** The status URL has answered 202: any other status code that it answers is the operation's own. */
  #pendingIs202 = false
  /** This is a browser, which does not show redirects. */
  #isBlind = false
  #trouble: WaitError | undefined
  #delay = 0
  /** How many times in a row the status was the same. Negative before the first one, so that it is requested at once. */
  #repeats = -99
  #etag = ''
  #last: Answer | undefined
  #tens = HOLD_TENS

  constructor(input: WebRequestInput, init?: Init | OnStatusPoll | null, onStatusPoll?: OnStatusPoll) {
    this.#init = { ...init }
    this.#onStatusPoll = typeof init === 'function' ? init : onStatusPoll
    this.#transport = createTransport(input, this.#init, [this.#deadline.signal])
  }

  /**
   * Waits until the operation ends, and rejects as soon as the signal aborts or the time is over.
   *
   * @param links what is known of the operation whose status URL is the input. Without them, the input is a request that
   *   is sent first; its answer is the result unless it is a 202
   */
  async run(links?: PolledStatus['links']): Promise<unknown> {
    const { timeout = MAX_TIMER_MS } = this.#init
    const { signal } = this.#transport
    const { promise, reject } = Promise.withResolvers()
    signal.onabort = () => {
      clearTimeout(this.#timer)
      this.#cancel()
      reject(signal.reason)
    }
    try {
      const work = Promise.race([links ? this.#follow(links) : this.#submit(), promise])
      return await withTimeout(Math.min(timeout, MAX_TIMER_MS), work, () =>
        this.#deadline.abort(waitError('timed-out', this.#statusUrl)),
      )
    } finally {
      holders.delete(this)
      signal.onabort = null
    }
  }

  #cancel(): void {
    if (this.#init.cancelOnAbort && this.#statusUrl) this.#transport.cancel(this.#statusUrl)
  }

  async #submit(): Promise<unknown> {
    const { signal, submit } = this.#transport
    signal.throwIfAborted()
    const response = await submit()
    const read = readAnswer(response)
    if (response.status !== 202) return settle(await read).value
    const answer = await read.catch(() => answerOf(response, ''))
    const { links } = answer.body
    const location = locationOf(response)
    // `Location` is the status URL, unless `Operation-Location` is: then it is the result.
    const found = (!links?.status && response.headers.get('operation-location')) || location || links?.status
    if (!found) throw waitError('no-location', '', answer)
    this.#statusUrl = resolve(found, response.url)
    if (location !== this.#statusUrl) this.#resultUrl = location
    if (signal.aborted) this.#cancel()
    this.#init.onAccepted?.(this.#statusUrl)
    if (!links?.events) this.#delay = retryAfterOf(response) ?? 0
    return this.#follow(links)
  }

  async #follow(links: PolledStatus['links']): Promise<unknown> {
    this.#statusUrl ||= this.#transport.url
    this.#learn({ links })
    for await (const answer of this.#statuses()) {
      const result = await this.#judge(answer)
      if (result) return result.value
    }
    return
  }

  /** Each status that the server sends, from its event stream if possible, else by polls. */
  async *#statuses(): AsyncGenerator<Answer, never> {
    for (;;) {
      await this.#sleep(Math.max(this.#delay, minDelay(this.#repeats)))
      const url = this.#repeats < MAX_REPEATS && this.#eventsUrl
      yield* url && this.#claim(url) ? this.#stream(url) : this.#poll()
    }
  }

  /** The statuses of one event stream. If it sends none, it is not used again until the server was unreachable. */
  async *#stream(url: string): AsyncGenerator<Answer> {
    const response = await this.#transport.get(url, { accept: 'text/event-stream' }).catch(() => undefined)
    this.#eventsUrl = ''
    for await (const data of readStatuses(response)) {
      this.#setTrouble()
      this.#eventsUrl = url
      const headers = { 'retry-after': JSON.parse(data).retryAfter }
      yield answerOf(makeResponse('', { headers }, this.#statusUrl), data)
    }
    this.#delay = delayAfter(response, this.#repeats)
  }

  /** The status by one poll. */
  async *#poll(): AsyncGenerator<Answer> {
    const answer = await this.#ask(this.#statusUrl)
    const { headers } = answer.response
    this.#etag = headers.get('etag') || this.#etag
    yield answer
    // The server has held the poll: the time has already passed.
    if (headers.has('preference-applied')) this.#delay = 0
  }

  /** Reserves a held request at an origin, until the wait sleeps or ends. False if others have reserved them all. */
  #claim(url: string): boolean {
    const { origin } = new URL(url)
    return [...holders.values()].filter(other => other === origin).length < MAX_HELD && !!holders.set(this, origin)
  }

  /** The result that an answer leads to; undefined while the operation goes on. */
  async #judge(answer: Answer): Promise<Result | undefined> {
    const { response, outcome, body } = answer
    const { status, url, headers } = response
    const location = locationOf(response)
    if (status === 303 && location) return this.#collect(location)
    // A browser that was redirected is at the result, or where the status has moved. Only a status asks to come back.
    const isElsewhere = this.#isBlind && pathOf(url) !== pathOf(this.#statusUrl)
    if (isElsewhere && !headers.has('retry-after')) return settle(answer, this.#statusUrl, true)
    this.#pendingIs202 ||= status === 202
    if (!isElsewhere) this.#statusUrl = (status === 202 && location) || url
    if (outcome && !this.#pendingIs202) {
      await this.#report(answer, 0)
      if (outcome === 'completed' && this.#resultUrl) return this.#collect(this.#resultUrl)
      if (body.status === 'Succeeded' && 'result' in body) return { value: body.result }
    } else if (this.#isPending(answer)) return this.#goOn(answer)
    return settle(answer, this.#statusUrl, this.#pendingIs202)
  }

  /** Whether an answer without a final status says that the operation goes on. */
  #isPending({ response, body }: Answer): boolean {
    const { ok, status, headers } = response
    if (status === 202 || status === 304) return true
    return ok && (headers.has('retry-after') || (typeof body.status === 'string' && !this.#pendingIs202))
  }

  /** Reports a status that is not final. */
  async #goOn(answer: Answer): Promise<undefined> {
    const news = (answer.response.status === 304 && this.#last) || answer
    this.#repeats = news.text === this.#last?.text ? this.#repeats + 1 : 0
    this.#last = news
    return this.#report(news, delayAfter(answer.response, this.#repeats))
  }

  async #collect(url: string): Promise<Result> {
    return settle(await this.#ask(url, true), this.#statusUrl, true)
  }

  /** Requests a URL until an answer says something about the operation. */
  async #ask(url: string, isResult = false, failures = 0): Promise<Answer> {
    const etag = !isResult && this.#etag
    const tens = etag && this.#tens && this.#claim(url) ? this.#tens : 0
    const headers = { ...(etag && { 'if-none-match': etag }), ...(tens && { prefer: `wait=${tens}0` }) }
    let cause: unknown
    const answer = await this.#get(url, headers, isResult).catch((error: unknown): undefined => {
      cause = error
    })
    if (answer && (!isTransient(answer) || (failures === MAX_DOUBTS && this.#isOwnFailure(answer, isResult)))) {
      this.#setTrouble()
      return answer
    }
    this.#transport.signal.throwIfAborted()
    if (tens) this.#tens >>= 1
    else {
      const error = waitError('unreachable', this.#statusUrl, answer, cause)
      if (failures++ === MAX_FAILURES) throw error
      this.#setTrouble(error)
    }
    await this.#sleep(Math.max(delayAfter(answer?.response, failures), minDelay(failures)))
    return this.#ask(url, isResult, failures)
  }

  /** Whether a 500 may be the outcome of the operation instead of a failure of the server. */
  #isOwnFailure({ response, text }: Answer, isResult: boolean): boolean {
    return response.status === 500 && !!text && (isResult || this.#pendingIs202)
  }

  async #get(url: string, headers: Record<string, string>, isResult: boolean): Promise<Answer> {
    let response = await this.#transport.get(url, headers, isResult)
    if (response.type === 'opaqueredirect') {
      this.#isBlind = true
      response = await this.#transport.follow(url, isResult ? undefined : this.#resultUrl)
    }
    return readAnswer(response)
  }

  /** Reports trouble, or its end: then streams and held polls are tried again. */
  #setTrouble(error?: WaitError): void {
    if (error === this.#trouble) return
    this.#trouble = error
    if (!error) {
      this.#tens = HOLD_TENS
      this.#eventsUrl ||= undefined
    }
    this.#init.onTrouble?.(error)
  }

  /** Sleeps; the server holds no request of this wait meanwhile. */
  async #sleep(ms: number): Promise<void> {
    holders.delete(this)
    this.#transport.signal.throwIfAborted()
    await new Promise(resolve => {
      this.#timer = setTimeout(resolve, ms)
    })
  }

  async #report({ copy, body }: Answer, delay: number): Promise<undefined> {
    this.#delay = delay
    this.#learn(body)
    await this.#onStatusPoll?.({
      response: copy(),
      retryAfter: delay / 1000,
      status: body.status,
      document: body,
    })
  }

  #learn({ links, resourceLocation = links?.result }: PolledStatus): void {
    if (links?.events) this.#eventsUrl ??= resolve(links.events, this.#statusUrl)
    if (resourceLocation) this.#resultUrl = resolve(resourceLocation, this.#statusUrl)
  }
}

/** The path of a URL without a slash at its end: infrastructure redirects to another scheme, and to a slash. */
function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}
