/** Reads the OpenAPI document of the API, if it has one. */

import type { JsonSchema } from '../../model/operation-type.ts'
import { exampleOf } from '../../openapi/example.ts'
import { fieldsOf } from '../../util/fields.ts'
import type { Exchange, Requests } from './exchange.ts'

/** What the document says about the POST that starts operations. */
export interface ApiDescription {
  readonly url: string
  /** The operation object of the POST; undefined if its path is not described. */
  readonly operation: Readonly<Record<string, unknown>> | undefined
  /** An example of the request's body, as JSON. */
  readonly example: string | undefined
  /** The whole document. */
  readonly document: Readonly<Record<string, unknown>>
}

const PATHS = ['openapi.json', 'openapi/v3.json', 'swagger.json', 'api-docs', 'v3/api-docs']

/** Finds the document at the URL that the user has named, or in the usual places. */
export async function readDescription(
  requests: Requests,
  { url, method, openapi }: { readonly url: string; readonly method: string; readonly openapi?: string | undefined },
): Promise<ApiDescription | undefined> {
  const places = openapi === undefined ? placesAround(url) : [openapi]
  for (const place of places) {
    const found = await requests.send('GET', place).catch(() => undefined)
    const document = fieldsOf(found?.json)
    if (found?.status === 200 && typeof document.openapi === 'string') return describe(found, document, { url, method })
  }
  return undefined
}

/** At the root, and next to the path of the POST, since an API may be mounted below a path. */
function placesAround(url: string): string[] {
  const mounts = [new URL('/', url).href, new URL('.', url).href]
  return [...new Set(mounts.flatMap(mount => PATHS.map(path => new URL(path, mount).href)))]
}

function describe(
  { url: place }: Exchange,
  document: Readonly<Record<string, unknown>>,
  { url, method }: { readonly url: string; readonly method: string },
): ApiDescription {
  const { pathname } = new URL(url)
  const paths = Object.entries(fieldsOf(document.paths))
  const fits = paths.filter(([path]) => fitsPath(path, pathname)).sort(([a], [b]) => b.length - a.length)
  const item = fieldsOf(fits[0]?.[1])
  const operation = item[method.toLowerCase()]
  const found = operation === undefined ? undefined : fieldsOf(operation)
  return { url: place, document, operation: found, example: exampleBody(found, document) }
}

/** Whether a path such as `/orders/{id}` is the end of the URL's path: servers may add a prefix. */
function fitsPath(path: string, pathname: string): boolean {
  const pattern = path.replaceAll(/[.*+?^$()|[\]\\]/g, '\\$&').replaceAll(/\{[^}]+\}/g, '[^/]+')
  return new RegExp(`${pattern}/?$`).test(pathname)
}

function exampleBody(
  operation: Readonly<Record<string, unknown>> | undefined,
  document: Readonly<Record<string, unknown>>,
): string | undefined {
  const body = fieldsOf(dereference(operation?.requestBody, document))
  const media = Object.entries(fieldsOf(body.content)).find(([type]) => /json\b/i.test(type))?.[1]
  const { schema, example, examples } = fieldsOf(media)
  const [first] = Object.values(fieldsOf(examples))
  const value = example ?? fieldsOf(first).value ?? exampleOfSchema(schema, document)
  return value === undefined ? undefined : JSON.stringify(value)
}

function exampleOfSchema(schema: unknown, document: Readonly<Record<string, unknown>>): unknown {
  if (schema === undefined) return undefined
  const { schemas } = fieldsOf(document.components)
  return exampleOf(fieldsOf(schema), fieldsOf(schemas) as Record<string, JsonSchema>)
}

/** Resolves a reference such as `#/components/responses/Problem`. */
export function dereference(value: unknown, document: Readonly<Record<string, unknown>>): unknown {
  const { $ref } = fieldsOf(value)
  if (typeof $ref !== 'string' || !$ref.startsWith('#/')) return value
  return $ref
    .slice(2)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((at, part) => fieldsOf(at)[part], document)
}
