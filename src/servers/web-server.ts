/** The API on messages of WHATWG Fetch. The public `fetchHandler` and other servers are built on it. */

import {
  type AdminCallerOptions,
  adminViewOptions,
  createIdentifyOperator,
  type IdentifyOperator,
  isOperator,
  type Origin,
} from '../http/admin/operator-identity.ts'
import { createFinalize } from '../http/answers.ts'
import type { McpOptions } from '../http/mcp/mcp.ts'
import { MCP, mcpSurfaces } from '../http/mcp/server-option.ts'
import {
  assertUncoded,
  errorResponse,
  type HttpResponse,
  JSON_MEDIA_TYPE,
  NDJSON_MEDIA_TYPE,
  problemResponse,
} from '../http/message.ts'
import { CALLER_OPTIONS, type CallerOptions, createIdentify, type Identify } from '../http/principal.ts'
import type { OperatorIdentity } from '../http/role.ts'
import type { Route } from '../http/route.ts'
import { createRouter, type RouteMatch } from '../http/router.ts'
import { API_OPTIONS, type ApiOptions, createRoutes } from '../http/routes.ts'
import { readUtf8 } from '../model/json.ts'
import { type Checks, PREFIX, PUBLIC_URL } from '../model/options.ts'
import { ProblemError, problem, problemError } from '../model/problem.ts'
import type { Waybill } from '../waybill.ts'

/** The options of a server for Fetch messages. */
export interface WebServerOptions
  extends Omit<ApiOptions, 'base' | 'authenticated' | 'admin'>,
    CallerOptions<Request>,
    AdminCallerOptions<Request> {
  /** The path under which the API is mounted, such as `/api`. Default: none. */
  readonly prefix?: string | undefined
  /** The scheme, the host and perhaps a path under which clients reach the server. Default: URLs are relative. */
  readonly publicUrl?: string | undefined
  /** Whether agents can call operations as tools of the Model Context Protocol, at `POST /mcp`, and how. Default false. */
  readonly mcp?: boolean | McpOptions | undefined
}

const { base: _, authenticated: __, ...API } = API_OPTIONS
/** What the options must be. */
export const WEB_SERVER_OPTIONS: Checks<WebServerOptions> = {
  ...API,
  ...CALLER_OPTIONS,
  prefix: PREFIX,
  publicUrl: PUBLIC_URL,
  mcp: MCP,
}

/** The API, for a server that first checks whether a path belongs to it. */
export interface WebServer {
  /** The route of a request; undefined where the API has none for the path. */
  find(method: string, pathname: string): RouteMatch | undefined
  /** Answers a request, with 404 if there is no route; never rejects. */
  answer(request: Request, found: RouteMatch | undefined): Promise<Response>
}

/**
 * Makes the server.
 *
 * @param originOf gives where a request comes from
 * @throws {TypeError} for an option that cannot be right; the message names it
 */
export function createWebServer(
  waybill: Waybill,
  options: WebServerOptions,
  originOf: (request: Request) => Origin,
): WebServer {
  const { publicUrl = '', prefix: mount = '', principal, challenge, admin, mcp, ...api } = options
  const prefix = mount.replace(/\/+$/, '')
  const identify = createIdentify({ principal, challenge }, waybill.logger)
  const identifyOperator = createIdentifyOperator(admin, originOf, waybill.logger)
  const finalize = createFinalize(waybill, options.cors)
  const refuse = (request: Request, answer: HttpResponse) =>
    toResponse(finalize({ headers: Object.fromEntries(request.headers) }, answer))
  const authenticated = principal === undefined ? {} : { authenticated: true }
  const routes = createRoutes(waybill, {
    ...api,
    ...authenticated,
    base: publicUrl.replace(/\/+$/, '') + prefix,
    admin: admin && adminViewOptions(admin),
    surfaces: [...(options.surfaces ?? []), ...mcpSurfaces(mcp)],
  })
  const answer = async (request: Request, found: RouteMatch | undefined) => {
    if (found === undefined) return refuse(request, problemResponse(problem('no-such-route')))
    try {
      return await serve(request, found, { identify, identifyOperator }, refuse)
    } catch (error) {
      if (error instanceof ProblemError) return refuse(request, errorResponse(error))
      waybill.logger.error({ err: error }, 'A request met an error')
      return refuse(request, problemResponse(problem('internal-error')))
    }
  }
  return { find: createRouter(routes, prefix), answer }
}

/** The functions that identify the caller of a request. */
interface Asks {
  readonly identify: Identify<Request> | undefined
  readonly identifyOperator: IdentifyOperator<Request> | undefined
}

/** The caller, or the answer that refuses the request. */
async function callerOf(
  request: Request,
  { open, admin = false, challenge }: Route,
  { identify, identifyOperator }: Asks,
): Promise<{ readonly owner: string; readonly operator?: OperatorIdentity } | HttpResponse> {
  if (open) return { owner: '' }
  if (admin) {
    const operator = await identifyOperator?.(request)
    if (operator === undefined || isOperator(operator)) return { owner: '', ...(operator && { operator }) }
    return operator
  }
  const owner = identify === undefined ? '' : await identify(request, challenge)
  return typeof owner === 'string' ? { owner } : owner
}

async function serve(
  request: Request,
  { route, params }: RouteMatch,
  asks: Asks,
  refuse: (request: Request, answer: HttpResponse) => Response,
): Promise<Response> {
  // Done before the body is read, so that the body of a refused caller is not kept in memory.
  const caller = await callerOf(request, route, asks)
  if (!('owner' in caller)) return refuse(request, caller)
  const { signal, leave } = departure(request)
  const body = route.bodyLimit === 0 ? undefined : await readText(request, route.bodyLimit)
  const { method } = request
  const headers = Object.fromEntries(request.headers)
  const query = new URL(request.url).searchParams
  const answer = await route.handle({ headers, method, params, query, body, ...caller, signal })
  return toResponse(method === 'HEAD' ? { ...answer, body: null } : answer, leave)
}

/** Detects that a client has disconnected: servers abort the signal of the request, or stop reading the answer. */
function departure(request: Request): { readonly signal: AbortSignal; readonly leave: () => void } {
  const controller = new AbortController()
  const leave = () => controller.abort()
  if (request.signal.aborted) leave()
  else request.signal.addEventListener('abort', leave, { once: true })
  return { signal: controller.signal, leave }
}

async function readText(request: Request, limit: number): Promise<string> {
  const type = request.headers.get('content-type') ?? ''
  if (!JSON_MEDIA_TYPE.test(type) && !NDJSON_MEDIA_TYPE.test(type)) {
    throw problemError('unsupported-media-type')
  }
  assertUncoded(request.headers.get('content-encoding'))
  const bytes = await readBytes(request, limit).catch(error => {
    // A client that disconnects while it sends is not our error, and nobody reads the answer.
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

/** A stream that requests the next piece when the last one was read, and reports when its reader has stopped. */
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
