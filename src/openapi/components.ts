/** The schemas, headers and parameters of the wire contract, which every operation type shares. */

import { REQUEST_HEADERS, RESPONSE_HEADERS, type RequestHeader, type RouteKind } from '../model/headers.ts'
import { ATTEMPT_OUTCOMES } from '../model/operation.ts'
import type { JsonSchema, Policy } from '../model/operation-type.ts'
import { STATUSES } from '../model/protocol.ts'
import { type Parameter, pascal, type Reference, type ResponseHeader, ref, schemaRef } from './model.ts'

const text: JsonSchema = { type: 'string' }
const count: JsonSchema = { type: 'integer', minimum: 0 }
const uri: JsonSchema = { type: 'string', format: 'uri-reference' }
const time: JsonSchema = { type: 'string', format: 'date-time' }
const uuid: JsonSchema = { type: 'string', format: 'uuid' }

function say(schema: JsonSchema, description: string): JsonSchema {
  return { ...schema, description }
}

function object(description: string, properties: Record<string, JsonSchema>, optional: readonly string[] = []) {
  const required = Object.keys(properties).filter(name => !optional.includes(name))
  return { type: 'object', description, required, properties }
}

const STATUS_DOCUMENT = object(
  'What a client is told about an operation.',
  {
    id: say(uuid, 'The id of the operation.'),
    operation: say(text, 'The name of the operation type.'),
    status: schemaRef('Status'),
    createdAt: say(time, 'When the operation was accepted.'),
    updatedAt: say(time, 'When it changed last.'),
    startedAt: say(time, 'When the first attempt began.'),
    finishedAt: say(time, 'When it ended.'),
    expiresAt: say(time, 'When the record and its result will be gone.'),
    attempt: say(count, 'The attempt that runs or ran last, from 1; 0 before the first.'),
    maxAttempts: say(count, 'How many attempts it may have.'),
    progress: schemaRef('Progress'),
    queuePosition: say(count, 'How many operations of the type are before it, itself included: 1 is next.'),
    estimatedCompletionAt: say(time, 'When it will have ended, as far as can be told.'),
    retryAfter: say(count, 'Seconds after which asking again is worth it; 0 when it has ended.'),
    cancelRequested: { type: 'boolean', description: 'Someone has asked for it to be canceled.' },
    waitingFor: say(text, 'Why it has not started.'),
    error: schemaRef('Problem'),
    links: schemaRef('Links'),
  },
  ['startedAt', 'finishedAt', 'expiresAt', 'progress', 'queuePosition', 'estimatedCompletionAt', 'waitingFor', 'error'],
)

const PROBLEM = {
  ...object(
    'A problem detail (RFC 9457). There may be more members than these.',
    {
      type: say(uri, 'A URI that names the kind of problem.'),
      title: say(text, 'The kind of problem in a few words.'),
      status: { type: 'integer', minimum: 400, maximum: 599, description: 'The HTTP status it is sent with.' },
      detail: say(text, 'What happened this time, and how to cure it.'),
      code: say(text, 'The last part of the type, for programs to switch on.'),
      errors: { type: 'array', items: schemaRef('InputError'), description: 'What is wrong, place by place.' },
    },
    ['detail', 'code', 'errors'],
  ),
  additionalProperties: true,
}

const MONITOR = object(
  'An operation as the Azure REST guidelines describe it.',
  {
    id: say(uuid, 'The id of the operation.'),
    status: { type: 'string', enum: ['NotStarted', 'Running', 'Succeeded', 'Failed', 'Canceled'] },
    createdDateTime: say(time, 'When the operation was accepted.'),
    lastActionDateTime: say(time, 'When it changed last.'),
    percentComplete: { type: 'integer', minimum: 0, maximum: 100, description: 'How far it is.' },
    resourceLocation: say(uri, 'Where the result is; only when it has succeeded.'),
    result: { description: 'The output; only when it has succeeded and the output is JSON.' },
    error: object('Why it failed or was canceled.', {
      code: say(text, 'The code of the problem.'),
      message: say(text, 'What happened.'),
    }),
  },
  ['resourceLocation', 'result', 'error'],
)

/** An answer of `status` and something else is told by its status. */
function ended(status: string, description: string) {
  return object(description, {
    id: say(uuid, 'The id of the operation.'),
    status: { type: 'string', enum: [status] },
    error: schemaRef('Problem'),
  })
}

const WEBHOOK_EVENT = object('What a webhook tells (Standard Webhooks 1.0.0).', {
  type: say(text, 'The operation type with "_" for "-", and the status: "orders.completed".'),
  timestamp: say(time, 'When the operation ended.'),
  data: object(
    'The operation. It holds neither input nor result: these are asked for.',
    {
      id: say(uuid, 'The id of the operation.'),
      operation: say(text, 'The name of the operation type.'),
      status: { type: 'string', enum: ['completed', 'failed', 'canceled'] },
      links: object('Where to ask.', { status: uri, result: uri, operation: uri }),
      error: schemaRef('Problem'),
    },
    ['links', 'error'],
  ),
})

const DELIVERY_ATTEMPT = object(
  'One attempt to deliver a webhook.',
  {
    number: { type: 'integer', minimum: 1, description: 'Which one it is.' },
    startedAt: say(time, 'When it began.'),
    finishedAt: say(time, 'When it ended.'),
    outcome: say(text, 'How it ended.'),
    answerStatus: { type: 'integer', description: "The HTTP status of the receiver's answer." },
    error: schemaRef('Problem'),
  },
  ['answerStatus', 'error'],
)

const DELIVERY = object(
  'One delivery of a webhook, with retries of its own.',
  {
    id: say(uuid, 'The id of the delivery.'),
    number: say(count, '0 for the first; those that were asked for count on.'),
    event: say(text, 'The webhook-id, which all deliveries of the operation share.'),
    url: say({ type: 'string', format: 'uri' }, 'Where it is sent.'),
    status: schemaRef('Status'),
    createdAt: say(time, 'When it was made.'),
    nextAttemptAt: say(time, 'When it is attempted next.'),
    finishedAt: say(time, 'When it arrived, or was given up.'),
    attempts: {
      type: 'array',
      items: DELIVERY_ATTEMPT,
      description: 'The attempts that have ended, the oldest first.',
    },
  },
  ['nextAttemptAt', 'finishedAt'],
)

const ATTEMPT = object(
  'One attempt at the work of an operation.',
  {
    number: { type: 'integer', minimum: 1, description: 'Which one it is; those that do not count are counted too.' },
    execution: say(text, 'What was started for it, as its engine names it.'),
    engine: say(
      text,
      'What it was started on: "process", "container-apps", "kubernetes", or what another launcher says.',
    ),
    startedAt: say(time, 'When it began.'),
    finishedAt: say(time, 'When it ended.'),
    outcome: {
      type: 'string',
      enum: ['running', ...ATTEMPT_OUTCOMES],
      description: 'How it ended: "released" is handed back at a shutdown, "lost" is gone without a word.',
    },
    error: schemaRef('Problem'),
  },
  ['execution', 'engine', 'finishedAt', 'error'],
)

/** The schemas by name. Those that nothing refers to are left out of the document. */
export const SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  Status: {
    type: 'string',
    enum: STATUSES,
    description: 'pending → running → completed, failed or canceled; the last three never change.',
  },
  StatusDocument: STATUS_DOCUMENT,
  UnfinishedStatus: {
    description: 'The status document of an operation that has not ended.',
    allOf: [schemaRef('StatusDocument'), narrowed(['pending', 'running'])],
  },
  FinalStatus: {
    description: 'The status document of an operation that has ended.',
    allOf: [schemaRef('StatusDocument'), narrowed(['completed', 'failed', 'canceled'])],
  },
  Progress: object(
    'How far the attempt has come.',
    {
      fraction: { type: 'number', minimum: 0, maximum: 1, description: 'From 0 to 1.' },
      message: say(text, 'A few words for people.'),
    },
    ['message'],
  ),
  Links: object('Where the resources of the operation are.', {
    status: say(uri, 'Its status.'),
    result: say(uri, 'Its result.'),
    operation: say(uri, 'Its status as Azure clients read it.'),
    events: say(uri, 'Its events, for who accepts text/event-stream.'),
  }),
  Problem: PROBLEM,
  InputError: object('One thing that is wrong with the input.', {
    pointer: say(text, 'A JSON Pointer (RFC 6901) to it.'),
    detail: say(text, 'What is wrong.'),
  }),
  Failure: ended('failed', 'What stands at the result URL of an operation that failed.'),
  Cancellation: ended('canceled', 'What stands at the result URL of an operation that was canceled.'),
  Monitor: MONITOR,
  WebhookEvent: WEBHOOK_EVENT,
  Attempt: ATTEMPT,
  Delivery: DELIVERY,
  Health: object(
    'How the service is.',
    {
      status: { type: 'string', enum: ['ok', 'ready', 'stalled', 'unavailable'] },
      loops: { type: 'array', items: text, description: 'The loops that have not turned lately.' },
    },
    ['loops'],
  ),
}

function narrowed(statuses: readonly string[]): JsonSchema {
  return { type: 'object', properties: { status: { type: 'string', enum: statuses } } }
}

/** A header of a response: one that is always there, or, with a `?` after the name, one that may be. */
export type HeaderUse = keyof typeof RESPONSE_HEADERS | `${keyof typeof RESPONSE_HEADERS}?`

/** The response headers as components, each as one that is always there and as one that may be. */
export const HEADER_COMPONENTS: Readonly<Record<string, ResponseHeader>> = Object.fromEntries(
  Object.entries(RESPONSE_HEADERS).flatMap(([name, { schema, description }]) => [
    [componentName(name), { description, required: true, schema }],
    [`Optional${componentName(name)}`, { description, schema }],
  ]),
)

/** References to the headers of one answer. */
export function headers(uses: readonly HeaderUse[]): Record<string, Reference> {
  return Object.fromEntries(
    uses.map(use => {
      const name = use.replace('?', '')
      return [name, ref('headers', `${use === name ? '' : 'Optional'}${componentName(name)}`)]
    }),
  )
}

function componentName(header: string): string {
  return pascal({ name: header.toLowerCase() })
}

const REQUESTS: readonly (readonly [string, RequestHeader])[] = Object.entries(REQUEST_HEADERS)

/** The parameters as components: the id in a path, and the headers of requests. */
export const PARAMETERS: Readonly<Record<string, Parameter>> = {
  Id: {
    name: 'id',
    in: 'path',
    required: true,
    description: 'The id of the operation.',
    schema: uuid,
    example: '01936f5e-8c1a-7b3c-9d4e-5f60718293a4',
  },
  ...Object.fromEntries(REQUESTS.map(([name, header]) => [componentName(name), headerParameter(name, header)])),
}

/** The id in the path. */
export const ID: Reference = ref('parameters', 'Id')

function headerParameter(name: string, { description, schema, example }: RequestHeader): Parameter {
  return { name, in: 'header', description, schema, ...(example !== undefined && { example }) }
}

/** Which headers of a route are described. */
interface HeaderChoice {
  /** Those that are read only with this part of Waybill. Default: those that are always read. */
  readonly needs?: RequestHeader['needs']
  /** The policy of the operation type, which may require some of them. */
  readonly policy?: Policy
}

/** The headers that a route reads. */
export function headerParameters(route: RouteKind, { needs, policy }: HeaderChoice = {}): (Parameter | Reference)[] {
  const read = REQUESTS.filter(([, header]) => header.needs === needs && header.routes.includes(route))
  return read.map(([name, header]) =>
    policy !== undefined && header.requiredBy?.(policy)
      ? { ...headerParameter(name, header), required: true }
      : ref('parameters', componentName(name)),
  )
}
