/**
 * The API as a function from `Request` to `Response` (WHATWG Fetch): for Hono, Bun, Deno, and any
 * server that speaks them.
 *
 * @example
 * const answer = fetchHandler(composition, { prefix: '/api' })
 * new Hono().all('/api/*', c => answer(c.req.raw))
 */

import { RENAMED_API_OPTIONS } from '../http/routes.ts'
import { checkOptions } from '../model/options.ts'
import type { Waybill } from '../waybill.ts'
import { createWebServer, WEB_SERVER_OPTIONS, type WebServerOptions } from './web-server.ts'

export type { WebServerOptions } from './web-server.ts'

/**
 * Makes the function. The composition is the caller's to start and to stop.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right; the message names it
 *
 * @example
 * const answer = fetchHandler(composition, { prefix: '/api' })
 * const response = await answer(new Request('http://localhost/api/orders'))
 */
export function fetchHandler(
  waybill: Waybill,
  options: WebServerOptions = {},
): (request: Request) => Promise<Response> {
  checkOptions('fetchHandler()', options, WEB_SERVER_OPTIONS, RENAMED_API_OPTIONS)
  const server = createWebServer(waybill, options)
  return request => server.answer(request, server.find(request.method, new URL(request.url).pathname))
}
