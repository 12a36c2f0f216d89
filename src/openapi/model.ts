/** The parts of OpenAPI 3.1 that the description uses. The document and the page share them. */
import type { AnyOperationType, JsonSchema } from '../model/operation-type.ts'
import type { StatusDocument } from '../model/protocol.ts'

/** A reference to another part of the document. */
export interface Reference {
  readonly $ref: string
}

/** An example of a body. */
export interface Example {
  readonly summary: string
  readonly description?: string
  readonly value: unknown
}

/** One media type of a body. */
export interface MediaType {
  readonly schema: JsonSchema
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, Example | Reference>>
}

/** A header of a response. */
export interface ResponseHeader {
  readonly description: string
  /** Whether every such response has it. */
  readonly required?: boolean
  readonly schema: JsonSchema
}

/** A parameter of a request: a header, or a part of the path or query. */
export interface Parameter extends ResponseHeader {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly example?: unknown
}

/** A link from a response to another operation, with the parameters that come from the response. */
export interface Link {
  readonly operationId: string
  readonly parameters: Readonly<Record<string, string>>
  readonly description: string
}

/** One response. */
export interface ResponseObject {
  readonly description: string
  readonly headers?: Readonly<Record<string, Reference | ResponseHeader>>
  readonly content?: Readonly<Record<string, MediaType>>
  readonly links?: Readonly<Record<string, Link>>
}

/** The responses by status: `202`, or `4XX` for the other statuses of a class. */
export type Responses = Readonly<Record<string, ResponseObject>>

/** One method of one path. */
export interface OperationObject {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description: string
  readonly parameters?: readonly (Parameter | Reference)[]
  readonly requestBody?: {
    readonly description: string
    readonly required: boolean
    readonly content: Readonly<Record<string, MediaType>>
  }
  readonly responses: Responses
  readonly callbacks?: Readonly<Record<string, Readonly<Record<string, PathItem>>>>
  /** Empty if no authentication is needed. */
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
}

/** The methods that are described. */
type DescribedMethod = 'get' | 'post' | 'delete'

/** The methods of a path. */
export type PathItem = Readonly<Partial<Record<DescribedMethod, OperationObject>>>

/** The components of the document, by kind and name. */
export interface Components {
  readonly schemas: Readonly<Record<string, JsonSchema>>
  readonly headers: Readonly<Record<string, ResponseHeader>>
  readonly parameters: Readonly<Record<string, Parameter>>
  readonly examples: Readonly<Record<string, Example>>
  readonly securitySchemes?: Readonly<Record<string, SecurityScheme>>
}

/** How callers authenticate: a Security Scheme Object of OpenAPI, such as `{ type: 'http', scheme: 'bearer' }`. */
export type SecurityScheme = Readonly<{ type: string } & Record<string, unknown>>

/** Whom to contact about an API. */
export interface Contact {
  readonly name?: string
  readonly url?: string
  readonly email?: string
}

/** A document of OpenAPI 3.1. */
export interface OpenApiDocument {
  readonly openapi: '3.1.0'
  readonly info: {
    readonly title: string
    readonly version: string
    readonly description: string
    readonly contact: Contact
  }
  readonly servers: readonly { readonly url: string; readonly description: string }[]
  readonly tags: readonly { readonly name: string; readonly description: string }[]
  readonly paths: Readonly<Record<string, PathItem>>
  readonly components: Components
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
}

/** What a dialect makes its description from, for one operation type. */
export interface DialectContext {
  readonly type: AnyOperationType
  /** The response with the result of a completed operation. */
  readonly result: ResponseObject
  /** An example of a status document, at some moment of an operation's life. */
  example(moment: Moment): StatusDocument
}

/** How a dialect answers, as OpenAPI describes it. Schemas are those of OpenAPI 3.1; `$ref` may name the API's own. */
export interface DialectDescription {
  /** How a client follows an operation: the description of a GET of the status URL. CommonMark. */
  readonly description: string
  /** What that GET answers until the operation finishes, by HTTP status. */
  readonly unfinished: Responses
  /** What that GET answers when the operation has finished. A failure that has a status of its own needs no mention. */
  readonly finished: Responses
  /** What a cancel answers. */
  readonly cancel: Responses
}

/** An object that describes itself for OpenAPI. Each dialect does. */
export interface DescribedDialect {
  /** Describes the responses. Called once for each operation type, when the document is made. */
  describe(context: DialectContext): DialectDescription
}

/** A moment of an operation's life. */
export type Moment = 'pending' | 'running' | 'canceling' | 'completed' | 'canceled'

/** The options of an API that the description of its operations needs. */
export interface Described {
  /** The beginning of every URL. */
  readonly base: string
  readonly dialect: DescribedDialect
  readonly listing: boolean
  /** Whether the types that allow webhooks have them. */
  readonly webhooks: boolean
  /** The longest time that a request waits, in seconds. */
  readonly maxWait: number
  /** The schemas of the operation types, by the names of their components. */
  readonly schemas: Readonly<Record<string, JsonSchema>>
}

/** A reference to a component. */
export function ref(kind: keyof Components, name: string): Reference {
  return { $ref: `#/components/${kind}/${name}` }
}

/** A reference to a schema, as a schema. */
export function schemaRef(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` }
}

/**
 * The name of an operation type in identifiers: `pdf-exports` becomes `PdfExports`. Two types never share
 * one: a `-` that is not before a letter becomes `_`.
 */
export function pascal({ name }: Pick<AnyOperationType, 'name'>): string {
  return name
    .replace(/^[a-z]/, first => first.toUpperCase())
    .replaceAll(/[-/]([a-z])/g, (_, letter: string) => letter.toUpperCase())
    .replaceAll('-', '_')
}
