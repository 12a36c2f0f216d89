/** Renders a JSON Schema as a table: one row for each member, with nested members indented. */
import type { JsonSchema } from '../../model/operation-type.ts'
import { resolveSchema } from '../example.ts'
import { anchor, type Html, html } from './html.ts'

/** One member. */
interface Row {
  readonly name: string
  readonly depth: number
  readonly required: boolean
  readonly schema: Readonly<Record<string, unknown>>
  readonly type: string
  /** A shared schema that describes the rest. */
  readonly see: string | undefined
}

/** What rendering a schema needs. */
export interface SchemaContext {
  readonly schemas: Readonly<Record<string, JsonSchema>>
  /** Schemas with a section of their own: tables link to them and do not repeat them. */
  readonly shared: ReadonlySet<string>
  /** Schemas with a place on the page: their names are links. */
  readonly linked: ReadonlySet<string>
}

const PREFIX = '#/components/schemas/'
const DEEPEST = 6

/** Renders the table, or one line if the schema has no members. */
export function schemaTable(schema: unknown, context: SchemaContext): Html {
  const rows = membersOf(schema, context, 0, [])
  const said = described(follow(schema, context).schema)
  if (rows.length === 0) return html`<p><code>${typeOf(schema, context)}</code>${said}</p>`
  const body = rows.map(row => rowOf(row, context))
  return html`<div class="wide" role="group" aria-label="Table" tabindex="0"><table class="schema">
<thead><tr><th scope="col">Member</th><th scope="col">Type</th><th scope="col">Description</th></tr></thead>
<tbody>${body}</tbody></table></div>`
}

/** The name of a schema, as a link if it has a place on the page. A schema without a name shows its type. */
export function schemaName(schema: unknown, context: SchemaContext): Html {
  const { name } = follow(schema, context)
  if (name !== undefined && context.linked.has(name)) {
    return html`<a href="#${anchor('schema', name)}"><code>${name}</code></a>`
  }
  const { oneOf, anyOf = oneOf } = schema as JsonSchema
  if (!Array.isArray(anyOf)) return html`<code>${name ?? typeOf(schema, context)}</code>`
  return html`${anyOf.map((one, index) => html`${index > 0 && ' or '}${schemaName(one, context)}`)}`
}

function rowOf({ name, depth, required, schema, type, see }: Row, context: SchemaContext): Html {
  const optional = required ? '' : html` <span class="optional">optional</span>`
  const link = see !== undefined && html`<a href="#${anchor('schema', see)}">${see}</a>`
  return html`<tr><td class="depth-${depth}"><code>${name}</code>${optional}</td>
<td>${link || html`<code>${type}</code>`}</td><td>${meaning(schema, context)}</td></tr>`
}

function meaning(schema: Readonly<Record<string, unknown>>, context: SchemaContext): Html {
  return html`${described(follow(schema, context).schema)}${limitsOf(schema).map(limit => html` <span class="limit">${limit}</span>`)}`
}

function described(schema: Readonly<Record<string, unknown>>): Html | string {
  return typeof schema.description === 'string' ? html` ${schema.description}` : ''
}

function follow(schema: unknown, { schemas }: SchemaContext) {
  let said = asObject(schema)
  let name: string | undefined
  for (let step = 0; typeof said.$ref === 'string' && step < 20; step++) {
    name = said.$ref.startsWith(PREFIX) ? said.$ref.slice(PREFIX.length) : said.$ref
    said = asObject(resolveSchema(said.$ref, schemas))
  }
  return { schema: said, name }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** The members of an object, of the items of an array, and of the parts of allOf, oneOf and anyOf. */
function membersOf(schema: unknown, context: SchemaContext, depth: number, path: readonly string[]): readonly Row[] {
  const { schema: said, name } = follow(schema, context)
  // A recursive schema is shown once.
  if (depth > DEEPEST || (name !== undefined && path.includes(name))) return []
  const within = name === undefined ? path : [...path, name]
  const required = new Set(listOf(said.required))
  const own = Object.entries(asObject(said.properties)).flatMap(([key, member]) => {
    const found = follow(member, context)
    const see = found.name !== undefined && context.shared.has(found.name) ? found.name : undefined
    const type = typeOf(member, context)
    const row = {
      name: key,
      depth,
      required: required.has(key),
      schema: { ...found.schema, ...asObject(member) },
      type,
      see,
    }
    return [row, ...(see === undefined ? membersOf(member, context, depth + 1, within) : [])]
  })
  const items = said.items === undefined ? [] : membersOf(said.items, context, depth, within)
  const parts = [said.allOf, said.oneOf, said.anyOf].flatMap(listOf)
  return [...own, ...items, ...parts.flatMap(part => membersOf(part, context, depth, within))]
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function typeOf(schema: unknown, context: SchemaContext, depth = 0): string {
  const { schema: said } = follow(schema, context)
  if (depth > DEEPEST) return '…'
  const options = [...listOf(said.oneOf), ...listOf(said.anyOf)]
  if (options.length > 0) return [...new Set(options.map(option => typeOf(option, context, depth + 1)))].join(' | ')
  if (said.const !== undefined) return JSON.stringify(said.const)
  if (Array.isArray(said.enum)) return said.enum.map(value => JSON.stringify(value)).join(' | ')
  const types = listOf(said.type).length > 0 ? listOf(said.type) : [said.type ?? (said.allOf ? 'object' : 'any')]
  return types.map(type => (type === 'array' ? `${typeOf(said.items ?? {}, context, depth + 1)}[]` : type)).join(' | ')
}

/** The limits of a value in words. */
function limitsOf(said: Readonly<Record<string, unknown>>): readonly string[] {
  const limits = [
    range(said.minimum ?? said.exclusiveMinimum, said.maximum ?? said.exclusiveMaximum, ''),
    range(said.minLength, said.maxLength, ' characters'),
    range(said.minItems, said.maxItems, ' items'),
    said.format === undefined ? '' : String(said.format),
    // A pattern beside a format only repeats the format.
    said.pattern === undefined || said.format !== undefined ? '' : `like ${said.pattern}`,
    said.default === undefined ? '' : `default ${JSON.stringify(said.default)}`,
  ]
  return limits.filter(limit => limit !== '')
}

function range(low: unknown, high: unknown, unit: string): string {
  const bound = (value: unknown) =>
    typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : undefined
  const [from, to] = [bound(low), bound(high)]
  if (from === undefined && to === undefined) return ''
  if (to === undefined) return `${from}${unit} or more`
  return from === undefined ? `at most ${to}${unit}` : `${from} to ${to}${unit}`
}
