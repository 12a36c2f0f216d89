/**
 * The HTTP API of a composition, whatever the server: routes that take a request as a plain value
 * and answer with one.
 */

import { type Duration, durationMs, SECOND } from '../model/duration.ts'
import {
  BOOLEAN,
  type Check,
  type Checks,
  checkOptions,
  OBJECT,
  oneOf,
  type RenamedOptions,
  UNCHECKED,
  withMethods,
} from '../model/options.ts'
import { ProblemError, problem, problemError } from '../model/problem.ts'
import { DIALECT_NAMES, type DialectName } from '../openapi/dialects.ts'
import { checkOpenApiInfo, type OpenApiInfo } from '../openapi/openapi.ts'
import { MAX_EVENT_BYTES } from '../service/events.ts'
import type { Operations } from '../service/operations.ts'
import type { Waybill } from '../waybill.ts'
import { adminRoutes } from './admin/admin.ts'
import { consoleRoutes } from './admin/console-files.ts'
import type { AdminViewOptions } from './admin/operator-identity.ts'
import { createFinalize, type Finalize } from './answers.ts'
import { listAttempts } from './attempts.ts'
import { batchResults } from './batch-results.ts'
import { conditional } from './conditional.ts'
import type { CorsOptions } from './cors.ts'
import { listDeliveries, redeliver } from './deliveries.ts'
import { Description } from './description.ts'
import { accepted } from './dialects/accepted.ts'
import { azure } from './dialects/azure.ts'
import type { Dialect } from './dialects/dialect.ts'
import { redirect } from './dialects/redirect.ts'
import { list } from './listing.ts'
import {
  errorResponse,
  type HttpRequest,
  type HttpResponse,
  header,
  json,
  NDJSON_MEDIA_TYPE,
  problemResponse,
} from './message.ts'
import { Monitor, namesCancel, namesRetry } from './monitor.ts'
import { Resource } from './resource.ts'
import { type OwnRoute, type Route, route } from './route.ts'
import { StatusAnswers } from './status-answers.ts'
import type { Surface } from './surface.ts'
import { readWait, sendCallback, sendEvent } from './wait-events.ts'

const DIALECTS: Record<DialectName, Dialect> = { redirect, accepted, azure }

const DIALECT: Check = {
  expected: `${oneOf(...DIALECT_NAMES).expected}, or a dialect with the methods status, cancel and describe`,
  test: dialect =>
    oneOf(...DIALECT_NAMES).test(dialect) || withMethods('a dialect', 'status', 'cancel', 'describe').test(dialect),
}

const SURFACES: Check = {
  expected: 'a list of surfaces, such as mcp()',
  test: surfaces => Array.isArray(surfaces) && surfaces.every(withMethods('a surface', 'routes').test),
}

/** How an API is put on the wire. */
export interface ApiOptions {
  /** What comes before every URL that is sent to a client: the mount prefix, or a public base URL with it. Default: nothing. */
  readonly base?: string | undefined
  /**
   * Whether callers may be refused: if so, the OpenAPI description has 401 and 403. Default: true if `openapi` has
   * `security`.
   */
  readonly authenticated?: boolean | undefined
  /**
   * How status URLs answer. `redirect`: 200 until the operation finishes, then 303 to its result. `accepted`: 202, then
   * the result itself; clients can also request it with `Prefer: respond-async`. `azure`: always 200, as Azure's status
   * monitors answer. Or a {@link Dialect} of your own. Default `redirect`.
   */
  readonly dialect?: DialectName | Dialect | undefined
  /**
   * Whether `GET /{type}` lists the caller's operations. Turn it on if `principal` identifies callers. Default false.
   */
  readonly listing?: boolean | undefined
  /**
   * Whether `GET /operations/{id}/attempts` shows the owner of an operation each attempt: the engine and its name for
   * the execution, the times, and why the attempt ended, such as the exit code of its container. Default false.
   */
  readonly exposeAttempts?: boolean | undefined
  /** The longest time that a request may wait for a change, up to 200 s. Default 60 s. */
  readonly maxWait?: Duration | undefined
  /** Whether `GET /metrics` writes out the metrics in the Prometheus text format. Default true. */
  readonly metrics?: boolean | undefined
  /**
   * What `GET /openapi.json` and `GET /docs` say about the API as a whole, such as its title; false: both are missing.
   */
  readonly openapi?: OpenApiInfo | false | undefined
  /** Which pages of other origins may use the API. Default: none. */
  readonly cors?: CorsOptions | undefined
  /** What the admin API under `/admin` and the console under `/console` show. Default: both are missing. */
  readonly admin?: AdminViewOptions | undefined
  /** Further ways to call the operations, such as `mcp()` of `waybill/mcp`. Default: none. */
  readonly surfaces?: readonly Surface[] | undefined
}

/** What the options of an API must be. */
export const API_OPTIONS: Checks<ApiOptions> = {
  base: { expected: 'a string', test: base => typeof base === 'string' },
  authenticated: BOOLEAN,
  dialect: DIALECT,
  listing: BOOLEAN,
  exposeAttempts: BOOLEAN,
  maxWait: UNCHECKED,
  metrics: BOOLEAN,
  openapi: { expected: 'false or an object', test: openapi => openapi === false || OBJECT.test(openapi) },
  cors: OBJECT,
  admin: OBJECT,
  surfaces: SURFACES,
}

/** Former names of options. */
export const RENAMED_API_OPTIONS: RenamedOptions<ApiOptions> = { attempts: 'exposeAttempts', longestWait: 'maxWait' }

const RESERVED = new Set(['operations', 'healthz', 'readyz', 'metrics', 'docs', 'admin', 'console'])

/**
 * Makes the routes of every operation type of a composition, and those around them.
 *
 * @throws {TypeError} for options that cannot be right, or an operation type whose name is a path of the API's own
 *
 * @example
 * for (const { method, path } of createRoutes(composition)) console.log(method, path)
 */
export function createRoutes(waybill: Waybill, options: ApiOptions = {}): readonly Route[] {
  checkOptions('createRoutes()', options, API_OPTIONS, RENAMED_API_OPTIONS)
  if (options.openapi) checkOpenApiInfo(options.openapi)
  const base = (options.base ?? '').replace(/\/+$/, '')
  const { operations, webhooks } = waybill
  const maxWaitMs = durationMs('maxWait', options.maxWait ?? 60 * SECOND, { max: 200 * SECOND })
  const { dialect: given = 'redirect' } = options
  const dialect = typeof given === 'string' ? DIALECTS[given] : given
  const further = surfaceRoutes(waybill, { ...options, base })
  const reserved = new Set([...RESERVED, ...further.map(({ path }) => path.split('/')[1])])
  const resources = new Map<string, Resource>()
  const answers = new StatusAnswers()
  for (const type of operations.types.values()) {
    if (reserved.has(type.name))
      throw new TypeError(`An operation type cannot be named "${type.name}": the API uses that path itself.`)
    resources.set(type.name, new Resource(type, { operations, webhooks, base, dialect, answers, maxWaitMs }))
  }
  const own = [...resources.values()].flatMap(resource => resourceRoutes(waybill, resource, { ...options, base }))
  const metrics = options.metrics === false ? [] : [metricsRoute(waybill)]
  const events = eventRoutes(operations, base)
  const history = options.exposeAttempts ? [attemptsRoute(operations)] : []
  const monitor = [
    ...monitorRoutes(new Monitor(operations, resources)),
    ...events,
    ...history,
    ...deliveryRoutes(waybill),
  ]
  const description = descriptionRoutes(waybill, { ...options, base })
  const routes = [...own, ...monitor, ...healthRoutes(waybill), ...metrics, ...description, ...further]
  const admin = options.admin === undefined ? [] : operatorRoutes(waybill, options.admin, base)
  return [
    ...completed(waybill, routes, createFinalize(waybill, options.cors)),
    // Pages of other origins may not use the admin API.
    ...completed(waybill, admin, createFinalize(waybill)),
  ]
}

function operatorRoutes(waybill: Waybill, options: AdminViewOptions, base: string): OwnRoute[] {
  const shown = options.console === false ? [] : consoleRoutes(base)
  return [...adminRoutes(waybill, options, base), ...shown]
}

function completed(waybill: Waybill, routes: readonly OwnRoute[], finalize: Finalize): Route[] {
  return withOtherMethods(routes).map(one => ({
    ...one,
    handle: async request => finalize(request, await guard(waybill, one, request)),
  }))
}

function resourceRoutes({ operations }: Waybill, resource: Resource, options: ApiOptions): Route[] {
  const { name, policy } = resource.type
  const path = `${options.base}/${name}`
  const isBatch = resource.type.batchOf !== undefined
  const { base = '' } = options
  const results = route('GET', `/${name}/:id/results`, request =>
    batchResults({ operations, type: resource.type, base }, request),
  )
  const listing = route('GET', `/${name}`, request => list({ operations, resource, path }, request))
  return [
    route('POST', `/${name}`, request => resource.submit(request), { bodyLimit: policy.bodyLimit, ndjson: isBatch }),
    ...(isBatch ? [results] : []),
    ...(options.listing ? [listing] : []),
    route('GET', `/${name}/status/:id`, request => resource.status(request)),
    route('DELETE', `/${name}/status/:id`, request => resource.cancel(request)),
    route('GET', `/${name}/:id`, request => resource.result(request)),
  ]
}

function monitorRoutes(monitor: Monitor): OwnRoute[] {
  // Not every router allows text after a path parameter, so the `:cancel` at the end is parsed here.
  const namesAct = (request: HttpRequest) => namesCancel(request) || namesRetry(request)
  const isPlain = (request: HttpRequest) => !namesAct(request)
  const act = (request: HttpRequest) => (namesRetry(request) ? monitor.retry(request) : monitor.cancel(request))
  return [
    route('GET', '/operations/:id', request => monitor.status(request), { fits: isPlain }),
    route('DELETE', '/operations/:id', request => monitor.delete(request), { fits: isPlain }),
    route('POST', '/operations/:id', act, { fits: namesAct }),
  ]
}

function eventRoutes(operations: Operations, base: string): Route[] {
  const event = '/operations/:id/events/:name'
  const callback = '/operations/:id/callbacks/:token'
  const bodyLimit = MAX_EVENT_BYTES
  return [
    route('GET', event, request => readWait(operations, base, request)),
    route('POST', event, request => sendEvent(operations, request), { bodyLimit }),
    route('POST', callback, request => sendCallback(operations, request), { bodyLimit, open: true }),
  ]
}

function attemptsRoute(operations: Operations): Route {
  return route('GET', '/operations/:id/attempts', request => listAttempts(operations, request))
}

function deliveryRoutes({ webhooks }: Waybill): Route[] {
  if (webhooks === undefined) return []
  return [
    route('GET', '/operations/:id/deliveries', request => listDeliveries(webhooks, request)),
    route('POST', '/operations/:id/deliveries', request => redeliver(webhooks, request)),
  ]
}

function descriptionRoutes(
  { operations, webhooks, blobs }: Waybill,
  { openapi = {}, cors: _, admin: __, surfaces: ___, ...options }: ApiOptions,
): Route[] {
  if (openapi === false) return []
  const about = { ...openapi, ...options, allowWebhooks: webhooks !== undefined, blobs: blobs !== undefined }
  const description = new Description([...operations.types.values()], about)
  return [
    route('GET', '/openapi.json', () => description.json(), { open: true }),
    route('GET', '/docs', () => description.page(), { open: true }),
  ]
}

function surfaceRoutes(
  waybill: Waybill,
  { base = '', authenticated = false, cors, surfaces = [] }: ApiOptions,
): Route[] {
  return surfaces.flatMap(surface => surface.routes({ waybill, base, authenticated, cors }))
}

function metricsRoute({ metrics }: Waybill): Route {
  const handle = async (): Promise<HttpResponse> => {
    const headers = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }
    return { status: 200, headers, body: await metrics.text() }
  }
  return route('GET', '/metrics', handle, { open: true })
}

function healthRoutes(waybill: Waybill): Route[] {
  const health = async () => {
    const stalled = waybill.stalled()
    return stalled.length === 0 ? json(200, { status: 'ok' }) : json(503, { status: 'stalled', loops: stalled })
  }
  const readiness = async () => {
    const ready = await waybill.operations.ready()
    return ready ? json(200, { status: 'ready' }) : json(503, { status: 'unavailable' })
  }
  return [route('GET', '/healthz', health, { open: true }), route('GET', '/readyz', readiness, { open: true })]
}

/** The routes, and for each path the answers to OPTIONS and to methods that it does not have. */
function withOtherMethods(routes: readonly OwnRoute[]): Route[] {
  return [...Map.groupBy(routes, ({ path }) => path)].flatMap(([path, known]) => {
    const allow = (request: HttpRequest) => ({ Allow: allowed(known, request) })
    const refuse = async (request: HttpRequest) => problemResponse(problem('method-not-allowed'), allow(request))
    const options = async (request: HttpRequest) => ({ status: 204, headers: allow(request), body: null })
    const own = known.map(({ fits, ...one }) =>
      fits === undefined
        ? one
        : { ...one, handle: (request: HttpRequest) => (fits(request) ? one.handle(request) : refuse(request)) },
    )
    return [...own, route('OPTIONS', path, options, { open: true }), route('*', path, refuse, { open: true })]
  })
}

/** The methods of what a request names (RFC 9110, 10.2.1). */
function allowed(known: readonly OwnRoute[], request: HttpRequest): string {
  const methods = known.filter(({ fits }) => fits?.(request) ?? true).map(({ method }) => method)
  return [...methods, 'OPTIONS'].join(', ').replace('GET', 'GET, HEAD')
}

/** Servers read lines of JSON for every route, but few routes accept them. */
function assertNoLines(request: HttpRequest): void {
  if (NDJSON_MEDIA_TYPE.test(header(request, 'Content-Type') ?? '')) throw problemError('unsupported-media-type')
}

/**
 * Turns a thrown error into a problem. An error that is not a `ProblemError` is our fault, and its details are not sent
 * to the client.
 */
async function guard(waybill: Waybill, { method, handle, ndjson }: Route, request: HttpRequest): Promise<HttpResponse> {
  try {
    if (!ndjson && request.body !== undefined) assertNoLines(request)
    const answer = await handle(request)
    return method === 'GET' ? conditional(request, answer) : answer
  } catch (error) {
    if (!(error instanceof ProblemError)) {
      waybill.logger.error({ err: error }, 'A request met an error')
      return problemResponse(problem('internal-error'))
    }
    if (error.cause !== undefined && error.problem.status >= 500) {
      waybill.logger.error({ err: error.cause }, error.problem.title)
    }
    return errorResponse(error)
  }
}
