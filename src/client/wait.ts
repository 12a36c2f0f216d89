import { MAX_TIMER_MS } from '../model/protocol.ts'
import type { WebFetch, WebRequestInit, WebRequestInput } from '../model/web-types.ts'
import { type WaitError, waitError } from './errors.ts'
import { readStatuses } from './event-stream.ts'
import { HOLD_TENS, MAX_DOUBTS, MAX_FAILURES, MAX_FLOOR_MS, MAX_HELD, MAX_REPEATS } from './limits.ts'
import { backoff, delayAfter, isTransient, withTimeout } from './retry.ts'
import { settle } from './settle.ts'
import { type Answer, makeResponse, type OnStatusPoll, type PolledStatus, readAnswer } from './status.ts'
import { createTransport, locationOf, resolve } from './transport.ts'

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

/** For each wait whose request a server holds: from the signal of the wait to the origin. */
const holders = new Map<AbortSignal, string>()

/** A result, which may be undefined. */
type Result = Pick<Answer, 'value'>

/**
 * Waits for one operation until it ends, and rejects as soon as the signal aborts or the time is over.
 *
 * @param input the request that is sent first; its answer is the result unless it is a 202
 * @param statusUrl the operation's absolute status URL, if it was accepted before; then `input` is not sent
 * @param known what is known of that operation
 */
export async function wait<Value>(
  input: WebRequestInput,
  init?: (WebRequestInit & WaitOptions) | OnStatusPoll | null,
  onStatusPoll = typeof init === 'function' ? init : undefined,
  statusUrl = '',
  known?: PolledStatus,
): Promise<Value> {
  const options: WebRequestInit & WaitOptions & { input: WebRequestInput } = { ...init, input }
  const deadline = new AbortController()
  const { signal, submit, get, cancel } = createTransport(options, deadline.signal)
  let timer: ReturnType<typeof setTimeout> | undefined
  /** The URL of the event stream; undefined while it is not known, empty while the stream is of no use. */
  let eventsUrl: string | undefined
  let resultUrl: string | undefined
  /** Whether the status URL has answered 202. Then any other status code of it is the outcome of the operation. */
  let pendingIs202 = false
  let trouble: WaitError | undefined
  let delay = 0
  /** How many times in a row the status was the same. Negative before the first one, so that it is requested at once. */
  let repeats = -99
  let etag = ''
  let last: Answer | undefined
  let tens = HOLD_TENS

  const ended = new Promise<Value>((resolve, reject) => {
    signal.onabort = () => {
      clearTimeout(timer)
      cancel(statusUrl)
      reject(signal.reason)
    }
    const work = statusUrl ? watch(known) : start()
    work.then(({ value }) => resolve(value as Value), reject)
  })
  try {
    const ms = Math.min(options.timeout ?? MAX_TIMER_MS, MAX_TIMER_MS)
    return await withTimeout(ms, ended, () => deadline.abort(waitError('timed-out', statusUrl)))
  } finally {
    holders.delete(signal)
    signal.onabort = null
  }

  async function start(): Promise<Result> {
    signal.throwIfAborted()
    const response = await submit()
    const read = readAnswer(response)
    if (response.status !== 202) return settle(await read, '')
    const answer = await read.catch(() => readAnswer(response, ''))
    const { links } = answer.body
    const location = locationOf(response)
    // `Location` is the status URL, unless `Operation-Location` is: then it is the result.
    const found = (!links?.status && response.headers.get('operation-location')) || location || links?.status
    if (!found) throw waitError('no-location', '', answer)
    statusUrl = resolve(found, response.url)
    if (location !== statusUrl) resultUrl = location
    if (signal.aborted) cancel(statusUrl)
    options.onAccepted?.(statusUrl)
    if (!links?.events) delay = delayAfter(response, repeats)
    return watch(answer.body)
  }

  /** Follows the operation by its event stream if possible, else by polls. */
  async function watch(known: PolledStatus = {}): Promise<Result> {
    learn(known)
    for (;;) {
      await sleep(delay, repeats)
      const url = repeats < MAX_REPEATS && eventsUrl
      const result = await (url && claim(url) ? stream(url) : judge(await ask(statusUrl)))
      if (result) return result
    }
  }

  /** Judges the statuses of one event stream. If it sends none, it is not used again until the server was unreachable. */
  async function stream(url: string): Promise<Result | undefined> {
    const response = await get(url, { accept: 'text/event-stream' }).catch(() => undefined)
    eventsUrl = ''
    for await (const data of readStatuses(response)) {
      setTrouble()
      eventsUrl = url
      const headers = { 'retry-after': JSON.parse(data).retryAfter }
      const result = await judge(await readAnswer(makeResponse({ headers, url: statusUrl }), data))
      if (result) return result
    }
    delay = delayAfter(response, repeats)
    return
  }

  /** Reserves a held request at an origin, until the wait sleeps or ends. False if others have reserved them all. */
  function claim(url: string): boolean {
    const { origin } = new URL(url)
    return [...holders.values()].filter(other => other === origin).length < MAX_HELD && !!holders.set(signal, origin)
  }

  /** The result that an answer leads to; undefined while the operation goes on. */
  async function judge(answer: Answer): Promise<Result | undefined> {
    const { response, outcome, body } = answer
    const { ok, status, url, headers } = response
    const location = locationOf(response)
    const isAsked = headers.has('retry-after')
    if (status === 303 && location) return collect(location)
    // After a redirect that a browser has followed, the answer is the result, or the status at its new URL. Only a
    // status has a `Retry-After`.
    const isElsewhere = (response.redirected || url === resultUrl) && pathOf(url) !== pathOf(statusUrl)
    if (isElsewhere && !isAsked) return settle(answer, statusUrl, true)
    pendingIs202 ||= status === 202
    if (!isElsewhere) statusUrl = (status === 202 && location) || url
    if (outcome && !pendingIs202) {
      await report(answer, true)
      if (outcome === 'completed' && resultUrl) return collect(resultUrl)
      if (body.status === 'Succeeded' && 'result' in body) return { value: body.result }
    } else {
      const hasStatus = isAsked || (typeof body.status === 'string' && !pendingIs202)
      if (status === 202 || status === 304 || (ok && hasStatus)) return report(answer)
    }
    return settle(answer, statusUrl, pendingIs202)
  }

  async function collect(url: string): Promise<Result> {
    return settle(await ask(url, true), statusUrl, true)
  }

  /** Requests a URL until an answer says something about the operation. */
  async function ask(url: string, isResult?: boolean): Promise<Answer> {
    for (let failures = 0; ; ) {
      const tag = !isResult && etag
      const hold = tag && tens && claim(url) && tens
      const headers = { ...(tag && { 'if-none-match': tag }), ...(hold && { prefer: `wait=${hold}0` }) }
      let answer: Answer | undefined
      let cause: unknown
      try {
        answer = await readAnswer(await get(url, headers, isResult, isResult ? undefined : resultUrl))
      } catch (error) {
        cause = error
      }
      if (answer && !isTransient(answer, failures === MAX_DOUBTS && (isResult || pendingIs202))) {
        setTrouble()
        return answer
      }
      signal.throwIfAborted()
      const error = waitError('unreachable', statusUrl, answer, cause)
      if (hold) tens >>= 1
      else if (failures++ === MAX_FAILURES) throw error
      else setTrouble(error)
      await sleep(delayAfter(answer?.response, failures), failures)
    }
  }

  /** Reports trouble, or its end: then streams and held polls are tried again. */
  function setTrouble(error?: WaitError): void {
    if (error === trouble) return
    trouble = error
    if (!error) {
      tens = HOLD_TENS
      eventsUrl ||= undefined
    }
    options.onTrouble?.(error)
  }

  /** Sleeps; the server holds no request of this wait meanwhile. */
  async function sleep(ms: number, times: number): Promise<void> {
    holders.delete(signal)
    signal.throwIfAborted()
    await new Promise(resolve => {
      // A `Retry-After` of 0 must not cause a storm.
      timer = setTimeout(resolve, Math.max(ms, backoff(times - 2, MAX_FLOOR_MS)))
    })
  }

  /** Reports a status. A 304 repeats the last one. */
  async function report(answer: Answer, isFinal?: boolean): Promise<undefined> {
    const { status, headers } = answer.response
    const news = (status === 304 && last) || answer
    const { text, body } = news
    repeats = last && text === last.text ? repeats + 1 : 0
    last = news
    etag = headers.get('etag') || etag
    // The server has held the poll: the time has already passed.
    delay = isFinal || headers.has('preference-applied') ? 0 : delayAfter(answer.response, repeats)
    learn(body)
    await onStatusPoll?.({ response: news.copy(), retryAfter: delay / 1000, status: body.status, document: body })
  }

  function learn({ links, resourceLocation = links?.result }: PolledStatus): void {
    if (links?.events) eventsUrl ??= resolve(links.events, statusUrl)
    if (resourceLocation) resultUrl = resolve(resourceLocation, statusUrl)
  }
}

/**
 * The path of a URL without a slash at its end. Proxies redirect to another scheme, or to the same path with a slash.
 */
function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}
