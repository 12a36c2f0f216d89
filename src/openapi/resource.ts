/** What the paths of one operation type answer: submit, list, status, cancel and result. */
import type { AnyOperationType, JsonSchema } from '../model/operation-type.ts'
import type { ProblemCode } from '../model/problem.ts'
import { DEFAULT_PAGE_LIMIT, linksOf, MAX_PAGE_LIMIT, type StatusDocument } from '../model/protocol.ts'
import { type HeaderUse, headerParameters, headers, ID } from './components.ts'
import { exampleOf } from './example.ts'
import {
  type Described,
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
import { jsonSchemaOf, toComponents } from './user-schemas.ts'
import { webhookCallback } from './webhook.ts'

const PENDING: readonly HeaderUse[] = ['Retry-After', 'ETag', 'Cache-Control', 'Vary', 'Preference-Applied?']
const ENDED: readonly HeaderUse[] = ['ETag', 'Expires', 'Cache-Control']

/** The schemas of an operation type as components: what is sent, what comes out, and the document at the result URL. */
export function schemasOf(type: AnyOperationType): Record<string, JsonSchema> {
  const name = pascal(type)
  const output = `${name}Output`
  const result = {
    type: 'object',
    description: `What stands at the result URL of a completed operation of ${type.name}.`,
    required: ['id', 'status', type.resultKey],
    properties: {
      id: { type: 'string', format: 'uuid', description: 'The id of the operation.' },
      status: { type: 'string', enum: ['completed'] },
      [type.resultKey]: schemaRef(output),
    },
  }
  return {
    ...toComponents(`${name}Input`, jsonSchemaOf(type.input, 'input')),
    ...toComponents(output, jsonSchemaOf(type.output, 'output')),
    [`${name}Result`]: result,
  }
}

/** The paths of an operation type. */
export function resourcePaths(type: AnyOperationType, api: Described): Record<string, PathItem> {
  const context = { type, api, name: pascal(type), webhooks: type.policy.webhooks && api.webhooks }
  return {
    [`/${type.name}`]: { ...(api.listing && { get: list(context) }), post: submit(context) },
    [`/${type.name}/status/{id}`]: { get: status(context), delete: cancel(context) },
    [`/${type.name}/{id}`]: { get: result(context) },
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
    summary: `Start an operation of ${type.name}`,
    description:
      'The answer is 202 as soon as the operation is kept durably; the work goes on after it. ' +
      `With "Prefer: wait=N" the answer is the result, if it is there within N seconds (at most ${api.longestWait}).`,
    parameters: [
      ...headerParameters('submit', { policy: type.policy }),
      ...(webhooks ? headerParameters('submit', { needs: 'webhooks' }) : []),
    ],
    requestBody: {
      description: `The input, at most ${type.policy.bodyLimit} bytes.`,
      required: true,
      content: { 'application/json': inputMedia(context) },
    },
    responses: {
      200: resultResponse(context, 'It has completed within the time of "Prefer: wait".', ending),
      202: accepted(context),
      ...troubleResponses({ problems: submitProblems(context), headers: { 415: ['Accept-Encoding?'] }, ending }),
    },
    ...(webhooks && { callbacks: webhookCallback(type, name) }),
  }
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
      'It is accepted, and kept. The same Idempotency-Key with the same body is answered with the same operation.',
    headers: headers(['Location', 'Operation-Location', 'Retry-After', 'Idempotency-Replayed?', 'Preference-Applied?']),
    content: { 'application/json': { schema: schemaRef('StatusDocument'), example: documentOf(context, 'pending') } },
    links: linksFrom(context),
  }
}

/** Where a status document leads, for tools that follow links. */
function linksFrom({ name }: Context): Record<string, Link> {
  const link = (operationId: string, description: string): Link => {
    return { operationId, parameters: { id: '$response.body#/id' }, description }
  }
  return {
    status: link(`get${name}Status`, 'Its status.'),
    result: link(`get${name}Result`, 'Its result, when it has ended.'),
    cancel: link(`cancel${name}`, 'Cancels it.'),
    monitor: link('getOperation', 'Its status for Azure clients.'),
  }
}

function status(context: Context): OperationObject {
  const { type, api, name } = context
  const ending: readonly HeaderUse[] = [...ENDED, 'Vary', 'Preference-Applied?']
  const redirects = api.dialect === 'redirect'
  return {
    operationId: `get${name}Status`,
    tags: [type.name],
    summary: `Read how an operation of ${type.name} is`,
    description: redirects
      ? 'Ask again after Retry-After while it is 200 with the status "pending" or "running". When it has ended, 303 leads to ' +
        'the result; whoever follows it gets that at once. With "Accept: text/event-stream" it tells each change as it happens.'
      : 'Ask again after Retry-After while it is 202. When the operation has ended, the answer is that of the result URL. ' +
        'With "Accept: text/event-stream" it tells each change as it happens.',
    parameters: [ID, ...headerParameters('status')],
    responses: {
      200: { ...currentStatus(context), links: linksFrom(context) },
      202: {
        ...unfinished(context, ['Location', 'X-Progress']),
        description: redirects ? 'Not ended, in the words of "Prefer: respond-async".' : 'It has not ended.',
      },
      204: {
        description: 'The operation has ended, and the client has seen every event.',
        headers: headers(['Cache-Control', 'Vary']),
      },
      ...(redirects && { 303: finished(context) }),
      304: {
        description: 'Nothing has changed since the version of If-None-Match.',
        headers: headers([...PENDING, 'Location?', 'X-Progress?']),
      },
      ...troubleResponses({ problems: READ_PROBLEMS, ending }),
    },
  }
}

function unfinished(context: Context, more: readonly HeaderUse[]): ResponseObject {
  return {
    description: 'It has not ended.',
    headers: headers([...PENDING, ...more]),
    content: { 'application/json': { schema: schemaRef('UnfinishedStatus'), example: documentOf(context, 'running') } },
    links: linksFrom(context),
  }
}

function currentStatus(context: Context): ResponseObject {
  const result = resultMedia(context)
  const redirects = context.api.dialect === 'redirect'
  const either: MediaType = {
    schema: { oneOf: [schemaRef('UnfinishedStatus'), schemaRef(`${context.name}Result`)] },
    example: documentOf(context, 'running'),
  }
  return {
    description: redirects
      ? 'It has not ended; or the result, where the client has followed 303 or prefers "respond-async"; or its events.'
      : 'The result; or the events of the operation.',
    headers: headers([
      'Retry-After?',
      'ETag?',
      'Cache-Control',
      'Vary',
      'Preference-Applied?',
      'Expires?',
      'X-Accel-Buffering?',
    ]),
    content: {
      'application/json': redirects ? either : result,
      'text/event-stream': eventStream(context),
    },
  }
}

function eventStream(context: Context): MediaType {
  const { shareLogs } = context.type.policy
  const events = [
    ': each event holds a status document; the id is where Last-Event-ID goes on',
    `event: status\nid: 2\ndata: ${JSON.stringify(documentOf(context, 'running'))}`,
    ...(shareLogs
      ? ['event: log\nid: 2.1\ndata: {"sequence":1,"level":"info","message":"packing","at":"2026-11-30T12:00:01.000Z"}']
      : []),
    `event: status\nid: 3\ndata: ${JSON.stringify(documentOf(context, 'completed'))}`,
  ]
  return {
    schema: {
      type: 'string',
      description:
        'Server-sent events: "status" with a status document for each change' +
        `${shareLogs ? ', "log" with a line that the handler has logged' : ''}. ` +
        'A comment comes at least every 15 seconds, and the stream ends after the final status.',
    },
    example: `${events.join('\n\n')}\n\n`,
  }
}

function finished(context: Context): ResponseObject {
  return {
    description: 'It has completed, failed or been canceled: Location is its result.',
    headers: headers(['Location', 'Vary', 'Preference-Applied?']),
    content: { 'application/json': { schema: schemaRef('FinalStatus'), example: documentOf(context, 'completed') } },
  }
}

function cancel(context: Context): OperationObject {
  const { type, api, name } = context
  const done: ResponseObject = {
    description: 'It is canceled.',
    content: { 'application/json': { schema: schemaRef('FinalStatus'), example: documentOf(context, 'canceled') } },
  }
  const progress: readonly HeaderUse[] = api.dialect === 'accepted' ? ['X-Progress'] : []
  const asked: ResponseObject = {
    description: 'The cancel is recorded; its handler is told to stop, and the status will say how it ended.',
    headers: headers(['Location', 'Retry-After', ...progress]),
    content: { 'application/json': { schema: schemaRef('StatusDocument'), example: documentOf(context, 'canceling') } },
    links: linksFrom(context),
  }
  return {
    operationId: `cancel${name}`,
    tags: [type.name],
    summary: `Cancel an operation of ${type.name}`,
    description: 'Idempotent. What has not begun is canceled at once; what runs is told to stop.',
    parameters: [ID, ...headerParameters('cancel')],
    responses: {
      ...(api.dialect === 'redirect' && { 200: done }),
      202: asked,
      ...troubleResponses({ problems: [...READ_PROBLEMS, 'operation-finished'] }),
    },
  }
}

function result(context: Context): OperationObject {
  const { type, name } = context
  return {
    operationId: `get${name}Result`,
    tags: [type.name],
    summary: `Read the result of an operation of ${type.name}`,
    description: 'A failed operation answers with the status of its problem, a canceled one with 410.',
    parameters: [ID, ...headerParameters('result')],
    responses: {
      200: resultResponse(context, 'It has completed.', ENDED),
      304: { description: 'It is what the client has already.', headers: headers(ENDED) },
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
      next: { type: 'string', format: 'uri-reference', description: 'The next page, where there is one.' },
    },
  }
  const found: Responses = {
    200: {
      description: 'One page.',
      headers: headers(['Link?']),
      content: { 'application/json': { schema: page, example: { items: [documentOf(context, 'completed')] } } },
    },
  }
  return {
    operationId: `list${name}`,
    tags: [type.name],
    summary: `List your operations of ${type.name}`,
    description:
      'Newest first. A page may hold fewer than "limit" where documents are large: only the absence of the link "next" ends the list.',
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
  { name: 'status', in: 'query', description: 'Only those with this status.', schema: schemaRef('Status') },
  {
    name: 'limit',
    in: 'query',
    description: 'How many at most.',
    schema: { type: 'integer', minimum: 1, maximum: MAX_PAGE_LIMIT, default: DEFAULT_PAGE_LIMIT },
  },
  {
    name: 'cursor',
    in: 'query',
    description: 'Where to go on: what the link to the next page holds.',
    schema: { type: 'string' },
  },
]

type Moment = 'pending' | 'running' | 'canceling' | 'completed' | 'canceled'

/** What an operation's status document says at some moment of its life. */
const MOMENTS: Readonly<Record<Moment, Partial<StatusDocument>>> = {
  pending: { status: 'pending', queuePosition: 1, waitingFor: 'It is next in the queue.' },
  running: { status: 'running', attempt: 1, progress: { fraction: 0.4, message: 'packing' } },
  canceling: { status: 'running', attempt: 1, cancelRequested: true },
  completed: { status: 'completed', attempt: 1, retryAfter: 0, finishedAt: '2026-11-30T12:00:03.000Z' },
  canceled: { status: 'canceled', retryAfter: 0, cancelRequested: true, finishedAt: '2026-11-30T12:00:03.000Z' },
}

function documentOf({ type, api: { base } }: Context, moment: Moment): StatusDocument {
  return {
    id: EXAMPLE_ID,
    operation: type.name,
    status: 'pending',
    createdAt: '2026-11-30T12:00:00.000Z',
    updatedAt: '2026-11-30T12:00:00.000Z',
    attempt: 0,
    maxAttempts: type.policy.attempts,
    retryAfter: 1,
    cancelRequested: false,
    links: linksOf(base, type.name, EXAMPLE_ID),
    ...MOMENTS[moment],
  }
}
