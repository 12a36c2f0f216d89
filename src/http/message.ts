/** HTTP messages as plain values, whatever server they come from and go to. */
import { type ProblemError, problemError } from '../model/problem.ts'
import { formatRetryAfter, type Problem } from '../model/protocol.ts'
import type { OperatorIdentity } from './role.ts'

/** A request. Header names are lower-case. */
export interface HttpRequest {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Default: the method of the route. HEAD if only the headers are wanted. */
  readonly method?: string
  /** The path parameters, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** The body as text; undefined without a body. */
  readonly body?: string | undefined
  /** The caller: what `principal` returned for the request, or the empty string. */
  readonly owner: string
  /** For a route for operators: what `admin.principal` returned for the request. */
  readonly operator?: OperatorIdentity | undefined
  /** Aborted when the client has disconnected. */
  readonly signal: AbortSignal
}

/**
 * An answer. A body that is not text is sent piece by piece. A server that does not send it must call its iterator's
 * `return`.
 */
export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | AsyncIterable<string | Uint8Array> | null
  /** If the request was refused: the problem. */
  readonly problem?: Problem
}

/**
 * The media types that a body of JSON may have. For JSON a charset has no meaning (RFC 8259, 11); one other than UTF-8
 * is refused.
 */
export const JSON_MEDIA_TYPE: RegExp =
  /^application\/(?:[\w.+-]+\+)?json\s*(?:;(?!(?:.*;)?\s*charset\s*=(?!\s*"?(?:utf-?8|us-ascii)"?\s*(?:;|$)))|$)/i

/** The media types that lines of JSON may have (NDJSON, also known as JSON Lines); they are UTF-8. */
export const NDJSON_MEDIA_TYPE: RegExp = /^application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines)\s*(?:;|$)/i

/** The value of `Cache-Control` of a stream of events. */
export const EVENT_STREAM_CACHING = 'private, no-store, no-transform'

/**
 * Checks that a body is sent without a content coding.
 *
 * @param coding the value of Content-Encoding
 * @throws {ProblemError} `unsupported-content-coding`
 *
 * @example
 * assertUncoded('identity')
 */
export function assertUncoded(coding: string | null | undefined): void {
  if (coding === undefined || coding === null || /^[\s,]*(?:identity[\s,]*)*$/i.test(coding)) return
  throw problemError('unsupported-content-coding', `It is ${JSON.stringify(coding.slice(0, 100))}.`)
}

/**
 * A header's value; the first of several.
 *
 * @example
 * console.log(header({ headers: { accept: 'text/html' } }, 'Accept'))
 */
export function header(request: Pick<HttpRequest, 'headers'>, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()]
  return typeof value === 'object' ? value[0] : value
}

/** An answer with a stream of server-sent events. */
export function eventStreamResponse(
  body: HttpResponse['body'],
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  const own = {
    'Content-Type': 'text/event-stream',
    // Middleware that compresses, and Nginx, would hold events back until a buffer is full.
    'Cache-Control': EVENT_STREAM_CACHING,
    'X-Accel-Buffering': 'no',
  }
  return { status: 200, headers: { ...own, ...headers }, body }
}

/**
 * An answer with a JSON body.
 *
 * @example
 * const response = json(200, { state: 'done' }, { 'X-State': 'done' })
 */
export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return jsonText(status, JSON.stringify(body), headers)
}

/**
 * An answer from JSON text.
 *
 * @example
 * const response = jsonText(200, '{"state":"done"}')
 */
export function jsonText(status: number, body: string, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return { status, headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers }, body }
}

/**
 * An answer with a problem (RFC 9457), under the problem's own status.
 *
 * @example
 * const response = problemResponse({ type: 'about:blank', title: 'Not found', status: 404 })
 */
export function problemResponse(problem: Problem, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  const body = JSON.stringify(problem)
  return {
    status: problem.status,
    headers: { 'Content-Type': 'application/problem+json; charset=utf-8', ...headers },
    body,
    problem,
  }
}

/**
 * The answer for a thrown problem, with `Retry-After` if a retry may succeed.
 *
 * @example
 * const response = errorResponse(new ProblemError({ status: 409, title: 'Out of stock' }))
 */
export function errorResponse({ problem, retryAfterMs }: ProblemError): HttpResponse {
  const retryAfter = retryAfterMs === undefined ? {} : { 'Retry-After': formatRetryAfter(retryAfterMs) }
  // It distinguishes a refused content coding from a refused media type (RFC 9110, 12.5.3).
  const codings = problem.code === 'unsupported-content-coding' ? { 'Accept-Encoding': 'identity' } : {}
  return problemResponse(problem, { ...retryAfter, ...codings })
}
