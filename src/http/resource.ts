/** The HTTP resource of one operation type: submit, status, result, cancel and list. */

import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problem, resultStatus } from '../model/problem.ts'
import {
  formatRetryAfter,
  isFinal,
  type Links,
  linksOf,
  type Preferences,
  parsePrefer,
  type StatusDocument,
} from '../model/protocol.ts'
import type { Waited } from '../service/operation-watcher.ts'
import type { Operations } from '../service/operations.ts'
import { httpDate } from '../util/dates.ts'
import { admitWebhookUrl, type Webhooks } from '../webhooks/webhooks.ts'
import { assertConditions, isConditional, matches } from './conditional.ts'
import { accepted } from './dialects/accepted.ts'
import type { Dialect, OperationView } from './dialects/dialect.ts'
import { type Asked, mediaResponse } from './media-response.ts'
import { type HttpRequest, type HttpResponse, header, json, jsonText, problemResponse } from './message.ts'
import { delayMs, idempotencyKey, traceparent, wantsEvents } from './request-headers.ts'
import type { StatusAnswers } from './status-answers.ts'
import { eventStream } from './status-stream.ts'
import { readInput } from './submitted-input.ts'

/** What every resource of an API shares. */
export interface ResourceOptions {
  readonly operations: Operations
  /** Without them, no `Webhook-Url` is taken. */
  readonly webhooks: Webhooks | undefined
  /** What comes before every URL that is sent to a client. */
  readonly base: string
  readonly dialect: Dialect
  readonly answers: StatusAnswers
  /** The longest time that a request waits, in milliseconds. */
  readonly maxWaitMs: number
}

export class Resource {
  readonly type: AnyOperationType
  readonly #options: ResourceOptions
  readonly #operations: Operations

  constructor(type: AnyOperationType, options: ResourceOptions) {
    this.type = type
    this.#options = options
    this.#operations = options.operations
  }

  /** POST /orders */
  async submit(request: HttpRequest): Promise<HttpResponse> {
    this.#operations.countRequest(this.type, request.owner)
    assertConditions(request)
    const { operation, replayed } = await this.#operations.submit(this.type, {
      ...readInput(request),
      owner: request.owner,
      idempotencyKey: idempotencyKey(request),
      traceparent: traceparent(request),
      delay: delayMs(request),
      webhookUrl: admitWebhookUrl(this.#options.webhooks, this.type, header(request, 'Webhook-Url')),
    })
    const preferences = preferencesOf(request)
    const { now, applied } = await this.#hold(operation, request, preferences, ({ status }) => isFinal(status))
    const hasEnded = applied !== undefined && isFinal(now.status)
    const answer = hasEnded ? await located(await this.view(now)) : acceptedAnswer(await this.document(now))
    const applies = preferenceHeaders(preferences, applied)
    return withHeaders(answer, replayed ? { 'Idempotency-Replayed': 'true', ...applies } : applies)
  }

  /** GET /orders/status/{id} */
  async status(request: HttpRequest): Promise<HttpResponse> {
    if (wantsEvents(request)) return this.#events(await this.#find(request), request)
    const preferences = preferencesOf(request)
    if (preferences === NO_PREFERENCES) return await this.#statusAtOnce(request)
    const known = header(request, 'If-None-Match')
    const wanted = (now: Operation) => isFinal(now.status) || (known !== undefined && !matches(known, etagOf(now)))
    const { now, applied } = await this.#findAndHold(request, preferences, wanted)
    const dialect = preferences.respondAsync ? accepted : this.#options.dialect
    const answer = await dialect.status(await this.view(now, withoutRange(request)))
    return withHeaders(answer, { ...statusHeaders(now), ...preferenceHeaders(preferences, applied) })
  }

  /** Sends the last answer again if nothing has changed. */
  async #statusAtOnce(request: HttpRequest): Promise<HttpResponse> {
    const { answers, dialect } = this.#options
    const known = answers.get(request.params.id ?? '')
    const now = await (known === undefined
      ? this.#find(request)
      : this.#operations.findAgain(known.operation, request.owner, this.type))
    const last = now === known?.operation ? known : undefined
    const links = last?.document.links ?? this.#linksOf(now)
    const document = await this.#operations.document(now, links, last?.document)
    if (last !== undefined && document === last.document) return last.answer
    const answer = withHeaders(
      await dialect.status(this.#viewOf(now, document, withoutRange(request))),
      statusHeaders(now),
    )
    if (isFinal(now.status)) answers.delete(now.id)
    else if (dialect.isRepeatable) answers.set({ operation: now, document, answer })
    return answer
  }

  /** GET /orders/{id} */
  async result(request: HttpRequest): Promise<HttpResponse> {
    const { operation, output } = await this.#operations.findWithOutput(
      request.params.id ?? '',
      request.owner,
      this.type,
    )
    return await this.#result(operation, request, output)
  }

  /** DELETE /orders/status/{id} */
  async cancel(request: HttpRequest): Promise<HttpResponse> {
    if (isConditional(request)) {
      const before = await this.#find(request)
      // An operation that cannot be canceled is refused for that reason, whatever the conditions (RFC 9110, 13.2.1).
      if (isCancelable(before)) assertConditions(request, etagOf(before))
    }
    const operation = await this.#operations.cancel(request.params.id ?? '', request.owner, this.type)
    return await this.#options.dialect.cancel(await this.view(operation))
  }

  /**
   * Everything from which a dialect makes its answer.
   *
   * @param asked the request for the result
   */
  async view(operation: Operation, asked?: Asked): Promise<OperationView> {
    return this.#viewOf(operation, await this.document(operation), asked)
  }

  #viewOf(operation: Operation, document: StatusDocument, asked?: Asked): OperationView {
    return {
      operation,
      type: this.type,
      document,
      result: () => this.#result(operation, asked),
      output: async () => {
        const output = await this.#operations.output(operation)
        return typeof output === 'string' ? output : undefined
      },
    }
  }

  document(operation: Operation): Promise<StatusDocument> {
    return this.#operations.document(operation, this.#linksOf(operation))
  }

  #linksOf({ id, retryOf, retriedBy, parent }: Operation): Links {
    const links = (of: string) => linksOf(this.#options.base, this.type.name, of)
    const own = links(id)
    if (retryOf === null && retriedBy === null && parent === null) return own
    return {
      ...own,
      ...(retryOf !== null && { retryOf: links(retryOf).status }),
      ...(retriedBy !== null && { retriedBy: links(retriedBy).status }),
      ...(parent !== null && { parent: links(parent).operation }),
    }
  }

  #find(request: HttpRequest): Promise<Operation> {
    return this.#operations.find(request.params.id ?? '', request.owner, this.type)
  }

  /** Holds the request for as long as the client prefers and the server allows, until the operation is as wanted. */
  async #hold(
    operation: Operation,
    request: HttpRequest,
    { wait }: Preferences,
    wanted: (operation: Operation) => boolean,
  ): Promise<Held> {
    if (wait === undefined) return { now: operation, applied: undefined }
    const ms = Math.min(wait * 1000, this.#options.maxWaitMs)
    return heldFor(ms, await this.#operations.wait(operation, wanted, { ms, signal: request.signal }))
  }

  /** The same for an operation that must still be looked up. */
  async #findAndHold(
    request: HttpRequest,
    { wait }: Preferences,
    wanted: (operation: Operation) => boolean,
  ): Promise<Held> {
    if (wait === undefined) return { now: await this.#find(request), applied: undefined }
    const { params, owner, signal } = request
    const ms = Math.min(wait * 1000, this.#options.maxWaitMs)
    const patience = { ms, signal, type: this.type }
    return heldFor(ms, await this.#operations.findAndWait(params.id ?? '', owner, wanted, patience))
  }

  #events(operation: Operation, request: HttpRequest): HttpResponse {
    const { exposeLogs } = this.type.policy
    const document = (now: Operation) => this.document(now)
    return eventStream({ operations: this.#operations, operation, exposeLogs, document }, request)
  }

  /** @param read the output, if it was read already */
  async #result(operation: Operation, asked: Asked, read?: string): Promise<HttpResponse> {
    const { id, status, error } = operation
    if (!isFinal(status)) return this.#unfinished(await this.document(operation))
    const headers = finalHeaders(operation)
    if (status === 'completed') {
      const output = await this.#operations.output(operation, read)
      if (typeof output !== 'string') {
        return await mediaResponse(output, asked, { headers, read: range => this.#operations.content(output, range) })
      }
      // The output is JSON text already: to parse and write it again would only cost time.
      const opening = JSON.stringify({ id, status }).slice(0, -1)
      return jsonText(200, `${opening},${JSON.stringify(this.type.resultKey)}:${output}}`, headers)
    }
    const failure = error === null ? 500 : resultStatus(error)
    return json(status === 'canceled' ? 410 : failure, { id, status, error }, headers)
  }

  #unfinished(document: StatusDocument): HttpResponse {
    const unfinished = problem('not-finished', undefined, { links: { status: document.links.status } })
    return problemResponse(unfinished, {
      'Retry-After': formatRetryAfter(document.retryAfter * 1000),
      Link: `<${document.links.status}>; rel="monitor"`,
    })
  }
}

/** The outcome of a request that may have waited. */
interface Held {
  /** The operation as it is then. */
  readonly now: Operation
  /** The longest time that it could wait, in seconds; undefined if it did not wait. */
  readonly applied: number | undefined
}

function heldFor(ms: number, { operation, waited }: Waited): Held {
  return { now: operation, applied: waited ? Math.floor(ms / 1000) : undefined }
}

/** Whether a cancel has an effect, or had one before. */
export function isCancelable({ status }: Operation): boolean {
  return status !== 'completed' && status !== 'failed'
}

/** A range refers to the URL of the request, which is not the result's own URL here. */
function withoutRange(request: HttpRequest): Asked {
  const { method, headers } = request
  const conditions = isConditional(request)
    ? { 'if-match': headers['if-match'], 'if-none-match': headers['if-none-match'] }
    : {}
  return { headers: conditions, ...(method !== undefined && { method }) }
}

/** 202 for an operation that was accepted. */
export function acceptedAnswer(document: StatusDocument): HttpResponse {
  return json(202, document, {
    Location: document.links.status,
    'Operation-Location': document.links.operation,
    'Retry-After': formatRetryAfter(document.retryAfter * 1000),
  })
}

/** The result at the URL of the request, and not at its own URL. */
async function located(view: OperationView): Promise<HttpResponse> {
  const { links } = view.document
  return withHeaders(await view.result(), {
    'Content-Location': links.result,
    'Operation-Location': links.operation,
  })
}

/** Weak: the document also has estimates, which change while the operation does not. */
function etagOf(operation: Operation): string {
  return `W/"${operation.version}"`
}

function statusHeaders(operation: Operation): Record<string, string> {
  const Vary = 'Prefer, Accept'
  if (isFinal(operation.status)) return { Vary }
  return { Vary, ETag: etagOf(operation), 'Cache-Control': 'private, no-cache' }
}

function finalHeaders(operation: Operation): Record<string, string> {
  return {
    ETag: `"${operation.version}"`,
    Expires: httpDate(operation.expiresAt ?? operation.updatedAt),
    // A finished operation never changes, but belongs to one caller.
    'Cache-Control': 'private',
  }
}

const NO_PREFERENCES: Preferences = { respondAsync: false }

function preferencesOf(request: HttpRequest): Preferences {
  const value = request.headers.prefer
  if (value === undefined) return NO_PREFERENCES
  return parsePrefer(typeof value === 'object' ? value.join(',') : value)
}

const NO_HEADERS: Readonly<Record<string, string>> = {}

function preferenceHeaders(
  { respondAsync }: Preferences,
  waited: number | undefined,
): Readonly<Record<string, string>> {
  const wait = waited === undefined ? '' : `wait=${waited}`
  if (!respondAsync && wait === '') return NO_HEADERS
  const applied = [respondAsync ? 'respond-async' : '', wait].filter(text => text !== '')
  return { 'Preference-Applied': applied.join(', ') }
}

function withHeaders(answer: HttpResponse, headers: Readonly<Record<string, string>>): HttpResponse {
  return headers === NO_HEADERS ? answer : { ...answer, headers: { ...answer.headers, ...headers } }
}
