/** What the paths beside those of operation types answer: the status monitor for Azure clients, health, and the description itself. */
import { type HeaderUse, headerParameters, headers, ID } from './components.ts'
import { type OperationObject, type PathItem, type ResponseObject, schemaRef } from './model.ts'
import { EXAMPLE_ID, READ_PROBLEMS, troubleResponses } from './responses.ts'

/** The tags of the paths here; a capital keeps them apart from the names of operation types. */
export const TAGS = {
  Operations: 'The status of an operation of any type, as the Azure REST guidelines describe it.',
  Service: 'How the service is, and what it can do.',
} as const

const MONITOR = {
  id: EXAMPLE_ID,
  status: 'Running',
  createdDateTime: '2026-11-30T12:00:00.000Z',
  lastActionDateTime: '2026-11-30T12:00:01.000Z',
  percentComplete: 40,
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

/** `/operations/{id}` */
export const MONITOR_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}': {
    get: {
      operationId: 'getOperation',
      tags: ['Operations'],
      summary: 'Read how an operation is, as Azure clients do',
      description: 'Always 200 while the operation is known: how it ended is said in the body, with its result.',
      parameters: [ID, ...headerParameters('monitor')],
      responses: {
        200: monitor('How it is. Retry-After stands there until it has ended.', MONITOR),
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
  },
  '/operations/{id}:cancel': {
    post: {
      operationId: 'stopOperation',
      tags: ['Operations'],
      summary: 'Cancel an operation, as Azure clients do',
      description: 'Idempotent. What has not begun is canceled at once; what runs is told to stop.',
      parameters: [ID, ...headerParameters('monitor')],
      responses: {
        200: monitor('It is canceled, or will be told to stop.', { ...MONITOR, status: 'Canceled' }),
        ...troubleResponses({ problems: [...READ_PROBLEMS, 'operation-finished'] }),
      },
    },
  },
}

/** `/operations/{id}/attempts`, where the API tells them. */
export const ATTEMPT_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}/attempts': {
    get: {
      operationId: 'listAttempts',
      tags: ['Operations'],
      summary: 'Read how each attempt of an operation went',
      description: 'Oldest first, the one that runs included; at most the last 50 that have ended.',
      parameters: [ID, ...headerParameters('attempts')],
      responses: {
        200: { description: 'The attempts.', content: { 'application/json': { schema: ATTEMPTS } } },
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
  },
}

/** `/operations/{id}/deliveries`, where the composition sends webhooks. */
export const DELIVERY_PATHS: Readonly<Record<string, PathItem>> = {
  '/operations/{id}/deliveries': {
    get: {
      operationId: 'listDeliveries',
      tags: ['Operations'],
      summary: 'Read what became of the webhook of an operation',
      description: 'Oldest first. There are none before the operation has ended, or where it names no Webhook-Url.',
      parameters: [ID, ...headerParameters('deliveries')],
      responses: {
        200: { description: 'The deliveries.', content: { 'application/json': { schema: DELIVERIES } } },
        ...troubleResponses({ problems: READ_PROBLEMS }),
      },
    },
    post: {
      operationId: 'redeliver',
      tags: ['Operations'],
      summary: 'Send the webhook of an operation once more',
      description: 'The same event to the same URL under the same webhook-id, as a new delivery.',
      parameters: [ID, ...headerParameters('deliveries')],
      responses: {
        202: {
          description: 'It will be sent at once.',
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

/** The paths around, with what `metrics` decides. */
export function servicePaths({ metrics }: { metrics: boolean }): Record<string, PathItem> {
  const text = { 'text/plain': { schema: { type: 'string' } } }
  return {
    '/healthz': { get: health('getHealth', 'Is the process alive?', ['ok', 'stalled']) },
    '/readyz': { get: health('getReadiness', 'Can the service take requests?', ['ready', 'unavailable']) },
    ...(metrics && {
      '/metrics': {
        get: open('getMetrics', 'Read the metrics', {
          200: { description: 'In the Prometheus text format.', content: text },
          ...troubleResponses({ problems: ['precondition-failed', 'internal-error'] }),
        }),
      },
    }),
    '/openapi.json': { get: description('getOpenApi', 'Read this description', 'application/json') },
    '/docs': { get: description('getDocs', 'Read this description as a page', 'text/html', PAGE_HEADERS) },
  }
}

const PAGE_HEADERS: readonly HeaderUse[] = ['Content-Security-Policy', 'Referrer-Policy', 'X-Content-Type-Options']

function open(operationId: string, summary: string, responses: OperationObject['responses']): OperationObject {
  return { operationId, tags: ['Service'], summary, description: 'It is open to everyone.', responses, security: [] }
}

function health(operationId: string, summary: string, [good, bad]: readonly [string, string]): OperationObject {
  const answer = (description: string, status: string): ResponseObject => {
    return { description, content: { 'application/json': { schema: schemaRef('Health'), example: { status } } } }
  }
  return open(operationId, summary, {
    200: answer('Yes.', good),
    503: answer('No.', bad),
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
      200: { description: 'It.', headers: headers(common), content: { [media]: { schema } } },
      304: { description: 'It is what the client has already.', headers: headers(common) },
      ...troubleResponses({ problems: ['precondition-failed', 'internal-error'] }),
    },
  }
}
