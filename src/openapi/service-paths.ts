/** Describes the paths that belong to no operation type: the status for Azure clients, health, metrics, and the description itself. */
import { type HeaderUse, headerParameters, headers, ID } from './components.ts'
import { type OperationObject, type Parameter, type PathItem, type ResponseObject, schemaRef } from './model.ts'
import { EXAMPLE_ID, READ_PROBLEMS, troubleResponses } from './responses.ts'

/** The tags of these paths. A capital letter distinguishes them from operation types, whose names are in lower case. */
export const TAGS = {
  Operations: 'The status of an operation of any type, in the format of the Azure REST guidelines.',
  Service: 'The health and the description of the service.',
} as const

const MONITOR = {
  id: EXAMPLE_ID,
  status: 'Running',
  createdDateTime: '2026-11-30T12:00:00.000Z',
  lastActionDateTime: '2026-11-30T12:00:01.000Z',
  percentComplete: 40,
}

const WAIT = {
  kind: 'input',
  name: 'approval',
  message: 'The order costs 1,200 EUR. Approve it?',
  schema: { type: 'boolean' },
  url: `/operations/${EXAMPLE_ID}/events/approval`,
}

const DELIVERIES = {
  type: 'object',
  required: ['items'],
  properties: { items: { type: 'array', items: schemaRef('Delivery') } },
}

const ATTEMPTS = {
  type: 'object',
  required: ['items'],
  properties: { items: { type: 'array', items: schemaRef('Attempt') } },
}

const FLAG = { type: 'boolean', default: false }
const CANCEL_FIRST: Parameter = {
  name: 'cancel',
  in: 'query',
  description: 'Whether an operation that has not finished is canceled first.',
  schema: FLAG,
}
const FRESH: Parameter = {
  name: 'fresh',
  in: 'query',
  description: 'Whether recorded steps are run again too.',
  schema: FLAG,
}

/** `/operations/{id}` */
export const MONITOR_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}': {
    get: {
      operationId: 'getOperation',
      tags: ['Operations'],
      summary: 'Get the status of an operation, for Azure clients',
      description: 'Answers 200 for every operation that exists. The body contains the outcome and the result.',
      parameters: [ID, ...headerParameters('monitor')],
      responses: {
        200: monitor('Current status. Includes Retry-After until the operation has finished.', MONITOR),
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
    delete: {
      operationId: 'deleteOperation',
      tags: ['Operations'],
      summary: 'Delete an operation that has finished',
      description:
        'Deletes its input, result, steps and log at once. From then on its URLs answer 410, and later 404. An operation ' +
        'that has not finished is refused, or, with cancel=true, canceled first.',
      parameters: [ID, CANCEL_FIRST, ...headerParameters('delete')],
      responses: {
        202: monitor('The operation was asked to stop. Send the request again when it has finished.', MONITOR),
        204: { description: 'The operation is deleted.' },
        ...troubleResponses({ problems: [...READ_PROBLEMS, 'operation-unfinished', 'operation-finished'] }),
      },
    },
  },
  '/operations/{id}:retry': {
    post: {
      operationId: 'retryOperation',
      tags: ['Operations'],
      summary: 'Retry an operation that failed or was canceled',
      description:
        'Creates a new operation with the same input. Steps that were recorded are not run again, unless fresh=true. ' +
        'Idempotent: an operation has one retry. A retry that failed is retried by its own id.',
      parameters: [ID, FRESH, ...headerParameters('retry')],
      responses: {
        202: {
          description: 'The new operation, or the one that an earlier retry created.',
          headers: headers(['Location', 'Operation-Location', 'Retry-After', 'Idempotency-Replayed?']),
          content: { 'application/json': { schema: schemaRef('StatusDocument') } },
        },
        ...troubleResponses({
          problems: [...READ_PROBLEMS, 'operation-unfinished', 'not-retryable', 'too-many-requests'],
          headers: { 429: ['Retry-After?'] },
        }),
      },
    },
  },
  '/operations/{id}:cancel': {
    post: {
      operationId: 'stopOperation',
      tags: ['Operations'],
      summary: 'Cancel an operation, for Azure clients',
      description: 'Idempotent. A pending operation is canceled at once; a running one is asked to stop.',
      parameters: [ID, ...headerParameters('monitor')],
      responses: {
        200: monitor('The operation is canceled, or has been asked to stop.', { ...MONITOR, status: 'Canceled' }),
        ...troubleResponses({ problems: [...READ_PROBLEMS, 'operation-finished'] }),
      },
    },
  },
}

const EVENT_NAME: Parameter = {
  name: 'name',
  in: 'path',
  required: true,
  description: 'The name of the wait, as the status document shows it.',
  schema: { type: 'string', minLength: 1, maxLength: 69 },
  example: 'approval',
}

const TOKEN: Parameter = {
  name: 'token',
  in: 'path',
  required: true,
  description: 'The secret part of the callback URL.',
  schema: { type: 'string' },
  example: 'kY3v0QeKqJbqg3bq0bTn5w7cC1yqk2Zs',
}

const EVENT_PROBLEMS = [
  ...READ_PROBLEMS,
  'invalid-json',
  'invalid-request',
  'body-too-large',
  'unsupported-media-type',
  'unsupported-content-coding',
  'invalid-event',
  'event-refused',
  'operation-finished',
] as const

const EVENT_BODY = {
  required: true,
  description: 'One JSON value of at most 64 KiB.',
  content: { 'application/json': { schema: { description: 'Any JSON value that the schema of the wait allows.' } } },
}

/** `/operations/{id}/events/{name}`, and callback URLs. */
export const EVENT_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}/events/{name}': {
    get: {
      operationId: 'getWait',
      tags: ['Operations'],
      summary: 'Get what an operation waits for',
      description: 'Answers 404 where the operation does not wait for an event of this name now.',
      parameters: [ID, EVENT_NAME, ...headerParameters('events')],
      responses: {
        200: {
          description: 'The question, or the event that is expected.',
          content: { 'application/json': { schema: schemaRef('Wait'), example: WAIT } },
        },
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
    post: {
      operationId: 'sendEvent',
      tags: ['Operations'],
      summary: 'Send an event to an operation that waits for it',
      description:
        'The first event of a name counts. The same event again is accepted and changes nothing; another one is refused ' +
        'with 409. An event that comes before the operation waits for it is kept.',
      parameters: [ID, EVENT_NAME, ...headerParameters('events')],
      requestBody: EVENT_BODY,
      responses: {
        202: {
          description: 'The event is stored, and the operation goes on.',
          content: { 'application/json': { schema: schemaRef('EventReceipt') } },
        },
        ...troubleResponses({ problems: EVENT_PROBLEMS, headers: { 415: ['Accept-Encoding?'] } }),
      },
    },
  },
  '/operations/{id}/callbacks/{token}': {
    post: {
      operationId: 'sendCallback',
      tags: ['Operations'],
      summary: 'Send an event to a callback URL',
      description: 'Requires no authentication: a handler gives the URL to the system that sends the event.',
      parameters: [ID, TOKEN, ...headerParameters('events')],
      requestBody: EVENT_BODY,
      responses: {
        202: {
          description: 'The event is stored, and the operation goes on.',
          content: { 'application/json': { schema: schemaRef('CallbackReceipt') } },
        },
        ...troubleResponses({ problems: EVENT_PROBLEMS, headers: { 415: ['Accept-Encoding?'] } }),
      },
      security: [],
    },
  },
}

/** `/operations/{id}/attempts`, if the API exposes attempts. */
export const ATTEMPT_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}/attempts': {
    get: {
      operationId: 'listAttempts',
      tags: ['Operations'],
      summary: 'List the attempts of an operation',
      description: 'Oldest first. Includes the running attempt and the last 50 finished ones.',
      parameters: [ID, ...headerParameters('attempts')],
      responses: {
        200: { description: 'The attempts.', content: { 'application/json': { schema: ATTEMPTS } } },
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
  },
}

/** `/operations/{id}/deliveries`, if the API sends webhooks. */
export const DELIVERY_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}/deliveries': {
    get: {
      operationId: 'listDeliveries',
      tags: ['Operations'],
      summary: 'List the webhook deliveries of an operation',
      description:
        'Oldest first. The list is empty until the operation has finished, and for an operation without Webhook-Url.',
      parameters: [ID, ...headerParameters('deliveries')],
      responses: {
        200: { description: 'The deliveries.', content: { 'application/json': { schema: DELIVERIES } } },
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
    post: {
      operationId: 'redeliver',
      tags: ['Operations'],
      summary: 'Send the webhook of an operation again',
      description: 'Sends the same event to the same URL with the same webhook-id, as a new delivery.',
      parameters: [ID, ...headerParameters('deliveries')],
      responses: {
        202: {
          description: 'The new delivery, which is sent at once.',
          content: { 'application/json': { schema: schemaRef('Delivery') } },
        },
        ...troubleResponses({
          problems: [...READ_PROBLEMS, 'not-finished', 'no-webhook', 'too-many-requests'],
          headers: { 429: ['Retry-After?'] },
        }),
      },
    },
  },
}

function monitor(description: string, example: unknown): ResponseObject {
  const content = { 'application/json': { schema: schemaRef('Monitor'), example } }
  return { description, headers: headers(['Retry-After?']), content }
}

/** The paths of the service; `/metrics` only if it is on. */
export function servicePaths({ metrics }: { metrics: boolean }): Record<string, PathItem> {
  const text = { 'text/plain': { schema: { type: 'string' } } }
  return {
    '/healthz': { get: health('getHealth', 'Check that the process is alive', ['ok', 'stalled']) },
    '/readyz': { get: health('getReadiness', 'Check that the service can accept requests', ['ready', 'unavailable']) },
    ...(metrics && {
      '/metrics': {
        get: open('getMetrics', 'Get the metrics', {
          200: { description: 'The metrics in the Prometheus text format.', content: text },
          ...troubleResponses({ problems: ['precondition-failed', 'internal-error'] }),
        }),
      },
    }),
    '/openapi.json': { get: description('getOpenApi', 'Get this description', 'application/json') },
    '/docs': { get: description('getDocs', 'Get this description as an HTML page', 'text/html', PAGE_HEADERS) },
  }
}

const PAGE_HEADERS: readonly HeaderUse[] = ['Content-Security-Policy', 'Referrer-Policy', 'X-Content-Type-Options']

function open(operationId: string, summary: string, responses: OperationObject['responses']): OperationObject {
  return {
    operationId,
    tags: ['Service'],
    summary,
    description: 'Requires no authentication.',
    responses,
    security: [],
  }
}

function health(operationId: string, summary: string, [good, bad]: readonly [string, string]): OperationObject {
  const answer = (description: string, status: string): ResponseObject => {
    return { description, content: { 'application/json': { schema: schemaRef('Health'), example: { status } } } }
  }
  return open(operationId, summary, {
    200: answer('Healthy.', good),
    503: answer('Unhealthy.', bad),
    ...troubleResponses({ problems: ['precondition-failed'] }),
  })
}

function description(operationId: string, summary: string, media: string, more: readonly HeaderUse[] = []) {
  const common: readonly HeaderUse[] = ['ETag', 'Cache-Control', ...more]
  const schema = media === 'application/json' ? { type: 'object' } : { type: 'string' }
  const answer = { ...open(operationId, summary, {}), parameters: headerParameters('description') }
  return {
    ...answer,
    responses: {
      200: { description: 'The description.', headers: headers(common), content: { [media]: { schema } } },
      304: { description: 'The client already has this version.', headers: headers(common) },
      ...troubleResponses({ problems: ['precondition-failed', 'internal-error'] }),
    },
  }
}
