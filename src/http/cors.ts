/** Cross-origin requests (WHATWG Fetch): which pages of other origins may use the API, and see which headers. */

import { type DescribedHeader, REQUEST_HEADERS, RESPONSE_HEADERS, SURFACE_REQUEST_HEADERS } from '../model/headers.ts'
import { BOOLEAN, type Checks, checkOptions, required, STRINGS } from '../model/options.ts'
import { type HttpRequest, type HttpResponse, header } from './message.ts'

/** Which origins may use the API from a browser. */
export interface CorsOptions {
  /** `*`, or origins such as `https://app.example.com`. */
  readonly origins: '*' | readonly string[]
  /** Whether browsers send cookies along; needs `origins` to be named. Default false. */
  readonly credentials?: boolean | undefined
  /** Request headers that are allowed besides those of the API. Default none. */
  readonly allowHeaders?: readonly string[] | undefined
  /** Response headers that scripts can read besides those of the API, such as those of your own dialect. Default none. */
  readonly exposeHeaders?: readonly string[] | undefined
}

const OPTIONS: Checks<CorsOptions> = {
  origins: required({
    expected: '"*", or a list of origins such as "https://app.example.com"',
    test: origins => origins === '*' || (Array.isArray(origins) && origins.every(isOrigin)),
  }),
  credentials: BOOLEAN,
  allowHeaders: STRINGS,
  exposeHeaders: STRINGS,
}

/** An origin must be written as browsers send it, or it never matches. Pages without an origin send `null`. */
function isOrigin(text: unknown): boolean {
  if (text === 'null') return true
  if (typeof text !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s*]+$/.test(text)) return false
  const origin = URL.parse(text)?.origin
  return origin === text || origin === 'null'
}

const ALLOWED = ['Accept', 'Authorization', 'Content-Type', ...Object.keys(REQUEST_HEADERS), ...SURFACE_REQUEST_HEADERS]
const EXPOSED = Object.entries<DescribedHeader>(RESPONSE_HEADERS).flatMap(([name, { exposed }]) =>
  exposed ? [name] : [],
)

/** The CORS headers to add to the answer to a request. */
export type CorsHeaders = (request: Pick<HttpRequest, 'headers'>) => Record<string, string>

/**
 * Prepares the headers of every answer. Without options there are none.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right, such as cookies of any origin, which no browser sends
 *
 * @example
 * const headersFor = corsHeaders({ origins: ['https://app.example.com'] })
 * console.log(headersFor({ headers: { origin: 'https://app.example.com' } }))
 */
export function corsHeaders(options: CorsOptions | undefined): CorsHeaders {
  if (options === undefined) return () => ({})
  checkOptions('cors', options, OPTIONS)
  const { origins, credentials = false, allowHeaders = [], exposeHeaders = [] } = options
  if (origins === '*' && credentials) {
    throw new TypeError('cors: name the origins to allow credentials; browsers refuse them with "*".')
  }
  const always = {
    'Access-Control-Expose-Headers': [...EXPOSED, ...exposeHeaders].join(', '),
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

/** Puts the headers on an answer; without options there are none. {@link corsHeaders} says what it throws. */
export function corsAnswers(
  options: CorsOptions | undefined,
): (request: Pick<HttpRequest, 'headers'>, answer: HttpResponse) => HttpResponse {
  if (options === undefined) return (_, answer) => answer
  const headersFor = corsHeaders(options)
  return (request, answer) => {
    // A cache must not reuse the answer for one origin for another.
    const vary = answer.headers.Vary === undefined ? 'Origin' : `${answer.headers.Vary}, Origin`
    return { ...answer, headers: { ...answer.headers, ...headersFor(request), Vary: vary } }
  }
}
