/**
 * The API as a function from `Request` to `Response` (WHATWG Fetch): for Hono, Bun, Deno, and any
 * server that speaks them.
 *
 * @example
 * const answer = fetchHandler(waybill, { prefix: '/api' })
 * new Hono().all('/api/*', c => answer(c.req.raw))
 */
import { completing } from './http/answers.ts'
import { CALLER_OPTIONS, type CallerOptions, identifying } from './http/principal.ts'
import { API_OPTIONS, type ApiOptions, createRoutes } from './http.ts'
import { readUtf8 } from './json.ts'
import { assertUncoded, errorResponse, type HttpResponse, JSON_MEDIA_TYPE, problemResponse } from './message.ts'
import { type Checks, checkOptions, PREFIX, PUBLIC_URL } from './options.ts'
import { ProblemError, problem, problemError } from './problem.ts'
import { createRouter } from './routing.ts'
import type { Waybill } from './waybill.ts'

/** Options of {@link fetchHandler}. */
export interface FetchHandlerOptions extends Omit<ApiOptions, 'base' | 'authenticated'>, CallerOptions<Request> {
  /** The path under which the API is mounted, such as `/api`. Default: none. */
  readonly prefix?: string
  /** The scheme, the host and perhaps a path under which clients reach the server. Default: URLs are relative. */
  readonly publicUrl?: string
}

const { base: _, authenticated: __, ...API } = API_OPTIONS
const OPTIONS: Checks<FetchHandlerOptions> = { ...API, ...CALLER_OPTIONS, prefix: PREFIX, publicUrl: PUBLIC_URL }

/**
 * Makes the function. The composition is the caller's to start and to stop.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right; the message names it
 */
export function fetchHandler(
  waybill: Waybill,
  options: FetchHandlerOptions = {},
): (request: Request) => Promise<Response> {
  checkOptions('fetchHandler()', options, OPTIONS)
  const { publicUrl = '', prefix: mount = '', principal, challenge, ...api } = options
  const prefix = mount.replace(/\/+$/, '')
  const identify = identifying({ ...(principal && { principal }), ...(challenge && { challenge }) }, waybill.logger)
  const complete = completing(waybill.operations, options.cors)
  const refuse = (request: Request, answer: HttpResponse) =>
    toResponse(complete({ headers: Object.fromEntries(request.headers) }, answer))
  const authenticated = principal === undefined ? {} : { authenticated: true }
  const routes = createRoutes(waybill, { ...api, ...authenticated, base: publicUrl.replace(/\/+$/, '') + prefix })
  const findRoute = createRouter(routes, prefix)
  return async request => {
    const url = new URL(request.url)
    const found = findRoute(request.method, url.pathname)
    if (found === undefined) return refuse(request, problemResponse(problem('not-found')))
    const { route, params } = found
    const { signal, leave } = departure(request)
    try {
      const body = route.bodyLimit === 0 ? undefined : await readText(request, route.bodyLimit)
      const owner = identify === undefined || route.open ? '' : await identify(request)
      if (typeof owner !== 'string') return refuse(request, owner)
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
    throw problemError('unsupported-media-type')
  }
  assertUncoded(request.headers.get('content-encoding'))
  const bytes = await readBytes(request, limit).catch(error => {
    // Who leaves while it sends has made no error of ours; nobody reads the answer.
    throw hasLeft(request, error) ? problemError('invalid-request', 'Its body did not come to its end.') : error
  })
  return readUtf8(bytes)
}

async function readBytes(request: Request, limit: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of request.body ?? []) {
    length += piece.byteLength
    if (length > limit) throw problemError('body-too-large')
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

function hasLeft(request: Request, error: unknown): boolean {
  if (request.signal.aborted) return true
  return error instanceof Error && (error.name === 'AbortError' || ('code' in error && error.code === 'ECONNRESET'))
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
