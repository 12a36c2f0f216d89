/** Describes the paths of one operation type: submit, list, status, cancel and result. */
import type { AnyOperationType, JsonSchema } from '../model/operation-type.ts'
import type { ProblemCode } from '../model/problem-kinds.ts'
import { DEFAULT_PAGE_LIMIT, MAX_PAGE_LIMIT } from '../model/protocol.ts'
import { jsonSchemaOf } from '../model/standard-json-schema.ts'
import { batchPaths, ITEM_LINES, NDJSON } from './batch-paths.ts'
import { type HeaderUse, headerParameters, headers, ID } from './components.ts'
import { DIALECT_DESCRIPTIONS, exampleDocument } from './dialects.ts'
import { exampleOf } from './example.ts'
import { mergeResponses, optionalHeaders } from './merge-responses.ts'
import {
  type Described,
  type DescribedDialect,
  type DialectDescription,
  type Link,
  type MediaType,
  type OperationObject,
  type Parameter,
  type PathItem,
  pascal,
  type ResponseObject,
  type Responses,
  schemaRef,
} from './model.ts'
import { EXAMPLE_ID, READ_PROBLEMS, troubleResponses } from './responses.ts'
import { toComponents } from './user-schemas.ts'
import { webhookCallback } from './webhook.ts'

/** The schema of a value without a schema, or with one that cannot be written as JSON Schema. */
const ANY: JsonSchema = { description: 'Any JSON value.' }

/** What every response of a status URL carries. */
const VARIES: readonly HeaderUse[] = ['Vary', 'Preference-Applied?']
/** What it also carries while the operation has not finished. */
const UNFINISHED: readonly HeaderUse[] = ['ETag', 'Cache-Control', ...VARIES]
const ENDED: readonly HeaderUse[] = ['ETag', 'Expires', 'Cache-Control']

/** The schemas of an operation type as components: its input, its output, and the document at the result URL. */
export function schemasOf(type: AnyOperationType): Record<string, JsonSchema> {
  const name = pascal(type)
  const output = `${name}Output`
  const result = {
    type: 'object',
    description: `The result of a completed ${type.name} operation.`,
    required: ['id', 'status', type.resultKey],
    properties: {
      id: { type: 'string', format: 'uuid', description: 'The id of the operation.' },
      status: { type: 'string', enum: ['completed'] },
      [type.resultKey]: schemaRef(output),
    },
  }
  return {
    ...toComponents(`${name}Input`, jsonSchemaOf(type.input, 'input') ?? ANY),
    ...toComponents(output, jsonSchemaOf(type.output, 'output') ?? ANY),
    [`${name}Result`]: result,
  }
}

/** The paths of an operation type. */
export function resourcePaths(type: AnyOperationType, api: Described): Record<string, PathItem> {
  const context = { type, api, name: pascal(type), webhooks: type.policy.allowWebhooks && api.webhooks }
  return {
    [`/${type.name}`]: { ...(api.listing && { get: list(context) }), post: submit(context) },
    [`/${type.name}/status/{id}`]: { get: status(context), delete: cancel(context) },
    [`/${type.name}/{id}`]: { get: result(context) },
    ...batchPaths(type, api.base),
  }
}

interface Context {
  readonly type: AnyOperationType
  readonly api: Described
  /** The type's name in identifiers. */
  readonly name: string
  readonly webhooks: boolean
}

function submit(context: Context): OperationObject {
  const { type, api, name, webhooks } = context
  const ending: readonly HeaderUse[] = [
    ...ENDED,
    'Content-Location',
    'Operation-Location',
    'Preference-Applied',
    'Idempotency-Replayed?',
  ]
  return {
    operationId: `submit${name}`,
    tags: [type.name],
    summary: `Start ${operationOf(type)}`,
    description:
      'Answers 202 as soon as the operation is stored durably; the work continues in the background. ' +
      `With "Prefer: wait=N", answers with the result if it is ready within N seconds (at most ${api.maxWait}).`,
    parameters: [
      ...headerParameters('submit', { policy: type.policy }),
      ...(webhooks ? headerParameters('submit', { needs: 'webhooks' }) : []),
    ],
    requestBody: {
      description: `The input: at most ${type.policy.bodyLimit} bytes.`,
      required: true,
      content: { 'application/json': inputMedia(context), ...(type.batchOf && { [NDJSON]: ITEM_LINES }) },
    },
    responses: {
      200: resultResponse(context, 'The operation completed within the time of "Prefer: wait".', ending),
      202: accepted(context),
      ...troubleResponses({ problems: submitProblems(context), headers: { 415: ['Accept-Encoding?'] }, ending }),
    },
    ...(webhooks && { callbacks: webhookCallback(type, name) }),
  }
}

/** Such as `an orders operation`. */
function operationOf({ name }: AnyOperationType): string {
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name} operation`
}

function inputMedia({ name, api }: Context): MediaType {
  const schema = schemaRef(`${name}Input`)
  const example = exampleOf(schema, api.schemas)
  return { schema, ...(example !== undefined && { example }) }
}

function submitProblems({ type: { policy }, webhooks }: Context): readonly ProblemCode[] {
  const limited = policy.rateLimit !== undefined || policy.inFlightLimit !== undefined
  return [
    'invalid-json',
    'invalid-input',
    'invalid-idempotency-key',
    ...(policy.requireIdempotencyKey ? (['idempotency-key-required'] as const) : []),
    'webhooks-not-allowed',
    ...(webhooks ? (['invalid-webhook-url'] as const) : []),
    'invalid-request',
    'body-too-large',
    'unsupported-media-type',
    'unsupported-content-coding',
    'precondition-failed',
    'idempotency-key-reused',
    ...(limited ? (['too-many-requests'] as const) : []),
    'unavailable',
    'internal-error',
  ]
}

function accepted(context: Context): ResponseObject {
  return {
    description:
      'The operation is accepted and stored. A retry with the same Idempotency-Key and body returns the same operation.',
    headers: headers(['Location', 'Operation-Location', 'Retry-After', 'Idempotency-Replayed?', 'Preference-Applied?']),
    content: {
      'application/json': {
        schema: schemaRef('StatusDocument'),
        example: exampleDocument(context.type, context.api.base, 'pending'),
      },
    },
    links: linksFrom(context),
  }
}

/** Links from a status document, for tools that follow them. */
function linksFrom({ name }: Context): Record<string, Link> {
  const link = (operationId: string, description: string): Link => {
    return { operationId, parameters: { id: '$response.body#/id' }, description }
  }
  return {
    status: link(`get${name}Status`, 'The status of the operation.'),
    result: link(`get${name}Result`, 'The result, once the operation has finished.'),
    cancel: link(`cancel${name}`, 'Cancels the operation.'),
    monitor: link('getOperation', 'The status in the format of Azure clients.'),
  }
}

function status(context: Context): OperationObject {
  const { type, api, name } = context
  const own = describeDialect(context, api.dialect)
  const preferred = describeDialect(context, { describe: DIALECT_DESCRIPTIONS.accepted })
  const unfinished = mergeResponses(own.unfinished, preferred.unfinished)
  const finished = mergeResponses(own.finished, preferred.finished)
  return {
    operationId: `get${name}Status`,
    tags: [type.name],
    summary: `Get the status of ${operationOf(type)}`,
    description:
      `${own.description} With "Accept: text/event-stream" streams each change as it happens. ` +
      `"Prefer: wait=N" delays the response for up to N seconds (at most ${api.maxWait}) until the status changes.`,
    parameters: [ID, ...headerParameters('status')],
    responses: {
      ...mergeResponses(
        mapResponses(unfinished, response => ({ ...withUses(response, UNFINISHED), links: linksFrom(context) })),
        mapResponses(finished, response => withUses(response, VARIES)),
        eventResponses(context),
      ),
      304: {
        description: 'The status has not changed since the ETag in If-None-Match.',
        headers: { ...headersOf(unfinished), ...headers(UNFINISHED) },
      },
      ...troubleResponses({ problems: READ_PROBLEMS, ending: [...ENDED, ...VARIES] }),
    },
  }
}

function describeDialect(context: Context, dialect: DescribedDialect): DialectDescription {
  return dialect.describe({
    type: context.type,
    result: resultResponse(context, 'The result of the completed operation.', ENDED),
    example: moment => exampleDocument(context.type, context.api.base, moment),
  })
}

function mapResponses(responses: Responses, change: (response: ResponseObject) => ResponseObject): Responses {
  return Object.fromEntries(Object.entries(responses).map(([status, response]) => [status, change(response)]))
}

function withUses(response: ResponseObject, uses: readonly HeaderUse[]): ResponseObject {
  return { ...response, headers: { ...response.headers, ...headers(uses) } }
}

/** All headers of some responses, of which each may be missing. */
function headersOf(responses: Responses): ResponseObject['headers'] {
  return optionalHeaders(Object.assign({}, ...Object.values(responses).map(response => response.headers)))
}

function eventResponses(context: Context): Responses {
  return {
    200: {
      description: 'The stream of events.',
      headers: headers(['Cache-Control', 'Vary', 'X-Accel-Buffering']),
      content: { 'text/event-stream': eventStream(context) },
    },
    204: {
      description: 'The operation has finished, and the client has received every event.',
      headers: headers(['Cache-Control', 'Vary']),
    },
  }
}

function eventStream(context: Context): MediaType {
  const { exposeLogs } = context.type.policy
  const events = [
    ': each event holds a status document; send its id as Last-Event-ID to resume',
    `event: status\nid: 2\ndata: ${JSON.stringify(exampleDocument(context.type, context.api.base, 'running'))}`,
    ...(exposeLogs
      ? ['event: log\nid: 2.1\ndata: {"sequence":1,"level":"info","message":"packing","at":"2026-11-30T12:00:01.000Z"}']
      : []),
    `event: status\nid: 3\ndata: ${JSON.stringify(exampleDocument(context.type, context.api.base, 'completed'))}`,
  ]
  return {
    schema: {
      type: 'string',
      description:
        'Server-sent events: "status" with a status document for each change' +
        `${exposeLogs ? ', "log" with a line that the handler logged' : ''}. ` +
        'The server sends a comment at least every 15 seconds, and closes the stream after the final status.',
    },
    example: `${events.join('\n\n')}\n\n`,
  }
}

function cancel(context: Context): OperationObject {
  const { type, api, name } = context
  const { cancel: answers } = describeDialect(context, api.dialect)
  return {
    operationId: `cancel${name}`,
    tags: [type.name],
    summary: `Cancel ${operationOf(type)}`,
    description: 'Idempotent. A pending operation is canceled at once; a running one is asked to stop.',
    parameters: [ID, ...headerParameters('cancel')],
    responses: {
      ...mapResponses(answers, response => ({ ...response, links: linksFrom(context) })),
      ...troubleResponses({ problems: [...READ_PROBLEMS, 'operation-finished'] }),
    },
  }
}

function result(context: Context): OperationObject {
  const { type, name } = context
  return {
    operationId: `get${name}Result`,
    tags: [type.name],
    summary: `Get the result of ${operationOf(type)}`,
    description: 'For a failed operation, answers with the HTTP status of its problem; for a canceled one, with 410.',
    parameters: [ID, ...headerParameters('result')],
    responses: {
      200: resultResponse(context, 'The result of the completed operation.', ENDED),
      304: { description: 'The client already has this version.', headers: headers(ENDED) },
      ...troubleResponses({
        problems: [...READ_PROBLEMS, 'not-finished'],
        headers: { 404: ['Retry-After?', 'Link?'] },
        ending: ENDED,
      }),
    },
  }
}

function resultResponse(context: Context, description: string, uses: readonly HeaderUse[]): ResponseObject {
  return { description, headers: headers(uses), content: { 'application/json': resultMedia(context) } }
}

function resultMedia({ type, name, api }: Context): MediaType {
  const output = exampleOf(schemaRef(`${name}Output`), api.schemas)
  const example = { id: EXAMPLE_ID, status: 'completed', [type.resultKey]: output }
  return { schema: schemaRef(`${name}Result`), ...(output !== undefined && { example }) }
}

function list(context: Context): OperationObject {
  const { type, name } = context
  const page: JsonSchema = {
    type: 'object',
    required: ['items'],
    properties: {
      items: { type: 'array', items: schemaRef('StatusDocument') },
      next: {
        type: 'string',
        format: 'uri-reference',
        description: 'The URL of the next page. Absent on the last page.',
      },
    },
  }
  const found: Responses = {
    200: {
      description: 'One page of operations.',
      headers: headers(['Link?']),
      content: {
        'application/json': {
          schema: page,
          example: { items: [exampleDocument(context.type, context.api.base, 'completed')] },
        },
      },
    },
  }
  return {
    operationId: `list${name}`,
    tags: [type.name],
    summary: `List your ${type.name} operations`,
    description:
      'Newest first. A page of large documents may hold fewer than "limit" items: the list ends only where "next" is absent.',
    parameters: [...LIST_PARAMETERS, ...headerParameters('list')],
    responses: { ...found, ...troubleResponses({ problems: LIST_PROBLEMS }) },
  }
}

const LIST_PROBLEMS: readonly ProblemCode[] = [
  'invalid-request',
  'precondition-failed',
  'unavailable',
  'internal-error',
]

const LIST_PARAMETERS: readonly Parameter[] = [
  { name: 'status', in: 'query', description: 'Return only operations with this status.', schema: schemaRef('Status') },
  {
    name: 'limit',
    in: 'query',
    description: 'The maximum number of operations to return.',
    schema: { type: 'integer', minimum: 1, maximum: MAX_PAGE_LIMIT, default: DEFAULT_PAGE_LIMIT },
  },
  {
    name: 'cursor',
    in: 'query',
    description: 'Where to continue: the cursor in the link to the next page.',
    schema: { type: 'string' },
  },
]
