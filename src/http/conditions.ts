/** What request headers ask for: conditions, keys, event positions. */
import { type HttpRequest, type HttpResponse, header } from '../message.ts'
import { problemError } from '../problem.ts'
import { HEADERS } from '../protocol.ts'

/** If-None-Match by weak comparison (RFC 9110, 13.1.2). */
export function matches(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  const opaque = (tag: string) => tag.trim().replace(/^W\//, '')
  return value.split(',').some(tag => tag.trim() === '*' || opaque(tag) === opaque(etag))
}

/** The answer, or 304 without its body where the client has it already. */
export function unlessKnown(request: Pick<HttpRequest, 'headers'>, answer: HttpResponse): HttpResponse {
  const etag = answer.headers[HEADERS.etag]
  if (etag === undefined || !matches(header(request, HEADERS.ifNoneMatch), etag)) return answer
  const { 'Content-Type': _, ...headers } = answer.headers
  return { status: 304, headers, body: null }
}

/**
 * The key is a structured-field string (RFC 9651) in double quotes; a bare token is taken too, as most clients send it.
 *
 * @throws {ProblemError} `invalid-idempotency-key`
 */
export function idempotencyKey(request: HttpRequest): string | undefined {
  const value = header(request, HEADERS.idempotencyKey)?.trim()
  if (value === undefined) return undefined
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(value)
  const key = quoted === null ? value : (quoted[1] ?? '').replaceAll(/\\(["\\])/g, '$1')
  if (!/^[\x20-\x7e]{1,255}$/.test(key) || (quoted === null && value.includes('"'))) {
    throw problemError('invalid-idempotency-key', `It is ${JSON.stringify(value.slice(0, 100))}.`)
  }
  return key
}

/** W3C trace context; one that cannot be read is as good as none. */
export function traceparent(request: HttpRequest): string | undefined {
  const value = header(request, 'traceparent')
  const known = /^(?!ff)[0-9a-f]{2}-(?!0+-)[0-9a-f]{32}-(?!0+-)[0-9a-f]{16}-[0-9a-f]{2}$/.test(value ?? '')
  return known ? value : undefined
}

/** Whether the client asks for server-sent events before anything else. */
export function wantsEvents(request: HttpRequest): boolean {
  return /^\s*text\/event-stream\s*(?:[;,]|$)/i.test(header(request, 'accept') ?? '')
}
