/**
 * The operations as tools of the Model Context Protocol: agents call them, and a call that takes longer than a moment
 * becomes a task. It supports revision 2026-07-28 with the extension for tasks, and the tools of earlier revisions, all
 * without sessions.
 *
 * @example
 * await app.register(waybill, { operations: [orders], store, worker: { handlers: './processor.ts' }, mcp: true })
 */

import { type Duration, SECOND, toMs } from '../../model/duration.ts'
import {
  type Checks,
  checkOptions,
  duration,
  FUNCTION,
  OBJECT,
  required,
  STRING,
  STRINGS,
} from '../../model/options.ts'
import { packageVersion } from '../../util/version.ts'
import type { HttpResponse } from '../message.ts'
import { json } from '../message.ts'
import type { Route } from '../route.ts'
import type { Surface, SurfaceContext } from '../surface.ts'
import { allowedOrigins, Endpoint, type EndpointOptions, type Method } from './endpoint.ts'
import { type Members, stringParam } from './json-rpc.ts'
import { hasLegacyTasks, LEGACY_TASKS, LegacyTasks } from './legacy-tasks.ts'
import { LEGACY, MODERN, TASKS } from './request.ts'
import { type OperationOf, Resources } from './resources.ts'
import { SessionStreams } from './session-streams.ts'
import { Sessions } from './sessions.ts'
import { Subscriptions } from './subscriptions.ts'
import { Tasks } from './tasks.ts'
import { Calls } from './tool-calls.ts'
import { Tools } from './tools.ts'

/** Which authorization servers issue tokens for the endpoint (RFC 9728). */
export interface McpAuthorization {
  /** Their issuers, such as `https://login.example.com`. */
  readonly servers: readonly string[]
  /** The scopes that a token needs. Default: none. */
  readonly scopes?: readonly string[] | undefined
}

/** A method of your own. `owner` is the caller, as `principal` names it. */
export type McpMethod = (
  params: Readonly<Record<string, unknown>>,
  caller: { readonly owner: string; readonly signal: AbortSignal },
) => object | Promise<object>

/**
 * Names the operation that makes a resource of your own, by its id; undefined if there is no such resource for this
 * caller.
 */
export type McpResourceOperation = OperationOf

/** How operations are offered to agents. */
export interface McpOptions {
  /** The name of the server. Default `waybill`. */
  readonly name?: string | undefined
  /** The version of the server. Default: that of Waybill. */
  readonly version?: string | undefined
  /** Instructions for the model about the server as a whole. Default: none. */
  readonly instructions?: string | undefined
  /**
   * Further methods that the endpoint answers, such as `prompts/list` and `resources/read`, by name. `ProblemError` is answered
   * as an error. Default: none.
   */
  readonly methods?: Readonly<Record<string, McpMethod>> | undefined
  /** The capabilities for these methods, such as `{ prompts: {} }`. Default: none. */
  readonly capabilities?: Readonly<Record<string, object>> | undefined
  /**
   * Lets clients subscribe to resources of your own: names the operation behind a URI, whose changes are reported as
   * updates. Default: clients cannot subscribe.
   */
  readonly resourceOperation?: McpResourceOperation | undefined
  /** How long a call waits for its result before it becomes a task, up to 30 s. Default 500 ms. */
  readonly taskAfter?: Duration | undefined
  /**
   * Tells clients where to get a token: 401 then names a document that lists these servers. Needs `principal`, which
   * verifies the tokens, and `publicUrl`. Default: clients are not told.
   */
  readonly authorization?: McpAuthorization | undefined
}

const OPTIONS: Checks<McpOptions> = {
  name: STRING,
  version: STRING,
  instructions: STRING,
  methods: {
    expected: 'an object of functions',
    test: methods => OBJECT.test(methods) && Object.values(methods as object).every(FUNCTION.test),
  },
  capabilities: OBJECT,
  resourceOperation: FUNCTION,
  taskAfter: duration({ max: 30 * SECOND }),
  authorization: OBJECT,
}
const AUTHORIZATION: Checks<McpAuthorization> = { servers: required(STRINGS), scopes: STRINGS }

/** How long the tool list may be cached, in milliseconds. */
const LIST_TTL_MS = 5 * 60_000
/** How many bytes a message may have besides the input. */
const ENVELOPE_BYTES = 64 * 1024
const PATH = '/mcp'
const METADATA_PATH = `/.well-known/oauth-protected-resource${PATH}`

/**
 * Makes the surface, for `createRoutes`. Servers make it from their option `mcp`.
 *
 * @throws {TypeError} for an unknown option, or an impossible one
 *
 * @example
 * const routes = createRoutes(composition, { surfaces: [mcp({ name: 'orders' })] })
 */
export function mcp(options: McpOptions = {}): Surface {
  checkOptions('mcp', options, OPTIONS)
  if (options.authorization !== undefined) checkOptions('mcp.authorization', options.authorization, AUTHORIZATION)
  return { routes: context => routesOf(options, context) }
}

function routesOf(options: McpOptions, context: SurfaceContext): readonly Route[] {
  const { waybill, base, cors } = context
  const tools = new Tools(waybill.operations)
  const serverInfo = { name: options.name ?? 'waybill', version: options.version ?? packageVersion() }
  const endpoint = new Endpoint({
    ...methodsOf(options, context, tools, serverInfo),
    serverInfo,
    origins: allowedOrigins(cors, base),
    logger: waybill.logger,
  })
  const route: Route = {
    method: 'POST',
    path: PATH,
    bodyLimit: tools.bodyLimit + ENVELOPE_BYTES,
    open: false,
    handle: request => endpoint.answer(request),
  }
  const { authorization, resourceOperation } = options
  const listen: Route = { ...route, method: 'GET', bodyLimit: 0, handle: request => endpoint.listen(request) }
  const routes = resourceOperation === undefined ? [route] : [route, listen]
  return authorization === undefined ? routes : withMetadata(routes, authorization, base)
}

function methodsOf(
  { taskAfter, instructions, capabilities, methods = {}, resourceOperation }: McpOptions,
  { waybill: { operations, store }, base, authenticated }: SurfaceContext,
  tools: Tools,
  serverInfo: Members,
): Pick<EndpointOptions, 'modern' | 'legacy' | 'respond' | 'open'> {
  const tasks = new Tasks(operations, tools, base)
  const calls = new Calls({ operations, tools, tasks, base, taskAfterMs: toMs(taskAfter ?? 500) })
  const legacyTasks = new LegacyTasks(calls, tasks)
  const resources = resourceOperation && new Resources(operations, resourceOperation)
  const streams = resources && new SessionStreams(operations, resources, new Sessions(store))
  const subscriptions = new Subscriptions(operations, tasks, resources)
  const further = resources
    ? { ...capabilities, resources: { ...capabilities?.resources, subscribe: true } }
    : capabilities
  const cacheable = { ttlMs: LIST_TTL_MS, cacheScope: authenticated ? 'private' : 'public' }
  const call: Method = request => calls.call(request)
  // Without sessions a log level cannot be stored, so clients of these revisions get every line.
  const logging = tools.exposeLogs ? { logging: {} } : {}
  const modern: Readonly<Record<string, Method>> = {
    'server/discover': async () => ({
      supportedVersions: [MODERN],
      capabilities: { ...further, tools: {}, extensions: { [TASKS]: {} } },
      instructions,
      ...cacheable,
    }),
    'tools/list': async () => ({ tools: await tools.describe(() => true), ...cacheable }),
    'tools/call': call,
    'tasks/get': request => tasks.get(request),
    'tasks/update': request => tasks.update(request),
    'tasks/cancel': request => tasks.cancel(request),
    'subscriptions/listen': request => subscriptions.listen(request),
  }
  const legacy: Readonly<Record<string, Method>> = {
    initialize: async ({ params }) => {
      const wanted = stringParam(params, 'protocolVersion')
      const protocolVersion = LEGACY.includes(wanted) ? wanted : LEGACY[0]
      const tasks = protocolVersion === LEGACY[0] ? { tasks: LEGACY_TASKS } : {}
      return {
        protocolVersion,
        capabilities: { ...further, ...logging, ...tasks, tools: {} },
        serverInfo,
        instructions,
      }
    },
    ping: async () => ({}),
    'tools/list': async request => ({
      tools: hasLegacyTasks(request)
        ? await tools.describeForLegacyTasks()
        : await tools.describe(({ task }) => task !== 'required'),
    }),
    'tools/call': request => (request.params.task === undefined ? calls.call(request) : legacyTasks.call(request)),
    'tasks/get': request => legacyTasks.get(request),
    'tasks/result': request => legacyTasks.result(request),
    'tasks/cancel': request => legacyTasks.cancel(request),
    ...(streams && {
      'resources/subscribe': request => streams.subscribe(request),
      'resources/unsubscribe': request => streams.unsubscribe(request),
    }),
    ...(tools.exposeLogs && { 'logging/setLevel': async () => ({}) }),
  }
  for (const name of Object.keys(methods)) {
    if (name in modern || name in legacy)
      throw new TypeError(`mcp.methods: the server has the method "${name}" itself.`)
  }
  const own = Object.entries(methods).map(([name, method]) => [name, toMethod(name, method)] as const)
  return {
    modern: { ...modern, ...Object.fromEntries(own) },
    legacy: { ...legacy, ...Object.fromEntries(own) },
    respond: (id, result, owner) => tasks.respond(id, result, owner),
    open: streams && (http => streams.open(http)),
  }
}

/** Wraps a method of the user's own. A result that names no cache time is not cached. */
function toMethod(name: string, method: McpMethod): Method {
  const isCacheable = /\/list$|^resources\/read$/.test(name)
  return async ({ params, http: { owner, signal }, isModern }) => {
    const hints = isModern && isCacheable ? { ttlMs: 0, cacheScope: 'private' } : {}
    return { ...hints, ...(await method(params, { owner, signal })) }
  }
}

/**
 * The routes with authorization (RFC 9728): a 401 of the endpoint names the metadata document, and the other route
 * serves it.
 */
function withMetadata(routes: readonly Route[], { servers, scopes }: McpAuthorization, base: string): readonly Route[] {
  if (URL.parse(base) === null)
    throw new TypeError('mcp.authorization needs the option "publicUrl": the metadata names it.')
  const metadata = { resource: base + PATH, authorization_servers: servers, scopes_supported: scopes }
  const scope = scopes === undefined ? '' : `, scope="${scopes.join(' ')}"`
  const answer: HttpResponse = json(200, { ...metadata, bearer_methods_supported: ['header'] })
  const challenge = `Bearer resource_metadata="${base}${METADATA_PATH}"${scope}`
  return [
    ...routes.map(route => ({ ...route, challenge })),
    { method: 'GET', path: METADATA_PATH, bodyLimit: 0, open: true, handle: async () => answer },
  ]
}
