/**
 * Turns users' schemas into components of the document. Each `$ref` is rewritten to lead to a component, `$id` and
 * `$anchor` are removed, since nothing refers to them any longer, and definitions become components of their own.
 */

import type { JsonSchema } from '../model/operation-type.ts'
import { escapePointer } from '../model/validation.ts'
import { isObject } from '../util/fields.ts'

/** Keywords that hold a schema, a list of schemas, or several by name. Other keywords hold no references. */
const ONE = new Set([
  'additionalItems',
  'additionalProperties',
  'contains',
  'contentSchema',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
  'then',
  'unevaluatedItems',
  'unevaluatedProperties',
])
const LIST = new Set(['allOf', 'anyOf', 'items', 'oneOf', 'prefixItems'])
const NAMED = new Set(['$defs', 'definitions', 'dependentSchemas', 'patternProperties', 'properties'])

/** The place of a subschema. */
interface Place {
  /** A JSON Pointer from the root of the user's schema. */
  readonly pointer: string
  /** The pointer of the nearest enclosing schema with an `$id`: references start from it. */
  readonly resource: string
  /** That `$id`. */
  readonly id: string
}

const ROOT: Place = { pointer: '', resource: '', id: '' }

/**
 * Turns a schema into components.
 *
 * @returns the schema under the name, and each of its definitions under `name.definition`
 */
export function toComponents(name: string, schema: JsonSchema): Record<string, JsonSchema> {
  const homes = homesOf(name, schema)
  const known = new Map<string, string>()
  collect(schema, ROOT, known)
  const toHome = (pointer: string) => {
    const [, definition = '', rest = ''] = /^(\/(?:\$defs|definitions)\/[^/]*)(.*)$/.exec(pointer) ?? []
    const home = homes.get(definition)
    return `#/components/schemas/${home === undefined ? name + pointer : home + rest}`
  }
  const { $defs, definitions, ...root } = moved(schema, ROOT, { known, toHome }) as Record<string, unknown>
  const parts = Object.entries({ $defs, definitions }).flatMap(([keyword, group]) =>
    Object.entries(group ?? {}).map(
      ([key, part]) => [homes.get(`/${keyword}/${escapePointer(key)}`) ?? key, part] as const,
    ),
  )
  return { [name]: root, ...(Object.fromEntries(parts) as Record<string, JsonSchema>) }
}

/** The component name of each definition, by its pointer. */
function homesOf(name: string, schema: JsonSchema): ReadonlyMap<string, string> {
  const homes = new Map<string, string>()
  const taken = new Set<string>()
  const keys = ['$defs', 'definitions'].flatMap(keyword =>
    Object.keys(schema[keyword] ?? {}).map(key => [keyword, key]),
  )
  for (const [keyword, key = ''] of keys) {
    let home = `${name}.${key.replaceAll(/[^\w.-]/g, '_')}`
    while (taken.has(home)) home += '_'
    taken.add(home)
    homes.set(`/${keyword}/${escapePointer(key)}`, home)
  }
  return homes
}

/** Collects the pointers of all schemas with an `$id` or `$anchor`. */
function collect(schema: unknown, place: Place, known: Map<string, string>): void {
  if (!isObject(schema)) return
  const here = enter(schema, place)
  if (typeof schema.$id === 'string') known.set(here.id, here.pointer)
  if (typeof schema.$anchor === 'string') known.set(`${here.id}#${schema.$anchor}`, here.pointer)
  mapChildren(schema, (child, path) => collect(child, { ...here, pointer: here.pointer + path }, known))
}

interface Move {
  readonly known: ReadonlyMap<string, string>
  readonly toHome: (pointer: string) => string
}

function moved(schema: unknown, place: Place, move: Move): unknown {
  if (!isObject(schema)) return schema
  const here = enter(schema, place)
  const { $id, $anchor, $schema, $ref, ...rest } = schema
  const inside = mapChildren(rest, (child, path) => moved(child, { ...here, pointer: here.pointer + path }, move))
  const said = withTuples(inside)
  return typeof $ref === 'string' ? { $ref: newReference($ref, here, move), ...said } : said
}

/** Rewrites the tuples of older drafts, which TypeBox also writes, as those of 2020-12. */
function withTuples(schema: Record<string, unknown>): Record<string, unknown> {
  if (!Array.isArray(schema.items)) return schema
  const { items: prefixItems, additionalItems, ...rest } = schema
  return { ...rest, prefixItems, ...(additionalItems !== undefined && { items: additionalItems }) }
}

/** Rewrites a reference. One that leads out of the schema stays as it is. */
function newReference(reference: string, { resource, id }: Place, { known, toHome }: Move): string {
  const [file = '', fragment = ''] = reference.split('#', 2)
  const target = file === '' ? resource : known.get(absolute(file, id))
  if (fragment === '' || fragment.startsWith('/')) {
    return target === undefined ? reference : toHome(target + decodeURIComponent(fragment))
  }
  const named = known.get(`${file === '' ? id : absolute(file, id)}#${fragment}`)
  return named === undefined ? reference : toHome(named)
}

function enter(schema: Readonly<Record<string, unknown>>, place: Place): Place {
  if (typeof schema.$id !== 'string') return place
  return { pointer: place.pointer, resource: place.pointer, id: absolute(schema.$id, place.id) }
}

function absolute(uri: string, base: string): string {
  return URL.parse(uri, base)?.href ?? uri
}

function mapChildren(
  schema: Readonly<Record<string, unknown>>,
  change: (child: unknown, path: string) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema).map(([keyword, value]) => [keyword, mapKeyword(keyword, value, change)]),
  )
}

function mapKeyword(keyword: string, value: unknown, change: (child: unknown, path: string) => unknown): unknown {
  if (Array.isArray(value)) {
    return LIST.has(keyword) ? value.map((child, index) => change(child, `/${keyword}/${index}`)) : value
  }
  if (ONE.has(keyword)) return change(value, `/${keyword}`)
  if (!NAMED.has(keyword) || !isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, change(child, `/${keyword}/${escapePointer(key)}`)]),
  )
}
