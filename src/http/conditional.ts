/** Conditional requests (RFC 9110, 13): what `If-Match` and `If-None-Match` ask for. */

import { problem, problemError } from '../model/problem.ts'
import { type HttpRequest, type HttpResponse, header, problemResponse } from './message.ts'

type Headers = Pick<HttpRequest, 'headers'>

const ENTITY_TAGS = /(?:W\/)?"[^"]*"/g

/** If-None-Match by weak comparison (RFC 9110, 13.1.2). */
export function matches(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  if (value.trim() === '*') return true
  const opaque = (tag: string) => tag.replace(/^W\//, '')
  return tagsOf(value).some(tag => opaque(tag) === opaque(etag))
}

/** If-Match by strong comparison (RFC 9110, 13.1.1): a weak tag matches nothing, nor does anything match a weak tag. */
function isHeldBy(etag: string | undefined, value: string | undefined): boolean {
  if (value === undefined || value.trim() === '*') return true
  return etag !== undefined && !etag.startsWith('W/') && tagsOf(value).includes(etag)
}

function tagsOf(value: string): readonly string[] {
  return value.match(ENTITY_TAGS) ?? []
}

/** Whether the request has conditions at all. */
export function isConditional({ headers }: Headers): boolean {
  return headers['if-match'] !== undefined || headers['if-none-match'] !== undefined
}

/**
 * Applies the conditions of a GET (RFC 9110, 13.2.2): the answer itself, 412, or 304 without a body if the client has
 * it already.
 */
export function conditional(request: Headers, answer: HttpResponse): HttpResponse {
  // Conditions apply only to successful responses (RFC 9110, 13.2.1).
  if (!isConditional(request) || answer.status < 200 || answer.status > 299) return answer
  const etag = answer.headers.ETag
  if (!isHeldBy(etag, header(request, 'If-Match'))) return problemResponse(problem('precondition-failed'))
  if (etag === undefined || !matches(header(request, 'If-None-Match'), etag)) return answer
  const { 'Content-Type': _, ...headers } = answer.headers
  return { status: 304, headers, body: null }
}

/**
 * Checks the conditions of a request that would change something. Called before anything is changed.
 *
 * @param etag of what a GET of the same URL answers; undefined where that has none
 * @throws {ProblemError} `precondition-failed`
 */
export function assertConditions(request: Headers, etag?: string): void {
  if (!isConditional(request)) return
  const known = etag !== undefined && matches(header(request, 'If-None-Match'), etag)
  if (known || !isHeldBy(etag, header(request, 'If-Match'))) throw problemError('precondition-failed')
}
