/**
 * The Fastify plugin: the HTTP resource of every operation type, under the prefix it is registered with.
 *
 * @example
 * await app.register(waybill, { operations: [orders], store: sqliteStore({ path: './orders.db' }), worker: { handlers: './processor.ts' } })
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type {
  FastifyBaseLogger,
  FastifyError,
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
} from 'fastify'
import {
  type AdminCallerOptions,
  adminViewOptions,
  createIdentifyOperator,
  isOperator,
  type Origin,
} from '../http/admin/operator-identity.ts'
import { createFinalize, type Finalize, forVersion, withCacheControl, withPresent } from '../http/answers.ts'
import type { McpOptions } from '../http/mcp/mcp.ts'
import { MCP, mcpSurfaces } from '../http/mcp/server-option.ts'
import {
  assertUncoded,
  errorResponse,
  type HttpRequest,
  type HttpResponse,
  JSON_MEDIA_TYPE,
  NDJSON_MEDIA_TYPE,
  problemResponse,
} from '../http/message.ts'
import { CALLER_OPTIONS, type CallerOptions, createIdentify } from '../http/principal.ts'
import type { OperatorIdentity } from '../http/role.ts'
import type { Route } from '../http/route.ts'
import { API_OPTIONS, type ApiOptions, createRoutes, RENAMED_API_OPTIONS } from '../http/routes.ts'
import { statusProblem } from '../http/status-problem.ts'
import { readUtf8 } from '../model/json.ts'
import { type Checks, checkOptions, OBJECT, PREFIX, PUBLIC_URL, UNCHECKED } from '../model/options.ts'
import { ProblemError, problem } from '../model/problem.ts'
import type { Problem } from '../model/protocol.ts'
import type { Logger } from '../util/logger.ts'
import {
  createWaybill,
  RENAMED_WAYBILL_OPTIONS,
  type StartOptions,
  WAYBILL_OPTIONS,
  type Waybill,
  type WaybillOptions,
} from '../waybill.ts'
import { drainBody, MAX_DRAINED_BYTES } from './drain-body.ts'
import { closeWhenIdle } from './idle-connections.ts'

/** The options of the plugin besides the composition. */
export interface PluginOptions
  extends Omit<ApiOptions, 'base' | 'authenticated' | 'admin'>,
    CallerOptions<FastifyRequest>,
    AdminCallerOptions<FastifyRequest> {
  /** The scheme, host and path under which clients reach the server, such as `https://api.example.com`. Default: URLs are relative. */
  readonly publicUrl?: string | undefined
  /** Whether agents can call operations as tools of the Model Context Protocol, at `POST /mcp`, and how. Default false. */
  readonly mcp?: boolean | McpOptions | undefined
}

/**
 * The options of a composition, which starts and stops with the server; or a composition that the caller made, and
 * starts and stops.
 */
export type WaybillPluginOptions = PluginOptions & (WaybillOptions | { readonly waybill: Waybill })

const { base: _, authenticated: __, ...API } = API_OPTIONS
const PLUGIN_OPTIONS: Checks<PluginOptions> = { ...API, ...CALLER_OPTIONS, publicUrl: PUBLIC_URL, mcp: MCP }
/** An option of Fastify's own `register`. */
const REGISTER_OPTIONS = { prefix: PREFIX, logLevel: UNCHECKED, logSerializers: UNCHECKED }
const COMPOSED: Checks<{ waybill: Waybill }> = { waybill: OBJECT }

declare module 'fastify' {
  interface FastifyInstance {
    /** The composition that the plugin `waybill` serves here; the first of several. */
    waybill: Waybill
  }
}

/**
 * The plugin. It starts the composition when the server is ready, and stops it when the server closes. The server has the
 * composition as `app.waybill` then: `submit`, `wait`, `result`, `cancel` and `operator`.
 *
 * @example
 * await app.register(waybill, { operations: [orders], store, worker: { handlers: './processor.ts' } })
 * const { id } = await app.waybill.submit(orders, { customer: 'Ada', items: [] })
 */
export const waybill: FastifyPluginAsync<WaybillPluginOptions> = Object.assign(
  async function waybill(app: FastifyInstance, options: WaybillPluginOptions) {
    let composed: Waybill | undefined
    // Parsers, hooks and the error handler apply only to the routes; the composition belongs to the instance around
    // them.
    const routes: FastifyPluginAsync = async scope => {
      composed = await serve(scope, options)
    }
    await app.register(routes, among<object>(options, REGISTER_OPTIONS))
    if (composed !== undefined && !Object.hasOwn(app, 'waybill')) app.decorate('waybill', composed)
  } satisfies FastifyPluginAsync<WaybillPluginOptions>,
  // Tells Fastify not to make a scope for the plugin.
  { [Symbol.for('skip-override')]: true },
)

/** Registers the routes in a scope of their own, and returns their composition. */
async function serve(app: FastifyInstance, options: WaybillPluginOptions): Promise<Waybill> {
  const made = 'waybill' in options
  const checks = { ...(made ? COMPOSED : WAYBILL_OPTIONS), ...PLUGIN_OPTIONS, ...REGISTER_OPTIONS }
  checkOptions('register(waybill)', options, checks, { ...RENAMED_API_OPTIONS, ...(!made && RENAMED_WAYBILL_OPTIONS) })
  const base = (options.publicUrl ?? '').replace(/\/+$/, '') + app.prefix
  const composed = made
    ? options.waybill
    : createWaybill({
        ...loggerOf(app),
        ...among<WaybillOptions>(options, WAYBILL_OPTIONS),
        ...(options.worker && options.publicUrl && { worker: { publicUrl: base, ...options.worker } }),
      })
  if (!made) startAndStop(app, composed)
  readBodiesAsText(app)
  const refuse = createRefuse(createFinalize(composed, options.cors))
  app.setErrorHandler((error: FastifyError, request, reply) =>
    refuse(request, reply, toAnswer(error, reply, composed.logger)),
  )
  const authenticated = options.principal === undefined ? {} : { authenticated: true }
  const identify = createIdentify<FastifyRequest>(options, composed.logger)
  const identifyOperator = createIdentifyOperator<FastifyRequest>(options.admin, originOf, composed.logger)
  for (const [name, value] of [[OWNER, ''] as const, [OPERATOR, undefined] as const]) {
    if (!app.hasRequestDecorator(name)) app.decorateRequest(name, value)
  }
  const admin = options.admin && adminViewOptions(options.admin)
  const surfaces = [...(options.surfaces ?? []), ...mcpSurfaces(options.mcp)]
  const routes = createRoutes(composed, { ...among<ApiOptions>(options, API), ...authenticated, base, admin, surfaces })
  const askOperator = identifyOperator && identifyFirst(named(OPERATOR, identifyOperator, isOperator), refuse)
  const askCaller = ({ challenge }: Route) =>
    identify &&
    identifyFirst(
      named(OWNER, request => identify(request, challenge), isName),
      refuse,
    )
  const siblings = Map.groupBy(routes, ({ path }) => path)
  // A scope of its own, since Fastify selects the body parser by the scope.
  const addAll: FastifyPluginAsync = async bodyless => {
    leaveBodies(bodyless)
    for (const route of routes) {
      const methods = route.method === '*' ? othersThan(siblings.get(route.path) ?? [], app) : [route.method]
      add(route.bodyLimit === 0 ? bodyless : app, { ...route, methods }, route.admin ? askOperator : askCaller(route))
    }
  }
  await app.register(addAll)
  return composed
}

/** Fastify's logger; undefined if Fastify has none, so that warnings and errors go to standard error. */
function loggerOf({ log }: FastifyInstance): { readonly logger?: Logger } {
  // Fastify's placeholder for "no logger" is one function under every name, and has no level.
  const isStandIn = (log as Partial<FastifyBaseLogger>).level === undefined && log.info === log.error
  return isStandIn ? {} : { logger: log }
}

/** Starts a composition with the server, and stops it with the server. */
function startAndStop(app: FastifyInstance, waybill: Waybill): void {
  let closed = () => {}
  app.addHook('onReady', () => waybill.start(startOptions(app)))
  app.addHook('preClose', async () => {
    // Not waited for: the server waits for its requests meanwhile, some of which wait for the work in turn. One that
    // does not end must not keep handlers from being stopped. A failure is that of `stop`.
    waybill.drain().catch(() => {})
    closed = closeWhenIdle(app.server)
  })
  app.addHook('onClose', async () => {
    closed()
    await waybill.stop()
  })
}

/**
 * Fastify aborts a hook after its `pluginTimeout`, with an error that does not name the cause. Our error comes earlier.
 */
function startOptions({ initialConfig: { pluginTimeout = 10_000 } }: FastifyInstance): StartOptions {
  if (pluginTimeout === 0) return {}
  const timeout = Math.max(1, pluginTimeout - Math.min(1000, pluginTimeout / 10))
  return { timeout, timeoutHint: 'If it needs longer, give Fastify more time: fastify({ pluginTimeout: 60_000 }).' }
}

/**
 * Answers with a problem what Fastify refuses before it looks for a route: a URL that is not well encoded, or a part of
 * a path over `maxParamLength`. It affects the whole server, so the application decides about it.
 *
 * @example
 * const app = fastify({ frameworkErrors })
 */
export function frameworkErrors(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  send(reply, withCacheControl(toAnswer(error, reply, request.log)))
}

/** Sends an answer that was not made by a route. */
type Refuse = (request: FastifyRequest, reply: FastifyReply, answer: HttpResponse) => FastifyReply

function createRefuse(finalize: Finalize): Refuse {
  return (request, reply, answer) => send(reply, finalize(request, answer))
}

/** Those of some options that have a check among these. */
function among<Options extends object>(options: Options, checks: object): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => name in checks)) as Options
}

/** The methods that the server supports but a path does not have. */
function othersThan(routes: readonly Route[], app: FastifyInstance): string[] {
  const known = new Set<string>(routes.map(({ method }) => method))
  if (known.has('GET')) known.add('HEAD')
  return app.supportedMethods.filter(method => !known.has(method))
}

/** A route, and the methods that `*` means in it. */
type ServedRoute = Route & { readonly methods: string[] }

function add(app: FastifyInstance, route: ServedRoute, onRequest: OnRequest | undefined): void {
  app.route({
    method: route.methods,
    url: route.path,
    // Also if the server does not add HEAD itself, since the API documents it.
    exposeHeadRoute: route.method === 'GET',
    ...(route.bodyLimit > 0 ? { bodyLimit: route.bodyLimit } : route.method !== 'GET' && { preParsing: nameUnread }),
    ...(onRequest !== undefined && !route.open && { onRequest }),
    ...((route.method === '*' || route.method === 'OPTIONS') && { schema: hidden() }),
    handler: async (request, reply) => {
      if (route.bodyLimit === 0) bound(request.raw, reply.raw)
      return send(reply, await route.handle(new Received(request as OwnedRequest, reply)))
    },
  })
}

/** Hides routes from @fastify/swagger: refusals would hide the application's own routes in its document. */
function hidden(): FastifySchema {
  // Made each time: Fastify writes into it.
  const schema: FastifySchema & { readonly hide: true } = { hide: true }
  return schema
}

/** The owner of the operation. */
const OWNER = Symbol('waybill.owner')

/** The operator of a request for operators. */
const OPERATOR = Symbol('waybill.operator')

interface OwnedRequest extends FastifyRequest {
  [OWNER]: string
  [OPERATOR]?: OperatorIdentity | undefined
}

function isName(answer: string | HttpResponse): answer is string {
  return typeof answer === 'string'
}

function originOf({ headers, socket }: FastifyRequest): Origin {
  return { headers, address: socket.remoteAddress }
}

/** Stores the caller in the request, or returns the answer that refuses the request. */
type PutCaller = (request: FastifyRequest) => Promise<HttpResponse | undefined>

function named<Caller>(
  name: typeof OWNER | typeof OPERATOR,
  identify: (request: FastifyRequest) => Promise<Caller | HttpResponse>,
  isCaller: (answer: Caller | HttpResponse) => answer is Caller,
): PutCaller {
  return async request => {
    const caller = await identify(request)
    if (!isCaller(caller)) return caller
    Object.assign(request, { [name]: caller })
    return undefined
  }
}

type OnRequest = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>

/** Identifies the caller before the body is read, so that the body of a refused caller is not kept in memory. */
function identifyFirst(put: PutCaller, refuse: Refuse): OnRequest {
  return async (request, reply) => {
    const refused = await put(request)
    if (refused === undefined) return undefined
    bound(request.raw, reply.raw)
    return refuse(request, reply, refused)
  }
}

/**
 * A request as Fastify received it. A class, since each object of a literal with getters has a shape
 * of its own, which keeps all that belongs to the request until the next full garbage collection.
 */
class Received implements HttpRequest {
  readonly headers: HttpRequest['headers']
  readonly method: string
  readonly params: HttpRequest['params']
  readonly body: string | undefined
  readonly owner: string
  readonly operator: OperatorIdentity | undefined
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply

  constructor(request: OwnedRequest, reply: FastifyReply) {
    this.headers = request.headers
    this.method = request.method
    this.params = request.params as Record<string, string>
    this.body = request.body as string | undefined
    this.owner = request[OWNER]
    this.operator = request[OPERATOR]
    this.#request = request
    this.#reply = reply
  }

  // Made on first use: most requests need neither.
  get query(): URLSearchParams {
    return queryOf(this.#request)
  }

  get signal(): AbortSignal {
    return signalOf(this.#reply)
  }
}

/** One shared reason: otherwise each abort would create an error with a stack. */
const GONE = new Error('The client has gone, or has its answer.')

/**
 * Aborted when the answer is done or the client has disconnected. The end of the request itself shows neither: it only
 * means the end of the body.
 */
function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  if (reply.raw.destroyed) controller.abort(GONE)
  else reply.raw.once('close', () => controller.abort(GONE))
  return controller.signal
}

function queryOf(request: FastifyRequest): URLSearchParams {
  const at = request.url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : request.url.slice(at + 1))
}

function send(reply: FastifyReply, { status, headers: own, body }: HttpResponse): FastifyReply {
  const present = withPresent(own, name => reply.getHeader(name))
  const headers = forVersion(present, reply.request.raw.httpVersionMajor)
  // Fastify would send null as JSON, and would read a stream to its end for a HEAD, although no body is sent.
  const isShown = typeof body === 'string' || reply.request.method !== 'HEAD'
  // Without a body, Fastify would set the length of a HEAD's answer to 0. With a stream it sets none.
  if (reply.request.method === 'HEAD' && 'Content-Length' in headers) {
    return reply.code(status).headers(headers).send(Readable.from([]))
  }
  if (body === null || !isShown) return reply.code(status).headers(headers).send()
  const payload = typeof body === 'string' ? body : Readable.from(body)
  return reply.code(status).headers(headers).send(payload)
}

/** The original text is stored and fingerprinted; Fastify's parser would discard it. */
function readBodiesAsText(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  for (const type of [JSON_MEDIA_TYPE, NDJSON_MEDIA_TYPE]) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
      assertUncoded(request.headers['content-encoding'])
      return readUtf8(body)
    })
  }
}

/** The type of bodies that are not read. */
const UNREAD = 'application/octet-stream'

/** If a route accepts no body, the body is not read, and its type and coding do not matter. */
function leaveBodies(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(UNREAD, async () => undefined)
}

/** Before it selects a parser, Fastify refuses an invalid type, and a QUERY without a type. */
async function nameUnread(request: FastifyRequest): Promise<void> {
  request.headers['content-type'] = UNREAD
}

/** Ends the connection after the answer if the body does not end. Node itself discards a body that ends soon. */
function bound(message: IncomingMessage, response: ServerResponse): void {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = message.headers
  if (coding === undefined && Number(length) <= MAX_DRAINED_BYTES) return
  void drainBody(message).then(() => {
    if (message.complete) return
    message.pause()
    if (response.writableFinished) message.destroy()
    else response.once('finish', () => message.destroy())
  })
}

/**
 * Turns a thrown error, or a refusal of Fastify, into an answer of this API. The details of a server fault are only
 * logged.
 */
function toAnswer(
  error: FastifyError & ErrorStatus,
  reply: FastifyReply,
  log: Pick<Logger, 'warn' | 'error'>,
): HttpResponse {
  if (error instanceof ProblemError) return errorResponse(error)
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return problemResponse(problem('body-too-large'))
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return problemResponse(problem('unsupported-media-type'))
  }
  const status = errorStatus(error, reply)
  // 503 sheds load: a plugin has decided so, and it is not a fault.
  if (status === 503) log.warn({ err: error }, 'A request was refused')
  else if (status >= 500) log.error({ err: error }, 'A request met an error')
  const answer = problemResponse(refusalOf(error, status))
  return { ...answer, headers: { ...expected(status, reply), ...error.headers, ...answer.headers } }
}

/** Fastify's own refusals, such as for a path that is too long, concern the request, whatever their status. */
function refusalOf({ code, message }: FastifyError, status: number): Problem {
  const known = statusProblem(status, message)
  const isOwn = known.code === undefined && status < 500 && /^FST_/.test(code ?? '')
  return isOwn ? { ...problem('invalid-request', message), status } : known
}

/** The properties of errors of hooks and plugins that affect the answer, as Fastify reads them. */
interface ErrorStatus {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** The status of the error, or else the status that a hook has set before. */
function errorStatus({ statusCode, status }: FastifyError & ErrorStatus, reply: FastifyReply): number {
  const code = statusCode ?? status ?? reply.statusCode
  return Number.isInteger(code) && code >= 400 && code <= 599 ? code : 500
}

/** The header that belongs to a status, if no hook has set it. */
function expected(status: number, reply: FastifyReply): Record<string, string> {
  if ((status === 429 || status === 503) && !reply.hasHeader('Retry-After')) return { 'Retry-After': '1' }
  return status === 401 && !reply.hasHeader('WWW-Authenticate') ? { 'WWW-Authenticate': 'Bearer' } : {}
}
