/**
 * Generates an OpenAPI 3.1 description of the API from the operation types: every response with its
 * headers and problems, links from an operation to its status, and webhooks as callbacks.
 *
 * @example
 * writeFileSync('openapi.json', JSON.stringify(openApiDocument([orders], { title: 'Orders', version: '1.0.0' })))
 */
import { type Duration, durationMs, SECOND } from '../model/duration.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { BOOLEAN, type Checks, checkOptions, OBJECT, oneOf, STRING, UNCHECKED, withMethods } from '../model/options.ts'
import { HEADER_COMPONENTS, headers, PARAMETERS, SCHEMAS } from './components.ts'
import { DIALECT_DESCRIPTIONS, DIALECT_NAMES, type DialectName } from './dialects.ts'
import { withMedia } from './media-types.ts'
import {
  type Components,
  type Contact,
  type Described,
  type DescribedDialect,
  type OpenApiDocument,
  type OperationObject,
  type PathItem,
  type ResponseObject,
  type SecurityScheme,
  schemaRef,
} from './model.ts'
import { resourcePaths, schemasOf } from './resource-paths.ts'
import { EXAMPLE_COMPONENTS } from './responses.ts'
import { ATTEMPT_PATHS, DELIVERY_PATHS, EVENT_PATHS, MONITOR_PATHS, servicePaths, TAGS } from './service-paths.ts'

/** General information about an API. */
export interface OpenApiInfo {
  /** Default `Operations`. */
  readonly title?: string | undefined
  /** The version of the API, not of OpenAPI. Default `1.0.0`. */
  readonly version?: string | undefined
  /** What the API is for, in CommonMark. Default: a paragraph that explains asynchronous operations. */
  readonly description?: string | undefined
  /** Whom to contact. Default: a contact with the title as its name. */
  readonly contact?: Contact | undefined
  /** How callers authenticate, by name. Any one of them is enough. Default: none is described. */
  readonly security?: Readonly<Record<string, SecurityScheme>> | undefined
}

/** Options of {@link openApiDocument}: those of the API that it describes. */
export interface OpenApiOptions extends OpenApiInfo {
  /** The beginning of every path: a mount prefix, or a public base URL. Default: empty. */
  readonly base?: string | undefined
  /** How status URLs answer: the name of a built-in dialect, or one of your own. Default `redirect`. */
  readonly dialect?: DialectName | DescribedDialect | undefined
  readonly listing?: boolean | undefined
  /** Whether the API has `GET /operations/{id}/attempts`. Default false. */
  readonly exposeAttempts?: boolean | undefined
  /** Whether the API can have results that are not JSON. Default false. */
  readonly blobs?: boolean | undefined
  /** Whether the API sends webhooks for the types that allow them. Default: true if a type allows them. */
  readonly allowWebhooks?: boolean | undefined
  readonly maxWait?: Duration | undefined
  readonly metrics?: boolean | undefined
  /** Whether the API answers 401 to unauthenticated callers and 403 where access is denied. Default: true if `security` is set. */
  readonly authenticated?: boolean | undefined
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
  base: { expected: 'a string', test: base => typeof base === 'string' },
  dialect: {
    expected: `${oneOf(...DIALECT_NAMES).expected}, or an object with the method describe`,
    test: dialect => oneOf(...DIALECT_NAMES).test(dialect) || withMethods('a dialect', 'describe').test(dialect),
  },
  listing: BOOLEAN,
  exposeAttempts: BOOLEAN,
  blobs: BOOLEAN,
  allowWebhooks: BOOLEAN,
  maxWait: UNCHECKED,
  metrics: BOOLEAN,
  authenticated: BOOLEAN,
}

/**
 * Checks the option `openapi`.
 *
 * @throws {TypeError} for an unknown or invalid member; the message names it
 */
export function checkOpenApiInfo(info: OpenApiInfo): void {
  checkOptions('openapi', info, INFO)
}

const DESCRIPTION =
  'A request is answered with 202 as soon as it is stored durably; the work continues in the background. ' +
  'The URL in Location shows its status, and redirects to its result.'

/**
 * Generates the OpenAPI 3.1 description of an API.
 *
 * @param types the operation types of the API. Their schemas appear as JSON Schema where they offer it; one that does
 * not appears as a schema that allows everything.
 * @throws {TypeError} for an unknown or invalid option; the message names it
 *
 * @example
 * writeFileSync('openapi.json', JSON.stringify(openApiDocument([orders], { title: 'Orders' })))
 */
export function openApiDocument(types: readonly AnyOperationType[], options: OpenApiOptions = {}): OpenApiDocument {
  checkOptions('openApiDocument()', options, OPTIONS)
  const { title = 'Operations', security = {}, metrics = true } = options
  const schemas = Object.assign({}, ...types.map(schemasOf))
  const { allowWebhooks: webhooks = types.some(({ policy }) => policy.allowWebhooks) } = options
  const api = { ...readOptions(options), webhooks, schemas }
  const around = {
    ...MONITOR_PATHS,
    ...EVENT_PATHS,
    ...(options.exposeAttempts && ATTEMPT_PATHS),
    ...(webhooks && DELIVERY_PATHS),
    ...servicePaths({ metrics }),
  }
  const own: Record<string, PathItem> = Object.assign({}, ...types.map(type => resourcePaths(type, api)))
  const paths = { ...(options.blobs ? withMedia(own, types) : own), ...around }
  const secured = Object.keys(security).length > 0
  const refused = (options.authenticated ?? secured) ? mapOperations(paths, withRefusals) : paths
  const info = {
    title,
    version: options.version ?? '1.0.0',
    description: options.description ?? DESCRIPTION,
    contact: options.contact ?? { name: title },
  }
  const document = assembleDocument({ info, base: api.base, tags: tagsOf(types), paths: refused, schemas })
  if (!secured) return document
  return {
    ...document,
    components: { ...document.components, securitySchemes: security },
    security: Object.keys(security).map(name => ({ [name]: [] })),
  }
}

/** The parts of a document. */
export interface DocumentParts extends Pick<OpenApiDocument, 'info' | 'tags' | 'paths'> {
  /** The beginning of every path. */
  readonly base: string
  /** The schemas that the paths refer to, in addition to the built-in ones. */
  readonly schemas: Components['schemas']
}

/** Assembles a document. Adds the header that every response has, and the components that the document refers to. */
export function assembleDocument({ info, base, tags, paths, schemas }: DocumentParts): OpenApiDocument {
  const described = mapOperations(paths, withCacheControl)
  return {
    openapi: '3.1.0',
    info,
    servers: [{ url: base === '' ? '/' : base, description: 'This API.' }],
    tags,
    paths: described,
    components: usedComponents(described, schemas),
  }
}

function readOptions(options: OpenApiOptions): Omit<Described, 'schemas' | 'webhooks'> {
  const { base = '', dialect = 'redirect', maxWait = 60 * SECOND } = options
  return {
    base: base.replace(/\/+$/, ''),
    dialect: typeof dialect === 'string' ? { describe: DIALECT_DESCRIPTIONS[dialect] } : dialect,
    listing: options.listing ?? false,
    maxWait: durationMs('maxWait', maxWait) / SECOND,
  }
}

function tagsOf(types: readonly AnyOperationType[]): OpenApiDocument['tags'] {
  const own = types.map(({ name }) => ({ name, description: `Operations of type ${name}.` }))
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

/** Unauthenticated callers are refused by the option `principal`, with problems of its choice. */
function withRefusals(operation: OperationObject): OperationObject {
  if (operation.security !== undefined) return operation
  const refusal = (description: string): ResponseObject => {
    return { description, content: { 'application/problem+json': { schema: schemaRef('Problem') } } }
  }
  const refusals = {
    401: { ...refusal('Authentication required.'), headers: headers(['WWW-Authenticate']) },
    403: refusal('Permission denied.'),
  }
  return { ...operation, responses: { ...operation.responses, ...refusals } }
}

/** Every response has `Cache-Control`. */
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
