/** Cross-origin requests (WHATWG Fetch): which pages of other origins may use the API, and see which headers. */
import { type HttpRequest, header } from '../message.ts'
import { HEADERS } from '../protocol.ts'

/** Which origins may use the API from a browser. */
export interface CorsOptions {
  /** `*`, or origins such as `https://app.example.com`. */
  readonly origins: '*' | readonly string[]
  /** Whether browsers send cookies along; needs `origins` to be named. Default false. */
  readonly credentials?: boolean
  /** Request headers that are allowed beside those of the wire contract. */
  readonly allowHeaders?: readonly string[]
}

const ALLOWED = [
  'Accept',
  'Authorization',
  'Content-Type',
  HEADERS.idempotencyKey,
  HEADERS.ifNoneMatch,
  'If-Range',
  HEADERS.lastEventId,
  HEADERS.prefer,
  HEADERS.webhookUrl,
  'Range',
  'traceparent',
]
const EXPOSED = [
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Range',
  HEADERS.contentLocation,
  HEADERS.etag,
  HEADERS.expires,
  HEADERS.idempotencyReplayed,
  HEADERS.link,
  HEADERS.location,
  HEADERS.operationLocation,
  HEADERS.preferenceApplied,
  HEADERS.retryAfter,
  'X-Progress',
]

/** The headers that answers to a request carry beside their own. */
export type CorsHeaders = (request: Pick<HttpRequest, 'headers'>) => Record<string, string>

/**
 * Prepares the headers of every answer. Without options there are none.
 *
 * @throws {TypeError} when cookies are to be sent by any origin, which no browser does
 */
export function corsHeaders(options: CorsOptions | undefined): CorsHeaders {
  if (options === undefined) return () => ({})
  const { origins, credentials = false, allowHeaders = [] } = options
  if (origins === '*' && credentials) {
    throw new TypeError('cors: name the origins to allow credentials; browsers refuse them with "*".')
  }
  const always = {
    'Access-Control-Expose-Headers': EXPOSED.join(', '),
    ...(credentials && { 'Access-Control-Allow-Credentials': 'true' }),
  }
  const preflight = {
    'Access-Control-Allow-Methods': 'GET, POST, DELETE',
    'Access-Control-Allow-Headers': [...ALLOWED, ...allowHeaders].join(', '),
    'Access-Control-Max-Age': '7200',
  }
  return request => {
    const origin = header(request, 'origin')
    const allowed = origins === '*' ? '*' : origins.find(one => one === origin)
    if (allowed === undefined || origin === undefined) return {}
    const asked = header(request, 'access-control-request-method') === undefined ? {} : preflight
    return { 'Access-Control-Allow-Origin': allowed, ...always, ...asked }
  }
}
