/** Sends an API all requests that the rules need, and collects its answers. */

import { randomUUID } from 'node:crypto'
import { fieldsOf } from '../../util/fields.ts'
import { type ApiDescription, readDescription } from './api-description.ts'
import { CheckError, type Exchange, Requests } from './exchange.ts'
import {
  memberAt,
  type Pointer,
  type PointerOptions,
  pointerOf,
  resolve,
  resultUrlOf,
  retryAfterOf,
  type State,
  stateByResult,
  stateOf,
  unknownUrl,
} from './reading.ts'
import { type Delivered, startReceiver } from './receiver.ts'

/** The API to check. */
export interface Target extends PointerOptions {
  /** The URL to which a POST starts an operation. */
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** A body that is accepted. Default: the example of the OpenAPI document, else `{}`. */
  readonly data?: string | undefined
  /** Another body that is accepted. Default: the same with one value changed. */
  readonly other?: string | undefined
  /** A body that the API must refuse. Default: one that is not JSON. */
  readonly invalid?: string | undefined
  /** A body whose operation fails. */
  readonly fail?: string | undefined
  readonly openapi?: string | undefined
  /** The header that names where a webhook is sent, such as `webhook-url`. */
  readonly webhook?: string | undefined
  /** The longest wait for the end of one operation, in milliseconds. */
  readonly timeoutMs: number
  /** The longest wait for the answer to one request, in milliseconds. */
  readonly answerTimeoutMs: number
}

/** The clock and the sleep of a check. */
export interface Clock {
  /** Milliseconds since any fixed moment. */
  now(): number
  sleep(ms: number): Promise<void>
}

/** An operation that the check has started. */
interface Started {
  readonly accepted: Exchange
  readonly pointer: Pointer | undefined
}

/** An operation that was followed. */
export interface Watched extends Started {
  readonly pointer: Pointer
  /** Every answer of the status URL, the final one last. */
  readonly polls: readonly Exchange[]
  /** `unclear`: it has not ended within the time. */
  readonly state: State
  readonly result: Exchange | undefined
}

/** A cancel request, and its outcome. */
export interface Canceled {
  readonly how: string
  readonly first: Exchange
  readonly second: Exchange
  readonly watched: Watched
  /** The cancel of an operation that had ended. */
  readonly late: Exchange | undefined
}

/** Requests with an `Idempotency-Key`. */
export interface Keyed {
  readonly first: Exchange
  readonly same: Exchange
  /** The same key with another body. */
  readonly other: Exchange
  /** Two requests with one key at once. */
  readonly race: readonly [Exchange, Exchange]
}

/** All answers. */
export interface Evidence {
  readonly target: Target
  readonly hasCredentials: boolean
  readonly description: ApiDescription | undefined
  /** The answers to bodies that must be refused. */
  readonly refused: readonly Exchange[]
  /** The answer to a POST without an `Idempotency-Key`, if one is required. */
  readonly keyless: Exchange | undefined
  readonly main: Watched
  /** The final status and the result, requested again. */
  readonly again: { readonly status: Exchange; readonly result: Exchange | undefined }
  readonly unknown: Exchange
  /** An unchanged status, requested with its `ETag`; undefined without an `ETag`, or if it had always changed. */
  readonly unchanged: Exchange | undefined
  /** A POST with `Prefer: wait` and an unknown preference. */
  readonly preferred: Exchange
  /** A POST and a status request from a page of another origin. */
  readonly crossOrigin: { readonly accepted: Exchange; readonly status: Exchange }
  readonly keyed: Keyed
  readonly canceled: Canceled | undefined
  /** `:cancel` on an operation. */
  readonly colonCancel: Exchange | undefined
  readonly failed: Watched | undefined
  /** The webhooks of one operation, the first of which was refused; undefined if none were asked for. */
  readonly delivered: readonly Delivered[] | undefined
  /** The status and the result without credentials. */
  readonly anonymous: { readonly status: Exchange; readonly result: Exchange | undefined } | undefined
}

/** The origin of the page that pretends to send the request. */
export const PAGE = 'https://waybill-check.example'
/** How long a POST with `Prefer: wait` asks to wait for the result, in seconds. */
export const WAIT_SECONDS = 2
/**
 * How long to wait for the second delivery of a webhook. In the example of the standard, the first retry comes after 5
 * s.
 */
export const WEBHOOK_MS = 15_000
const MIN_POLL_MS = 100
const DEFAULT_POLL_MS = 1000
const MAX_POLL_MS = 30_000
/** After how many unclear answers in a row the wait ends. */
const MAX_UNCLEAR = 4

/** Sends the requests. The order matters: requests that might delete an operation come last. */
export async function drive(target: Target, clock: Clock, onSlow: (message: string) => void): Promise<Evidence> {
  const driver = new Driver(target, clock, new Requests({ ...target, onSlow }))
  return await driver.drive()
}

class Driver {
  readonly #target: Target
  readonly #clock: Clock
  readonly #requests: Requests
  #data = '{}'
  #needsKey = false
  #unchanged: Exchange | undefined

  constructor(target: Target, clock: Clock, requests: Requests) {
    this.#target = target
    this.#clock = clock
    this.#requests = requests
  }

  async drive(): Promise<Evidence> {
    const target = this.#target
    const description = await readDescription(this.#requests, target)
    this.#data = target.data ?? description?.example ?? '{}'
    const refused = await this.#refused()
    const { keyless, accepted } = await this.#begin()
    const main = await this.#watch(accepted)
    const final = main.polls.at(-1) ?? accepted
    const again = { status: await this.#get(final.url), result: await this.#again(main.result) }
    const unknown = await this.#get(unknownUrl(main.pointer.url))
    const anonymous = await this.#anonymous(main)
    const preferred = await this.#post({ prefer: `wait=${WAIT_SECONDS}, waybill-check-unknown=1` })
    const crossOrigin = await this.#crossOrigin(main)
    const keyed = await this.#keyed()
    const failed = target.fail === undefined ? undefined : await this.#watchFailure(target.fail)
    const delivered = target.webhook === undefined ? undefined : await this.#receive(target.webhook)
    const canceled = await this.#cancel(main)
    const colonCancel = await this.#colonCancel(canceled)
    const evidence = { refused, keyless, main, again, unknown, anonymous, preferred, crossOrigin, keyed, failed }
    const { hasCredentials } = this.#requests
    return {
      target,
      hasCredentials,
      description,
      ...evidence,
      unchanged: this.#unchanged,
      delivered,
      canceled,
      colonCancel,
    }
  }

  async #refused(): Promise<Exchange[]> {
    const { invalid } = this.#target
    const bodies = ['{"waybill-check":', ...(invalid === undefined ? [] : [invalid])]
    const answers: Exchange[] = []
    for (const body of bodies) answers.push(await this.#post({}, body))
    return answers
  }

  /** The first POST, with an `Idempotency-Key` only where one is required. */
  async #begin(): Promise<{ keyless: Exchange | undefined; accepted: Exchange }> {
    const first = await this.#post()
    const wantsKey = first.status >= 400 && /idempotency-key/i.test(first.text)
    this.#needsKey = wantsKey
    const accepted = wantsKey ? await this.#post() : first
    if (accepted.status >= 300) {
      throw new CheckError(whyNotAccepted(accepted))
    }
    return { keyless: wantsKey ? first : undefined, accepted }
  }

  async #post(headers: Record<string, string> = {}, body = this.#data): Promise<Exchange> {
    const key = this.#needsKey ? { 'idempotency-key': newKey() } : {}
    return await this.#requests.send(this.#target.method, this.#target.url, { body, headers: { ...key, ...headers } })
  }

  async #get(url: string, headers: Record<string, string> = {}): Promise<Exchange> {
    return await this.#requests.send('GET', url, { headers })
  }

  async #again(exchange: Exchange | undefined): Promise<Exchange | undefined> {
    return exchange && (await this.#get(exchange.url))
  }

  /** Follows an operation to its end, at the pace that the API asks for. */
  async #watch(accepted: Exchange): Promise<Watched> {
    const pointer = pointerOf(accepted, this.#target)
    if (pointer === undefined) {
      const cure = 'if its body does, say how by --status, such as --status "/v1/{name}".'
      const why = accepted.status === 202 ? '' : ' Is it done already? Then there is no operation to check.'
      throw new CheckError(`The answer ${accepted.status} does not say where the status is: ${cure}${why}`)
    }
    const polls: Exchange[] = []
    const deadline = this.#clock.now() + this.#target.timeoutMs
    for (let url = pointer.url; ; ) {
      const poll = await this.#get(url)
      polls.push(poll)
      const state = stateOf(
        poll,
        polls.some(it => it.status === 202),
      )
      if (state !== 'pending' && state !== 'unclear') {
        const result = await this.#resultOf(poll)
        return { accepted, pointer, polls, state: stateByResult(state, result), result }
      }
      if (state === 'pending') await this.#askUnchanged(poll)
      const delay = Math.min((retryAfterOf(poll) || 0) * 1000 || DEFAULT_POLL_MS, MAX_POLL_MS)
      const isLost = polls.slice(-MAX_UNCLEAR).filter(it => stateOf(it, false) === 'unclear').length === MAX_UNCLEAR
      if (this.#clock.now() + delay > deadline || isLost) {
        return { accepted, pointer, polls, state: 'unclear', result: undefined }
      }
      await this.#clock.sleep(Math.max(delay, MIN_POLL_MS))
      if (poll.status === 202) url = movedTo(poll, url)
    }
  }

  /** Another `ETag` in the answer means that the status has changed since the poll: then the next poll tries again. */
  async #askUnchanged(poll: Exchange): Promise<void> {
    const etag = poll.headers.get('etag')
    if (etag === null || this.#unchanged !== undefined) return
    const answer = await this.#get(poll.url, { 'if-none-match': etag })
    if (answer.status === 304 || answer.headers.get('etag') === etag) this.#unchanged = answer
  }

  async #resultOf(final: Exchange): Promise<Exchange | undefined> {
    const url = resultUrlOf(final)
    return url === undefined ? undefined : await this.#get(url)
  }

  async #anonymous({ polls, result }: Watched): Promise<Evidence['anonymous']> {
    const [poll] = polls.slice(-1)
    if (!this.#requests.hasCredentials || poll === undefined) return undefined
    const ask = (url: string) => this.#requests.send('GET', url, { anonymous: true })
    return { status: await ask(poll.url), result: result && (await ask(result.url)) }
  }

  async #crossOrigin({ pointer }: Watched): Promise<Evidence['crossOrigin']> {
    const accepted = await this.#post({ origin: PAGE })
    const url = pointerOf(accepted, this.#target)?.url ?? pointer.url
    return { accepted, status: await this.#get(url, { origin: PAGE }) }
  }

  async #keyed(): Promise<Keyed> {
    const [key, raced] = [newKey(), newKey()]
    const first = await this.#post({ 'idempotency-key': key })
    const same = await this.#post({ 'idempotency-key': key })
    const other = await this.#post({ 'idempotency-key': key }, this.#target.other ?? changedBody(this.#data))
    const race = await Promise.all([this.#post({ 'idempotency-key': raced }), this.#post({ 'idempotency-key': raced })])
    return { first, same, other, race }
  }

  async #watchFailure(body: string): Promise<Watched | undefined> {
    const accepted = await this.#post({}, body)
    return accepted.status >= 300 ? undefined : await this.#watch(accepted)
  }

  /** Starts an operation with a webhook, and waits for its delivery to come a second time. */
  async #receive(header: string): Promise<readonly Delivered[]> {
    const receiver = await startReceiver()
    try {
      const accepted = await this.#post({ [header]: receiver.url })
      if (accepted.status >= 300) return []
      await this.#watch(accepted)
      return await receiver.deliveries(this.#clock.sleep(WEBHOOK_MS))
    } finally {
      await receiver.close()
    }
  }

  /** Cancels an operation that has just started, twice; then the first one, which has ended. */
  async #cancel(main: Watched): Promise<Canceled | undefined> {
    const accepted = await this.#post()
    const pointer = pointerOf(accepted, this.#target)
    if (pointer === undefined) return undefined
    for (const { how, method, url } of cancelRoutes(accepted, pointer)) {
      const first = await this.#requests.send(method, url)
      if ([404, 405, 501].includes(first.status)) continue
      const second = await this.#requests.send(method, url)
      const watched = await this.#watch(accepted)
      const lateUrl = cancelRoutes(main.accepted, main.pointer).find(it => it.how === how)?.url
      const late = lateUrl === undefined ? undefined : await this.#requests.send(method, lateUrl)
      return { how, first, second, watched, late }
    }
    return undefined
  }

  /** `:cancel`, unless it is how the operation was canceled already. */
  async #colonCancel(canceled: Canceled | undefined): Promise<Exchange | undefined> {
    if (canceled?.how === COLON_CANCEL) return canceled.first
    const accepted = await this.#post()
    const pointer = pointerOf(accepted, this.#target)
    const route = pointer && cancelRoutes(accepted, pointer).find(it => it.how === COLON_CANCEL)
    return route && (await this.#requests.send(route.method, route.url))
  }
}

/** The URL of a cancel in Google's and Azure's APIs. */
export const COLON_CANCEL = 'POST :cancel'

interface CancelRoute {
  readonly how: string
  readonly method: string
  readonly url: string
}

/** The ways to cancel, the one that the API names first. A DELETE may mean that the record is to be deleted. */
function cancelRoutes(accepted: Exchange, { url, by }: Pointer): CancelRoute[] {
  const named = ['urls.cancel', 'links.cancel', 'cancel_url', 'cancelUrl', 'terminatePostUri']
    .map(path => memberAt(accepted.json, path))
    .find(it => typeof it === 'string')
  const monitor = accepted.headers.get('operation-location')
  const [path = '', query] = (monitor === null ? url : resolve(monitor, accepted)).split('?')
  const colon = { how: COLON_CANCEL, method: 'POST', url: [`${path}:cancel`, query].filter(Boolean).join('?') }
  const routes = [{ how: 'DELETE', method: 'DELETE', url }]
  if (/location/i.test(by) && by !== 'Operation-Location') routes.push(colon)
  else routes.unshift(colon)
  return named === undefined
    ? routes
    : [{ how: 'the URL in the body', method: 'POST', url: resolve(named, accepted) }, ...routes]
}

function movedTo(poll: Exchange, url: string): string {
  const location = poll.headers.get('location')
  return location === null ? url : resolve(location, poll)
}

/** A key as the draft writes it: a string of structured fields. */
function newKey(): string {
  return `"${randomUUID()}"`
}

/** Why the request that starts an operation was not accepted, and what to do. */
function whyNotAccepted(answer: Exchange): string {
  const { status, headers, url } = answer
  const says = `It says: ${brief(answer)}`
  const location = headers.get('location')
  if (status < 400 && location !== null) {
    return `The API answers ${status} and leads to ${new URL(location, url).href}: check that URL.`
  }
  if (status >= 500) return `The API answers ${status}, which is its own error: try again when it works. ${says}`
  return `The API refuses the request with ${status}: give a body that it accepts by --data, and headers such as authorization by --header. ${says}`
}

function brief({ text }: Exchange): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 200) || 'nothing'
}

/** The body with its first string or number changed. */
function changedBody(body: string): string {
  let done = false
  const change = (value: unknown): unknown => {
    if (done) return value
    if (typeof value === 'string' || typeof value === 'number') {
      done = true
      return typeof value === 'string' ? `${value} 2` : value + 1
    }
    if (Array.isArray(value)) return value.map(change)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(fieldsOf(value)).map(([name, member]) => [name, change(member)]))
  }
  try {
    const changed = change(JSON.parse(body))
    return JSON.stringify(done ? changed : { ...fieldsOf(changed), 'waybill-check': 2 })
  } catch {
    return body
  }
}
