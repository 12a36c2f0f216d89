/**
 * A description of the API in OpenAPI 3.1, made from the operation types: every answer with its
 * headers and problems, links from an operation to its status, and webhooks as callbacks.
 *
 * @example
 * writeFileSync('openapi.json', JSON.stringify(openApiDocument([orders], { title: 'Orders', version: '1.0.0' })))
 */
import { type Duration, durationMs, SECOND } from '../model/duration.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { BOOLEAN, type Checks, checkOptions, OBJECT, oneOf, STRING, UNCHECKED } from '../model/options.ts'
import { HEADER_COMPONENTS, headers, PARAMETERS, SCHEMAS } from './components.ts'
import { withMedia } from './media-types.ts'
import {
  type Components,
  type Contact,
  type Described,
  type OpenApiDocument,
  type OperationObject,
  type PathItem,
  type ResponseObject,
  type SecurityScheme,
  schemaRef,
} from './model.ts'
import { resourcePaths, schemasOf } from './resource.ts'
import { EXAMPLE_COMPONENTS } from './responses.ts'
import { ATTEMPT_PATHS, DELIVERY_PATHS, MONITOR_PATHS, servicePaths, TAGS } from './service-paths.ts'

export type { Contact, OpenApiDocument, SecurityScheme } from './model.ts'

/** What is said of an API as a whole. */
export interface OpenApiInfo {
  /** Default `Operations`. */
  readonly title?: string
  /** The version of the API, not of OpenAPI. Default `1.0.0`. */
  readonly version?: string
  /** What the API is for; CommonMark. Default: how its operations are used. */
  readonly description?: string
  /** Whom to ask. Default: the title as a name. */
  readonly contact?: Contact
  /** How callers prove who they are, by name: each one suffices. Default: not said. */
  readonly security?: Readonly<Record<string, SecurityScheme>>
}

/** Options of {@link openApiDocument}: the same as those of the API that is described. */
export interface OpenApiOptions extends OpenApiInfo {
  /** What stands before every path: a mount prefix, or a public base URL with it. Default: nothing. */
  readonly base?: string
  readonly dialect?: 'redirect' | 'accepted'
  readonly listing?: boolean
  /** Whether `GET /operations/{id}/attempts` is there. */
  readonly attempts?: boolean
  /** Whether the composition keeps results that are no JSON. Default false. */
  readonly blobs?: boolean
  /** Whether the composition sends webhooks, for the types that allow them. Default: where one does. */
  readonly webhooks?: boolean
  readonly longestWait?: Duration
  readonly metrics?: boolean
  /** Whether callers who do not say who they are may be refused, with 401 or 403. Default: where there is `security`. */
  readonly authenticated?: boolean
}

const INFO: Checks<OpenApiInfo> = {
  title: STRING,
  version: STRING,
  description: STRING,
  contact: OBJECT,
  security: OBJECT,
}
const OPTIONS: Checks<OpenApiOptions> = {
  ...INFO,
  base: { expected: 'a text', test: base => typeof base === 'string' },
  dialect: oneOf('redirect', 'accepted'),
  listing: BOOLEAN,
  attempts: BOOLEAN,
  blobs: BOOLEAN,
  webhooks: BOOLEAN,
  longestWait: UNCHECKED,
  metrics: BOOLEAN,
  authenticated: BOOLEAN,
}

/** @throws {TypeError} for an unknown member, or one that cannot be right; the message names it */
export function checkOpenApiInfo(info: OpenApiInfo): void {
  checkOptions('openapi', info, INFO)
}

const DESCRIPTION =
  'A request is answered with 202 as soon as it is kept durably, and the work goes on after that. ' +
  'The URL in Location tells how it is, and leads to its result.'

/**
 * Describes an API.
 *
 * @param types those it serves; their schemas are taken as JSON Schema where they offer it, and allow everything else
 * @throws {TypeError} for an unknown option, or one that cannot be right; the message names it
 */
export function openApiDocument(types: readonly AnyOperationType[], options: OpenApiOptions = {}): OpenApiDocument {
  checkOptions('openApiDocument()', options, OPTIONS)
  const { title = 'Operations', security = {}, metrics = true } = options
  const schemas = Object.assign({}, ...types.map(schemasOf))
  const { webhooks = types.some(({ policy }) => policy.webhooks) } = options
  const api = { ...readOptions(options), webhooks, schemas }
  const around = {
    ...MONITOR_PATHS,
    ...(options.attempts && ATTEMPT_PATHS),
    ...(webhooks && DELIVERY_PATHS),
    ...servicePaths({ metrics }),
  }
  const own: Record<string, PathItem> = Object.assign({}, ...types.map(type => resourcePaths(type, api)))
  const paths = { ...(options.blobs ? withMedia(own, types) : own), ...around }
  const secured = Object.keys(security).length > 0
  const refused = (options.authenticated ?? secured) ? mapOperations(paths, withRefusals) : paths
  const described = mapOperations(refused, withCacheControl)
  return {
    openapi: '3.1.0',
    info: {
      title,
      version: options.version ?? '1.0.0',
      description: options.description ?? DESCRIPTION,
      contact: options.contact ?? { name: title },
    },
    servers: [{ url: api.base === '' ? '/' : api.base, description: 'Where this API is.' }],
    tags: tagsOf(types),
    paths: described,
    components: { ...usedComponents(described, schemas), ...(secured && { securitySchemes: security }) },
    ...(secured && { security: Object.keys(security).map(name => ({ [name]: [] })) }),
  }
}

function readOptions(options: OpenApiOptions): Omit<Described, 'schemas' | 'webhooks'> {
  const { base = '', dialect = 'redirect', longestWait = 60 * SECOND } = options
  return {
    base: base.replace(/\/+$/, ''),
    dialect,
    listing: options.listing ?? false,
    longestWait: durationMs('longestWait', longestWait) / SECOND,
  }
}

function tagsOf(types: readonly AnyOperationType[]): OpenApiDocument['tags'] {
  const own = types.map(({ name }) => ({ name, description: `Operations of the type ${name}.` }))
  return [...own, ...Object.entries(TAGS).map(([name, description]) => ({ name, description }))]
}

function mapOperations(
  paths: Readonly<Record<string, PathItem>>,
  change: (operation: OperationObject) => OperationObject,
): Record<string, PathItem> {
  const changed = (item: PathItem) =>
    Object.fromEntries(Object.entries(item).map(([method, operation]) => [method, change(operation)]))
  return Object.fromEntries(Object.entries(paths).map(([path, item]) => [path, changed(item)]))
}

/** Who is not known is refused by the composition, in words of its own. */
function withRefusals(operation: OperationObject): OperationObject {
  if (operation.security !== undefined) return operation
  const refusal = (description: string): ResponseObject => {
    return { description, content: { 'application/problem+json': { schema: schemaRef('Problem') } } }
  }
  const refusals = {
    401: { ...refusal('The request does not prove who asks.'), headers: headers(['WWW-Authenticate']) },
    403: refusal('Who asks may not do so.'),
  }
  return { ...operation, responses: { ...operation.responses, ...refusals } }
}

/** No answer is without it. */
function withCacheControl(operation: OperationObject): OperationObject {
  const cacheControl = headers(['Cache-Control'])
  const responses = Object.entries(operation.responses).map(([status, response]) => {
    return [status, { ...response, headers: { ...response.headers, ...cacheControl } }] as const
  })
  return { ...operation, responses: Object.fromEntries(responses) }
}

/** The components that are referred to, by the paths or by each other. */
function usedComponents(paths: unknown, schemas: Components['schemas']): Components {
  const all = {
    schemas: { ...SCHEMAS, ...schemas },
    headers: HEADER_COMPONENTS,
    parameters: PARAMETERS,
    examples: EXAMPLE_COMPONENTS,
  }
  const used = new Set<string>()
  const visit = (part: unknown): void => {
    for (const [, kind = '', name = ''] of JSON.stringify(part).matchAll(/"#\/components\/(\w+)\/([^"/]+)/g)) {
      const key = `${kind}/${name}`
      const found = (all as Readonly<Record<string, Readonly<Record<string, unknown>>>>)[kind]?.[name]
      if (found === undefined || used.has(key)) continue
      used.add(key)
      visit(found)
    }
  }
  visit(paths)
  const pick = <T>(kind: string, group: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(group).filter(([name]) => used.has(`${kind}/${name}`)))
  return {
    schemas: pick('schemas', all.schemas),
    headers: pick('headers', all.headers),
    parameters: pick('parameters', all.parameters),
    examples: pick('examples', all.examples),
  }
}
