/** The schemas, headers and parameters that all operation types share. */

import { REQUEST_HEADERS, RESPONSE_HEADERS, type RequestHeader, type RouteKind } from '../model/headers.ts'
import { ATTEMPT_OUTCOMES } from '../model/operation.ts'
import type { JsonSchema, Policy } from '../model/operation-type.ts'
import { STATUSES } from '../model/protocol.ts'
import { WAIT_KINDS } from '../model/waits.ts'
import { type Parameter, pascal, type Reference, type ResponseHeader, ref, schemaRef } from './model.ts'

const text: JsonSchema = { type: 'string' }
const count: JsonSchema = { type: 'integer', minimum: 0 }
const uri: JsonSchema = { type: 'string', format: 'uri-reference' }
const time: JsonSchema = { type: 'string', format: 'date-time' }
const uuid: JsonSchema = { type: 'string', format: 'uuid' }

export function say(schema: JsonSchema, description: string): JsonSchema {
  return { ...schema, description }
}

export function object(description: string, properties: Record<string, JsonSchema>, optional: readonly string[] = []) {
  const required = Object.keys(properties).filter(name => !optional.includes(name))
  return { type: 'object', description, required, properties }
}

const STATUS_DOCUMENT = object(
  'The status of an operation.',
  {
    id: say(uuid, 'The id of the operation.'),
    operation: say(text, 'The name of the operation type.'),
    status: schemaRef('Status'),
    createdAt: say(time, 'When the operation was accepted.'),
    updatedAt: say(time, 'When the operation last changed.'),
    notBefore: say(time, 'The time before which the work does not begin, if the request set one that has not passed.'),
    deadline: say(time, 'When the operation fails unless it has finished.'),
    startedAt: say(time, 'When the first attempt started.'),
    finishedAt: say(time, 'When the operation finished.'),
    expiresAt: say(time, 'When the operation and its result will be deleted.'),
    attempt: say(count, 'The number of the current or last attempt, from 1; 0 before the first attempt.'),
    maxAttempts: say(count, 'The maximum number of attempts.'),
    progress: schemaRef('Progress'),
    queuePosition: say(count, 'The position in the queue of its operation type: 1 is next.'),
    estimatedCompletionAt: say(time, 'The estimated time at which the operation finishes.'),
    retryAfter: say(count, 'Seconds to wait before polling again; 0 when the operation has finished.'),
    cancelRequested: { type: 'boolean', description: 'Whether a cancel has been requested.' },
    waitingFor: say(text, 'Why the operation has not started, or does not go on.'),
    waits: { type: 'array', items: schemaRef('Wait'), description: 'What the handler of the operation waits for.' },
    children: schemaRef('Children'),
    error: schemaRef('Problem'),
    tags: say({ type: 'object', additionalProperties: text }, 'Names and values that the service gave the operation.'),
    links: schemaRef('Links'),
  },
  [
    'notBefore',
    'deadline',
    'startedAt',
    'finishedAt',
    'expiresAt',
    'progress',
    'queuePosition',
    'estimatedCompletionAt',
    'waitingFor',
    'waits',
    'children',
    'error',
    'tags',
  ],
)

const PROBLEM = {
  ...object(
    'A problem detail (RFC 9457). It may have additional members.',
    {
      type: say(uri, 'A URI that identifies the kind of problem.'),
      title: say(text, 'A short summary of the kind of problem.'),
      status: { type: 'integer', minimum: 400, maximum: 599, description: 'The HTTP status code of the problem.' },
      detail: say(text, 'What happened, and how to fix it.'),
      code: say(text, 'The last part of "type", for programs to compare.'),
      errors: {
        type: 'array',
        items: schemaRef('InputError'),
        description: 'The errors in the input, one for each place.',
      },
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
    lastActionDateTime: say(time, 'When the operation last changed.'),
    percentComplete: { type: 'integer', minimum: 0, maximum: 100, description: 'Progress in percent.' },
    resourceLocation: say(uri, 'The URL of the result. Present only if the operation succeeded.'),
    result: { description: 'The output. Present only if the operation succeeded and the output is JSON.' },
    error: object('Why the operation failed or was canceled.', {
      code: say(text, 'The code of the problem.'),
      message: say(text, 'What happened.'),
    }),
  },
  ['resourceLocation', 'result', 'error'],
)

/** The document at the result URL of an operation without a result. */
function ended(status: string, description: string) {
  return object(description, {
    id: say(uuid, 'The id of the operation.'),
    status: { type: 'string', enum: [status] },
    error: schemaRef('Problem'),
  })
}

const WEBHOOK_EVENT = object('The body of a webhook (Standard Webhooks 1.0.0).', {
  type: say(text, 'The operation type, with "_" instead of "-", and the status, such as "orders.completed".'),
  timestamp: say(time, 'When the operation finished.'),
  data: object(
    'The operation, without its input and result. Read these from the links.',
    {
      id: say(uuid, 'The id of the operation.'),
      operation: say(text, 'The name of the operation type.'),
      status: { type: 'string', enum: ['completed', 'failed', 'canceled'] },
      links: object('URLs of the operation.', { status: uri, result: uri, operation: uri }),
      error: schemaRef('Problem'),
    },
    ['links', 'error'],
  ),
})

/** The part of a wait that is a question to a language model. */
export const MODEL_QUESTION: JsonSchema = {
  type: 'object',
  properties: { maxTokens: say(count, 'The most tokens of the answer.') },
  required: ['maxTokens'],
  description: 'Of a question that a language model is to answer.',
}

const WAIT = object(
  'What the handler of an operation waits for.',
  {
    kind: {
      type: 'string',
      enum: WAIT_KINDS,
      description:
        '"time" and "children": nobody needs to do anything. "event": a system sends something. "input": a person or an agent answers the message.',
    },
    name: say(text, 'The name of the wait.'),
    until: say(time, 'When it ends without an event.'),
    message: say(text, 'The question.'),
    schema: { type: 'object', description: 'The JSON Schema of the event.' },
    model: MODEL_QUESTION,
    url: say(uri, 'The URL to POST the event to.'),
  },
  ['until', 'message', 'schema', 'model', 'url'],
)

const CHILDREN = object('The operations that the handler of an operation has submitted, as far as they are kept.', {
  total: say(count, 'How many there are.'),
  completed: say(count, 'How many of them have completed.'),
  failed: say(count, 'How many of them have failed.'),
  canceled: say(count, 'How many of them were canceled.'),
})

const DELIVERY_ATTEMPT = object(
  'One attempt to deliver a webhook.',
  {
    number: { type: 'integer', minimum: 1, description: 'The number of the attempt, from 1.' },
    startedAt: say(time, 'When the attempt started.'),
    finishedAt: say(time, 'When the attempt finished.'),
    outcome: say(text, 'How the attempt ended.'),
    answerStatus: { type: 'integer', description: "The HTTP status of the receiver's answer." },
    error: schemaRef('Problem'),
  },
  ['answerStatus', 'error'],
)

const DELIVERY = object(
  'One delivery of a webhook, with its own retries.',
  {
    id: say(uuid, 'The id of the delivery.'),
    number: say(count, '0 for the first delivery, 1 and up for those that were requested later.'),
    event: say(text, 'The webhook-id. All deliveries of an operation have the same one.'),
    url: say({ type: 'string', format: 'uri' }, 'The URL that receives the webhook.'),
    status: schemaRef('Status'),
    createdAt: say(time, 'When the delivery was created.'),
    nextAttemptAt: say(time, 'When the next attempt starts.'),
    finishedAt: say(time, 'When the webhook was delivered or given up.'),
    attempts: {
      type: 'array',
      items: DELIVERY_ATTEMPT,
      description: 'The finished attempts, oldest first.',
    },
  },
  ['nextAttemptAt', 'finishedAt'],
)

const ATTEMPT = object(
  'One attempt to run an operation.',
  {
    number: {
      type: 'integer',
      minimum: 1,
      description: 'The number of the attempt, from 1. Released, suspended and lost attempts are numbered too.',
    },
    execution: say(text, 'The execution that was started for the attempt, by the name that its engine gave it.'),
    engine: say(
      text,
      'The engine that runs the execution: "process", "container-apps", "kubernetes", or the name of another launcher.',
    ),
    startedAt: say(time, 'When the attempt started.'),
    finishedAt: say(time, 'When the attempt finished.'),
    outcome: {
      type: 'string',
      enum: ['running', ...ATTEMPT_OUTCOMES],
      description:
        'How the attempt ended: "released" means handed back at shutdown, "suspended" that the handler waited, "lost" means that its worker stopped responding.',
    },
    error: schemaRef('Problem'),
  },
  ['execution', 'engine', 'finishedAt', 'error'],
)

/** The schemas by name. The document contains only those that something refers to. */
export const SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  Status: {
    type: 'string',
    enum: STATUSES,
    description: 'pending → running → completed, failed or canceled. The last three are final.',
  },
  StatusDocument: STATUS_DOCUMENT,
  UnfinishedStatus: {
    description: 'The status document of an operation that has not finished.',
    allOf: [schemaRef('StatusDocument'), narrowed(['pending', 'running'])],
  },
  FinalStatus: {
    description: 'The status document of an operation that has finished.',
    allOf: [schemaRef('StatusDocument'), narrowed(['completed', 'failed', 'canceled'])],
  },
  Progress: object(
    'The progress of the current attempt.',
    {
      fraction: { type: 'number', minimum: 0, maximum: 1, description: 'Progress from 0 to 1.' },
      message: say(text, 'A short message for people.'),
    },
    ['message'],
  ),
  Links: object(
    'URLs of the operation.',
    {
      status: say(uri, 'The status.'),
      result: say(uri, 'The result.'),
      operation: say(uri, 'The status in the format of Azure clients.'),
      events: say(uri, 'The stream of events, with "Accept: text/event-stream".'),
      retryOf: say(uri, 'The status of the operation that this one runs again.'),
      retriedBy: say(uri, 'The status of the operation that runs this one again.'),
      parent: say(uri, 'The operation that has submitted this one, in the format of Azure clients.'),
    },
    ['retryOf', 'retriedBy', 'parent'],
  ),
  Problem: PROBLEM,
  InputError: object('One error in the input.', {
    pointer: say(text, 'A JSON Pointer (RFC 6901) to the place of the error.'),
    detail: say(text, 'What is wrong.'),
  }),
  Failure: ended('failed', 'The document at the result URL of a failed operation.'),
  Cancellation: ended('canceled', 'The document at the result URL of a canceled operation.'),
  Monitor: MONITOR,
  Wait: WAIT,
  Children: CHILDREN,
  EventReceipt: object('The receipt of an event.', {
    id: say(uuid, 'The id of the operation.'),
    name: say(text, 'The name of the event.'),
  }),
  CallbackReceipt: object('The receipt of an event.', { id: say(uuid, 'The id of the operation.') }),
  WebhookEvent: WEBHOOK_EVENT,
  Attempt: ATTEMPT,
  Delivery: DELIVERY,
  Health: object(
    'The health of the service.',
    {
      status: { type: 'string', enum: ['ok', 'ready', 'stalled', 'unavailable'] },
      loops: { type: 'array', items: text, description: 'The background loops that have stalled.' },
    },
    ['loops'],
  ),
}

function narrowed(statuses: readonly string[]): JsonSchema {
  return { type: 'object', properties: { status: { type: 'string', enum: statuses } } }
}

/** A header of a response. A `?` after the name marks a header that not every such response has. */
export type HeaderUse = keyof typeof RESPONSE_HEADERS | `${keyof typeof RESPONSE_HEADERS}?`

/** The response headers as components: each one as required and as optional. */
export const HEADER_COMPONENTS: Readonly<Record<string, ResponseHeader>> = Object.fromEntries(
  Object.entries(RESPONSE_HEADERS).flatMap(([name, { schema, description }]) => [
    [componentName(name), { description, required: true, schema }],
    [`Optional${componentName(name)}`, { description, schema }],
  ]),
)

/** References to the headers of one response. */
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

/** Selects the headers of a route. */
interface HeaderChoice {
  /** Select those that are read only if this part of Waybill is configured. Default: those that are always read. */
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
