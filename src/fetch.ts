/**
 * The API as a function from `Request` to `Response` (WHATWG Fetch): for Hono, Bun, Deno, and any
 * server that speaks them.
 *
 * @example
 * const answer = fetchHandler(waybill, { prefix: '/api' })
 * new Hono().all('/api/*', c => answer(c.req.raw))
 */
import { corsHeaders } from './http/cors.ts'
import { type ApiOptions, createRoutes } from './http.ts'
import { readUtf8 } from './json.ts'
import { errorResponse, type HttpResponse, JSON_MEDIA_TYPE, problemResponse } from './message.ts'
import { ProblemError, problem } from './problem.ts'
import { matchRoute } from './routing.ts'
import type { Waybill } from './waybill.ts'

/** Options of {@link fetchHandler}. */
export interface FetchHandlerOptions extends Omit<ApiOptions, 'base'> {
  /** The path under which the API is mounted, such as `/api`. Default: none. */
  readonly prefix?: string
  /** The scheme and host under which clients reach the server. Default: URLs are relative. */
  readonly publicUrl?: string
  /** Who asks; see the Fastify plugin's. Throw a `ProblemError` to refuse the request. */
  readonly principal?: (request: Request) => string | undefined | Promise<string | undefined>
}

/** Makes the function. The composition is the caller's to start and to stop. */
export function fetchHandler(
  waybill: Waybill,
  options: FetchHandlerOptions = {},
): (request: Request) => Promise<Response> {
  const { publicUrl = '', principal } = options
  const prefix = (options.prefix ?? '').replace(/\/+$/, '')
  const cors = corsHeaders(options.cors)
  const refuse = (request: Request, { headers, ...answer }: HttpResponse) =>
    toResponse({ ...answer, headers: { ...headers, ...cors({ headers: Object.fromEntries(request.headers) }) } })
  const routes = createRoutes(waybill, { ...options, base: publicUrl.replace(/\/+$/, '') + prefix })
  return async request => {
    const url = new URL(request.url)
    const found = matchRoute(routes, request.method, url.pathname, prefix)
    if (found === undefined) return refuse(request, problemResponse(problem('not-found')))
    const { route, params } = found
    const { signal, leave } = departure(request)
    try {
      const body = route.bodyLimit === 0 ? undefined : await readText(request, route.bodyLimit)
      const owner = principal === undefined || route.open ? '' : ((await principal(request)) ?? '')
      const headers = Object.fromEntries(request.headers)
      const answer = await route.handle({
        headers,
        method: request.method,
        params,
        query: url.searchParams,
        body,
        owner,
        signal,
      })
      return toResponse(request.method === 'HEAD' ? { ...answer, body: null } : answer, leave)
    } catch (error) {
      if (error instanceof ProblemError) return refuse(request, errorResponse(error))
      waybill.logger.error({ err: error }, 'A request met an error')
      return refuse(request, problemResponse(problem('internal-error')))
    }
  }
}

/** A client's leaving: servers tell it by the signal of the request, or by no longer reading the answer. */
function departure(request: Request): { readonly signal: AbortSignal; readonly leave: () => void } {
  const controller = new AbortController()
  const leave = () => controller.abort()
  if (request.signal.aborted) leave()
  else request.signal.addEventListener('abort', leave, { once: true })
  return { signal: controller.signal, leave }
}

async function readText(request: Request, limit: number): Promise<string> {
  const type = request.headers.get('content-type') ?? ''
  if (!JSON_MEDIA_TYPE.test(type)) {
    throw new ProblemError(problem('unsupported-media-type'))
  }
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of request.body ?? []) {
    length += piece.byteLength
    if (length > limit) throw new ProblemError(problem('body-too-large'))
    pieces.push(piece)
  }
  return readUtf8(Buffer.concat(pieces))
}

function toResponse({ status, headers, body }: HttpResponse, left?: () => void): Response {
  if (body === null || typeof body === 'string') return new Response(body, { status, headers })
  return new Response(toStream(body, left), { status, headers })
}

/** A stream that asks for the next piece when the last one was taken, and tells when its reader has left. */
function toStream(
  pieces: AsyncIterable<string | Uint8Array>,
  left: (() => void) | undefined,
): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  return new ReadableStream({
    pull: async controller => {
      const { value, done } = await iterator.next()
      if (done) controller.close()
      else controller.enqueue(typeof value === 'string' ? encoder.encode(value) : value)
    },
    cancel: async () => {
      left?.()
      await iterator.return?.()
    },
  })
}
