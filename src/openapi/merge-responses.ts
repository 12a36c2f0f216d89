/** Merges responses that have the same HTTP status. */
import type { JsonSchema } from '../model/operation-type.ts'
import type { MediaType, Reference, ResponseHeader, ResponseObject, Responses } from './model.ts'

type Headers = Readonly<Record<string, Reference | ResponseHeader>>
type Content = Readonly<Record<string, MediaType>>

/** Merges responses by status. A header that only some of them have is optional in the merged response. */
export function mergeResponses(...all: readonly Responses[]): Responses {
  const merged = new Map<string, ResponseObject>()
  for (const [status, response] of all.flatMap(responses => Object.entries(responses))) {
    const known = merged.get(status)
    merged.set(status, known === undefined ? response : mergeResponse(known, response))
  }
  return Object.fromEntries(merged)
}

function mergeResponse(first: ResponseObject, second: ResponseObject): ResponseObject {
  const links = { ...first.links, ...second.links }
  return {
    description: mergeSentences(first.description, second.description),
    headers: mergeHeaders(first.headers ?? {}, second.headers ?? {}),
    content: mergeContent(first.content ?? {}, second.content ?? {}),
    ...(Object.keys(links).length > 0 && { links }),
  }
}

function mergeSentences(first: string, second: string): string {
  if (first.toLowerCase().includes(second.replace(/\.$/, '').toLowerCase())) return first
  return `${first.replace(/\.$/, '')}; or ${second.slice(0, 1).toLowerCase()}${second.slice(1)}`
}

function mergeHeaders(first: Headers, second: Headers): Headers {
  const isAlways = (name: string) =>
    [first[name], second[name]].every(header => header !== undefined && isRequired(header))
  const all = Object.entries({ ...second, ...first })
  return Object.fromEntries(all.map(([name, header]) => [name, isAlways(name) ? header : optional(header)]))
}

/** The same headers, of which each may be missing. */
export function optionalHeaders(headers: Headers): Record<string, Reference | ResponseHeader> {
  return Object.fromEntries(Object.entries(headers).map(([name, header]) => [name, optional(header)]))
}

/** Whether every such response carries the header. */
export function isRequired(header: Reference | ResponseHeader): boolean {
  return '$ref' in header ? !header.$ref.includes('/Optional') : header.required === true
}

function optional(header: Reference | ResponseHeader): Reference | ResponseHeader {
  if (!isRequired(header)) return header
  if ('$ref' in header) return { $ref: header.$ref.replace(/([^/]+)$/, 'Optional$1') }
  return { ...header, required: false }
}

function mergeContent(first: Content, second: Content): Content {
  const merged = { ...first, ...second }
  for (const [media, body] of Object.entries(first)) {
    const other = second[media]
    if (other !== undefined) merged[media] = { ...body, schema: eitherSchema(body.schema, other.schema) }
  }
  return merged
}

function eitherSchema(first: JsonSchema, second: JsonSchema): JsonSchema {
  const known = choicesOf(first)
  const added = choicesOf(second).filter(one => !known.some(other => JSON.stringify(other) === JSON.stringify(one)))
  return added.length === 0 ? first : { anyOf: [...known, ...added] }
}

function choicesOf(schema: JsonSchema): readonly JsonSchema[] {
  const { anyOf } = schema as { readonly anyOf?: readonly JsonSchema[] }
  return Object.keys(schema).length === 1 && anyOf !== undefined ? anyOf : [schema]
}
