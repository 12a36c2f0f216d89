/**
 * The API as a function from `Request` to `Response` (WHATWG Fetch): for Hono, Bun, Deno, and any
 * server that speaks them.
 *
 * @example
 * const answer = fetchHandler(composition, { prefix: '/api' })
 * new Hono().all('/api/*', c => answer(c.req.raw))
 */
import type { Origin } from '../http/admin/operator-identity.ts'
import { RENAMED_API_OPTIONS } from '../http/routes.ts'
import { checkOptions } from '../model/options.ts'
import type { Waybill } from '../waybill.ts'
import { createWebServer, WEB_SERVER_OPTIONS, type WebServerOptions } from './web-server.ts'

export type { WebServerOptions } from './web-server.ts'

/** Where a request comes from, as the caller of the function knows it. */
export interface RequestSource {
  /** The address of the client, as the socket has it, such as `127.0.0.1`. */
  readonly address?: string | undefined
}

/**
 * Makes the function. The composition is the caller's to start and to stop.
 *
 * A second argument of the function says where the request comes from, which a `Request` does not: the option `admin`
 * without a principal answers clients of this machine alone. Other arguments are ignored.
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
): (request: Request, source?: RequestSource | null) => Promise<Response> {
  checkOptions('fetchHandler()', options, WEB_SERVER_OPTIONS, RENAMED_API_OPTIONS)
  const addresses = new WeakMap<Request, string>()
  const originOf = (request: Request): Origin => ({
    // HTTP/2 has no Host header; the server has put its counterpart, `:authority`, into the URL.
    headers: { host: new URL(request.url).host, ...Object.fromEntries(request.headers) },
    address: addresses.get(request),
  })
  const server = createWebServer(waybill, options, originOf)
  return (request, source) => {
    // Bun and Deno call it with objects of their own.
    if (typeof source?.address === 'string') addresses.set(request, source.address)
    return server.answer(request, server.find(request.method, new URL(request.url).pathname))
  }
}
