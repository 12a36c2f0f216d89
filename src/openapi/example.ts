/** Generates an example value that a JSON Schema allows. */
import { Compile } from 'typebox/schema'
import type { JsonSchema } from '../model/operation-type.ts'

type Schemas = Readonly<Record<string, JsonSchema>>

/** What the generation of an example needs. */
interface Sampler {
  readonly schemas: Schemas
  /** The references followed so far, so that a recursive schema ends. */
  readonly path: readonly string[]
}

/**
 * The schema's own example, or a value made from it; undefined where neither satisfies the schema,
 * as with a pattern that cannot be guessed.
 *
 * @param schemas what the references lead to, by the names of the components
 */
export function exampleOf(schema: JsonSchema, schemas: Schemas): unknown {
  try {
    const value = sample(schema, '', { schemas, path: [] })
    return value !== undefined && Compile({ ...schema, components: { schemas } }).Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** An example for each format. */
const FORMATS: Readonly<Record<string, string>> = {
  date: '2026-11-30',
  'date-time': '2026-11-30T12:00:00Z',
  duration: 'PT1H',
  email: 'ada@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  time: '12:00:00Z',
  uri: 'https://example.com/',
  'uri-reference': '/place',
  url: 'https://example.com/',
  uuid: '01936f5e-8c1a-7b3c-9d4e-5f60718293a4',
}

/** For a schema that allows everything: an object at the root, and a string within. */
function anything(name: string): unknown {
  return name === '' ? {} : name
}

/** @param name the name of the member, which is a good example of a string in it */
function sample(schema: unknown, name: string, sampler: Sampler): unknown {
  if (typeof schema !== 'object' || schema === null) return schema === false ? undefined : anything(name)
  const said = schema as Record<string, unknown>
  const given = givenBy(said)
  if (given !== undefined) return given
  if (typeof said.$ref === 'string') return follow(said.$ref, name, sampler)
  const [choice] = [said.oneOf, said.anyOf].flatMap(list => (Array.isArray(list) ? list : []))
  if (choice !== undefined) return merge([choice, ...listOf(said.allOf)], said, name, sampler)
  if (Array.isArray(said.allOf)) return merge(said.allOf, said, name, sampler)
  return ofType(said, name, sampler)
}

function givenBy(said: Record<string, unknown>): unknown {
  return listOf(said.examples)[0] ?? said.example ?? said.const ?? listOf(said.enum)[0] ?? said.default
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function follow(reference: string, name: string, { schemas, path }: Sampler): unknown {
  if (path.includes(reference)) return undefined
  return sample(resolveSchema(reference, schemas), name, { schemas, path: [...path, reference] })
}

/** Resolves a reference to a component. */
export function resolveSchema(reference: string, schemas: Schemas): unknown {
  const prefix = '#/components/schemas/'
  if (!reference.startsWith(prefix)) return undefined
  const [component = '', ...rest] = reference.slice(prefix.length).split('/')
  return rest.reduce<unknown>((at, part) => {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    return (at as Record<string, unknown> | undefined)?.[key]
  }, schemas[component])
}

/** Merges the examples of schemas that all apply. */
function merge(parts: readonly unknown[], said: Record<string, unknown>, name: string, sampler: Sampler): unknown {
  const { allOf, anyOf, oneOf, ...own } = said
  const samples = [...parts, ...(own.type === undefined && own.properties === undefined ? [] : [own])].map(part =>
    sample(part, name, sampler),
  )
  const objects = samples.filter(value => typeof value === 'object' && value !== null && !Array.isArray(value))
  return objects.length === samples.length ? Object.assign({}, ...objects) : samples[0]
}

function ofType(said: Record<string, unknown>, name: string, sampler: Sampler): unknown {
  const type = listOf(said.type)[0] ?? said.type ?? (said.properties === undefined ? undefined : 'object')
  switch (type) {
    case 'object':
      return objectOf(said, sampler)
    case 'array':
      return arrayOf(said, name, sampler)
    case 'string':
      return stringOf(said, name)
    case 'integer':
    case 'number':
      return numberOf(said)
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return anything(name)
  }
}

function objectOf(said: Record<string, unknown>, sampler: Sampler): unknown {
  const required = listOf(said.required)
  const members = Object.entries((said.properties ?? {}) as Record<string, unknown>).map(
    ([key, schema]) => [key, sample(schema, key, sampler)] as const,
  )
  if (members.some(([key, value]) => value === undefined && required.includes(key))) return undefined
  return Object.fromEntries(members.filter(([, value]) => value !== undefined))
}

function arrayOf(said: Record<string, unknown>, name: string, sampler: Sampler): unknown {
  const prefix = listOf(said.prefixItems).map(schema => sample(schema, name, sampler))
  if (said.items === undefined || said.items === false) return prefix
  const item = sample(said.items, name.replace(/s$/, ''), sampler)
  const least = Number(said.minItems ?? 0)
  if (item === undefined) return least > 0 ? undefined : prefix
  const missing = Math.max(least, prefix.length === 0 ? 1 : 0) - prefix.length
  return [...prefix, ...Array.from({ length: Math.max(0, missing) }, () => item)]
}

function stringOf(said: Record<string, unknown>, name: string): string {
  const known = FORMATS[String(said.format)]
  if (known !== undefined) return known
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = said as { minLength?: number; maxLength?: number }
  return (name || 'text').padEnd(minLength, '.').slice(0, maxLength)
}

function numberOf(said: Record<string, unknown>): number {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf = 1 } = said as Record<string, number>
  const low = Math.max(minimum ?? Number.NEGATIVE_INFINITY, (exclusiveMinimum ?? Number.NEGATIVE_INFINITY) + multipleOf)
  const high = Math.min(
    maximum ?? Number.POSITIVE_INFINITY,
    (exclusiveMaximum ?? Number.POSITIVE_INFINITY) - multipleOf,
  )
  const near = Math.min(Math.max(1, low), high)
  return Math.ceil(near / multipleOf) * multipleOf
}
