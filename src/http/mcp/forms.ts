/**
 * Turns questions of handlers into the forms of MCP, which only have flat fields, and turns filled-in forms into
 * answers.
 */

import { parseJson } from '../../model/json.ts'
import type { JsonSchema } from '../../model/operation-type.ts'
import { fieldsOf, isObject } from '../../util/fields.ts'
import type { Members } from './json-rpc.ts'

/** A question to a client. */
export interface Question {
  readonly message: string
  /** The schema of the answer. */
  readonly schema: JsonSchema | undefined
}

/** The keywords that the schema of a field may have. */
const KEYWORDS = new Set([
  'type',
  'title',
  'description',
  'default',
  'enum',
  'enumNames',
  'oneOf',
  'minLength',
  'maxLength',
  'format',
  'minimum',
  'maximum',
  'items',
  'minItems',
  'maxItems',
])
const FORMATS = new Set(['email', 'uri', 'date', 'date-time'])
/** The only field of a question whose answer is not an object. */
const VALUE = 'value'

/** The kind of form: the members of the answer as fields, the whole answer as one field, or a text field for JSON. */
type Shape = 'members' | 'value' | 'json'

/** The request for a question. */
export function formRequest({ message, schema }: Question): Members {
  return { method: 'elicitation/create', params: { mode: 'form', message, requestedSchema: formSchema(schema) } }
}

/** The answer from a form that was filled in. */
export function answerOf(schema: JsonSchema | undefined, content: unknown): unknown {
  const value = fieldsOf(content)[VALUE]
  switch (shapeOf(schema)) {
    case 'members':
      return content
    case 'value':
      return value
    case 'json':
      return typeof value === 'string' ? parseJson(value) : value
  }
}

function formSchema(schema: JsonSchema | undefined): JsonSchema {
  switch (shapeOf(schema)) {
    case 'members': {
      const { properties, required } = fieldsOf(schema)
      const fields = Object.entries(fieldsOf(properties)).map(([name, field]) => [name, toField(field)])
      return { type: 'object', properties: Object.fromEntries(fields), required }
    }
    case 'value':
      return oneField(toField(schema ?? { type: 'string' }))
    case 'json':
      return oneField({ type: 'string', title: 'JSON', description: JSON.stringify(schema) })
  }
}

function oneField(field: unknown): JsonSchema {
  return { type: 'object', properties: { [VALUE]: field }, required: [VALUE] }
}

function shapeOf(schema: JsonSchema | undefined): Shape {
  if (schema === undefined || isField(schema)) return 'value'
  const { type, properties } = schema
  return type === 'object' && Object.values(fieldsOf(properties)).every(isField) ? 'members' : 'json'
}

function isField(schema: unknown): boolean {
  const { type, items } = fieldsOf(schema)
  if (type === 'array') return 'enum' in fieldsOf(items) || 'anyOf' in fieldsOf(items)
  return ['string', 'number', 'integer', 'boolean'].includes(`${type}`)
}

function toField(schema: unknown): unknown {
  if (!isObject(schema)) return schema
  const kept = Object.entries(schema).filter(
    ([keyword, value]) => KEYWORDS.has(keyword) && (keyword !== 'format' || FORMATS.has(`${value}`)),
  )
  return Object.fromEntries(kept)
}
