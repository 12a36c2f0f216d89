/** The headers of every answer, whichever route or server made it. */

import { PROBLEMS } from '../model/problem-kinds.ts'
import type { Problem } from '../model/protocol.ts'
import type { Waybill } from '../waybill.ts'
import { type CorsOptions, corsAnswers } from './cors.ts'
import type { HttpRequest, HttpResponse } from './message.ts'

/** Adds to a response what every response carries. */
export type Finalize = (request: Pick<HttpRequest, 'headers'>, answer: HttpResponse) => HttpResponse

/**
 * A cache may keep any answer for which it is not forbidden, such as a 404, and share it with other callers. An answer
 * that may be kept says so itself.
 */
const KEPT_BY_NOBODY = 'private, no-store'

/**
 * Creates a function that adds to a response what every response carries: `Cache-Control`, the headers of CORS, and
 * `Connection: close` during a shutdown. It also counts problems in the metrics. The responses of `createRoutes` have
 * passed through it; a server calls it for those that it makes itself, such as a 404.
 *
 * @param cors as given to `createRoutes`
 * @example
 * import { createFinalize, errorResponse, type HttpRequest, type HttpResponse } from 'waybill/adapters'
 * import type { ProblemError } from 'waybill'
 * import type { Waybill } from 'waybill/server'
 *
 * function refuse(waybill: Waybill, request: HttpRequest, error: ProblemError): HttpResponse {
 *   return createFinalize(waybill)(request, errorResponse(error))
 * }
 */
export function createFinalize({ operations, metrics }: Waybill, cors?: CorsOptions): Finalize {
  const withCors = corsAnswers(cors)
  return (request, answer) => {
    if (answer.problem !== undefined) metrics.refused(reasonOf(answer.problem))
    const complete = withCors(request, withCacheControl(answer))
    // The client then opens a new connection, which reaches a server that stays up.
    return operations.draining ? { ...complete, headers: { ...complete.headers, Connection: 'close' } } : complete
  }
}

/** There may be many codes that are not Waybill's, so these are counted by their status. */
function reasonOf({ code, status }: Problem): string {
  return code !== undefined && Object.hasOwn(PROBLEMS, code) ? code : `${status}`
}

/** The answer with a Cache-Control, its own where it has one. */
export function withCacheControl(answer: HttpResponse): HttpResponse {
  if ('Cache-Control' in answer.headers) return answer
  return { ...answer, headers: { 'Cache-Control': KEPT_BY_NOBODY, ...answer.headers } }
}

/**
 * The response headers that hold a list, to which several parts of a server add. In some of them, each member may occur
 * only once.
 */
const LISTS = [
  ['Vary', 'vary', 'once'],
  ['Access-Control-Expose-Headers', 'access-control-expose-headers', 'once'],
  ['Link', 'link', 'each'],
  ['WWW-Authenticate', 'www-authenticate', 'each'],
] as const

/**
 * The headers of an answer, joined with what other code has put into the same lists before.
 *
 * @param headers by the names that this API writes, or all in lower case
 * @param present gives what a header holds already, as `ServerResponse.getHeader` does
 */
export function withPresent(
  headers: HttpResponse['headers'],
  present: (name: string) => unknown,
): HttpResponse['headers'] {
  let complete = headers
  for (const [name, lower, members] of LISTS) {
    const key = name in headers ? name : lower
    const own = headers[key]
    const others = own === undefined ? undefined : present(name)
    if (own === undefined || others === undefined) continue
    const all = members === 'each' ? `${others}, ${own}` : joined(`${others}`, own)
    complete = { ...complete, [key]: all }
  }
  return complete
}

/** HTTP/2 has no `Connection`: Node would drop it with a warning. */
export function forVersion(headers: HttpResponse['headers'], httpVersionMajor: number): HttpResponse['headers'] {
  if (httpVersionMajor < 2) return headers
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'connection'))
}

function joined(others: string, own: string): string {
  const known = others.toLowerCase().split(/\s*,\s*/)
  const added = own.split(/\s*,\s*/).filter(member => !known.includes(member.toLowerCase()))
  return [others, ...added].join(', ')
}
