/** Describes the routes of the admin API. */
import type { ProblemCode } from '../../model/problem-kinds.ts'
import { type HeaderUse, headerParameters } from '../../openapi/components.ts'
import {
  type OperationObject,
  type Parameter,
  type PathItem,
  type ResponseObject,
  schemaRef,
} from '../../openapi/model.ts'
import { troubleResponses } from '../../openapi/responses.ts'
import { CHILD_STATES } from '../../stores/store.ts'

/** The refusals that any request may get. */
const REFUSALS: readonly ProblemCode[] = ['unauthenticated', 'forbidden', 'unavailable', 'internal-error']
const CHANGE_REFUSALS: readonly ProblemCode[] = ['cross-origin', 'admin-token-invalid']
const BODY_PROBLEMS: readonly ProblemCode[] = [
  'invalid-json',
  'invalid-request',
  'body-too-large',
  'unsupported-media-type',
  'unsupported-content-coding',
]
const HEADERS: Readonly<Record<number, readonly HeaderUse[]>> = {
  401: ['WWW-Authenticate'],
  415: ['Accept-Encoding?'],
  429: ['Retry-After?'],
  503: ['Retry-After?'],
}

const TOKEN: Parameter = {
  name: 'waybill-token',
  in: 'header',
  required: true,
  description: 'The token of the session, from the response of GET /admin/session.',
  schema: { type: 'string' },
}
const ID = inPath('id', 'The id of the operation.')
const RUN = inPath('id', 'The id of the bulk run.')
const TYPE = inPath('name', 'The name of the operation type.')
const EVENT = inPath('name', 'The name of the wait.')
const AFTER = inQuery('after', 'The "next" of the previous page.', { type: 'string' })
const LIMIT = inQuery('limit', 'The number of items on a page.', {
  type: 'integer',
  minimum: 1,
  maximum: 500,
  default: 50,
})

function inPath(name: string, description: string): Parameter {
  return { name, in: 'path', required: true, description, schema: { type: 'string' } }
}

function inQuery(name: string, description: string, schema: Parameter['schema']): Parameter {
  return { name, in: 'query', description, schema }
}

/** What one route does, and its answer on success. */
interface Described {
  readonly id: string
  readonly tag: 'Operations' | 'Types' | 'Bulk runs' | 'Console'
  readonly summary: string
  readonly description?: string
  readonly parameters?: readonly Parameter[]
  /** The schema of the body. */
  readonly body?: string | Parameter['schema']
  readonly answers: Readonly<Record<number, ResponseObject>>
  readonly problems?: readonly ProblemCode[]
}

function ok(description: string, schema: string): Readonly<Record<number, ResponseObject>> {
  return { 200: { description, content: { 'application/json': { schema: schemaRef(schema) } } } }
}

const GONE: Readonly<Record<number, ResponseObject>> = { 204: { description: 'Done.' } }

function look(described: Described): PathItem {
  const parameters = [...(described.parameters ?? []), ...headerParameters('monitor')]
  return { get: operation({ ...described, parameters: [] }, parameters, ['precondition-failed']) }
}

function change(described: Described): OperationObject {
  const problems = [...CHANGE_REFUSALS, ...(described.body === undefined ? [] : BODY_PROBLEMS)]
  return operation(described, [...(described.parameters ?? []), TOKEN], problems)
}

function operation(
  { id, tag, summary, description = summary, body, answers, problems = [] }: Described,
  parameters: NonNullable<OperationObject['parameters']>,
  more: readonly ProblemCode[],
): OperationObject {
  const schema = typeof body === 'string' ? schemaRef(body) : body
  const codes = new Set([...problems, ...more, ...REFUSALS])
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: `${description.replace(/\.$/, '')}.`,
    parameters,
    ...(schema && {
      requestBody: { required: true, description: 'A JSON value.', content: { 'application/json': { schema } } },
    }),
    responses: { ...answers, ...troubleResponses({ problems: [...codes], headers: HEADERS }) },
  }
}

const OPERATIONS: Readonly<Record<string, PathItem>> = {
  '/admin/operations': look({
    id: 'browseOperations',
    tag: 'Operations',
    summary: 'List the operations that match a filter',
    description:
      'Newest first. Each page reads a limited number of operations, so a page can be empty and still have a "next".',
    parameters: [
      inQuery('filter', 'A filter, such as "status:failed type:orders since:2h". Default: all operations.', {
        type: 'string',
      }),
      AFTER,
      LIMIT,
    ],
    answers: ok('A page.', 'OperationPage'),
    problems: ['invalid-request'],
  }),
  '/admin/operations/{id}': {
    ...look({
      id: 'showOperation',
      tag: 'Operations',
      summary: 'Get one operation with its attempts, steps, deliveries and children',
      parameters: [ID],
      answers: ok('The operation.', 'OperationDetail'),
      problems: ['not-found'],
    }),
    delete: change({
      id: 'removeOperation',
      tag: 'Operations',
      summary: 'Delete the payloads, steps and log of an operation that has finished',
      parameters: [ID],
      answers: GONE,
      problems: ['not-found', 'operation-unfinished', 'operation-expired'],
    }),
  },
  '/admin/operations/{id}/input': payload('showInput', 'Get the input of an operation'),
  '/admin/operations/{id}/result': payload('showResult', 'Get the result of an operation if it is JSON'),
  '/admin/operations/{id}/log': look({
    id: 'showLog',
    tag: 'Operations',
    summary: 'Get the log of an operation',
    description: 'At most 1,000 lines.',
    parameters: [
      ID,
      inQuery('after', 'The sequence number of the last line that you have.', { type: 'integer', minimum: 0 }),
    ],
    answers: ok('The lines.', 'LogLines'),
    problems: ['invalid-request'],
  }),
  '/admin/operations/{id}/children': look({
    id: 'listChildren',
    tag: 'Operations',
    summary: 'List the operations that the handler of this one has submitted',
    parameters: [
      ID,
      inQuery('state', 'The state of the children. Pending and running children are unfinished.', {
        type: 'string',
        enum: CHILD_STATES,
        default: 'unfinished',
      }),
      AFTER,
      LIMIT,
    ],
    answers: ok('A page, in the order of their ids.', 'ChildrenPage'),
    problems: ['invalid-request'],
  }),
  '/admin/operations/{id}/results': look({
    id: 'listResults',
    tag: 'Operations',
    summary: 'List the items of a batch with their results',
    parameters: [ID, AFTER, LIMIT],
    answers: ok('A page, in the order of the input.', 'ResultsPage'),
    problems: ['not-found', 'invalid-request'],
  }),
  '/admin/operations/{id}/cancel': {
    post: change({
      id: 'cancelAnyOperation',
      tag: 'Operations',
      summary: 'Cancel an operation, as its owner does',
      parameters: [ID],
      answers: ok('The operation after the change.', 'OperationView'),
      problems: ['not-found', 'operation-finished', 'operation-expired'],
    }),
  },
  '/admin/operations/{id}/retry': {
    post: change({
      id: 'retryAnyOperation',
      tag: 'Operations',
      summary: 'Run a failed or canceled operation again',
      description: 'Creates a new operation. A repeated request returns the same new operation.',
      parameters: [ID],
      body: { type: 'object', properties: { fresh: { type: 'boolean', default: false } } },
      answers: ok('The new operation.', 'OperationView'),
      problems: ['not-found', 'operation-unfinished', 'not-retryable', 'operation-expired'],
    }),
  },
  '/admin/operations/{id}/events/{name}': {
    post: change({
      id: 'sendAnyEvent',
      tag: 'Operations',
      summary: 'Send an event to an operation, or the answer to its question',
      parameters: [ID, EVENT],
      body: { description: 'Any JSON value that the schema of the wait allows.' },
      answers: ok('The operation after the change.', 'OperationView'),
      problems: ['not-found', 'operation-finished', 'operation-expired', 'invalid-event', 'event-refused'],
    }),
  },
  '/admin/deliveries/{id}/replay': {
    post: change({
      id: 'replayDelivery',
      tag: 'Operations',
      summary: 'Send a webhook again',
      parameters: [inPath('id', 'The id of the operation, or of one of its deliveries.')],
      answers: ok('The new delivery.', 'WebhookDelivery'),
      problems: ['not-found', 'no-webhook', 'not-finished', 'operation-expired', 'too-many-requests'],
    }),
  },
}

function payload(id: string, summary: string): PathItem {
  const content = { 'application/json': { schema: { description: 'Any JSON value.' } } }
  const answers = { 200: { description: 'The payload without the fields that the type redacts.', content } }
  return look({ id, tag: 'Operations', summary, parameters: [ID], answers, problems: ['not-found'] })
}

function typeChange(id: string, summary: string): PathItem {
  return { post: change({ id, tag: 'Types', summary, parameters: [TYPE], answers: GONE, problems: ['not-found'] }) }
}

const TYPES: Readonly<Record<string, PathItem>> = {
  '/admin/types': look({
    id: 'listTypes',
    tag: 'Types',
    summary: 'List the operation types',
    answers: ok('The types.', 'TypeViews'),
  }),
  '/admin/types/{name}/pause': typeChange('pauseType', 'Pause an operation type'),
  '/admin/types/{name}/resume': typeChange('resumeType', 'Resume an operation type'),
}

const BULK: Readonly<Record<string, PathItem>> = {
  '/admin/bulk': {
    ...look({
      id: 'listBulkRuns',
      tag: 'Bulk runs',
      summary: 'List the last bulk runs',
      answers: ok('The runs.', 'BulkRuns'),
    }),
    post: change({
      id: 'startBulkRun',
      tag: 'Bulk runs',
      summary: 'Start an action on many operations, which runs in the background',
      body: 'BulkRequest',
      answers: {
        202: { description: 'The run.', content: { 'application/json': { schema: schemaRef('BulkRun') } } },
      },
    }),
  },
  '/admin/bulk/preview': {
    post: change({
      id: 'previewBulkRun',
      tag: 'Bulk runs',
      summary: 'Count the operations on which a bulk run would act now',
      body: 'BulkRequest',
      answers: ok('The number, and some of the operations.', 'BulkPreview'),
    }),
  },
  '/admin/bulk/{id}': look({
    id: 'showBulkRun',
    tag: 'Bulk runs',
    summary: 'Get a bulk run',
    parameters: [RUN],
    answers: ok('The run.', 'BulkRun'),
    problems: ['not-found'],
  }),
  '/admin/bulk/{id}/cancel': {
    post: change({
      id: 'cancelBulkRun',
      tag: 'Bulk runs',
      summary: 'Stop a bulk run',
      description: 'Actions that it has already done are not undone.',
      parameters: [RUN],
      answers: ok('The run after the change.', 'BulkRun'),
      problems: ['not-found', 'operation-finished', 'operation-expired'],
    }),
  },
}

const STREAM: ResponseObject = {
  description: 'Events named "changed", at most two a second.',
  headers: {
    'X-Accel-Buffering': { description: 'Prevents that Nginx buffers the events.', schema: { type: 'string' } },
  },
  content: { 'text/event-stream': { schema: { type: 'string' } } },
}

const CONSOLE: Readonly<Record<string, PathItem>> = {
  '/admin/session': look({
    id: 'getSession',
    tag: 'Console',
    summary: 'Get the operator, the permissions and the token for changes',
    answers: ok('The session.', 'Session'),
  }),
  '/admin/statistics': look({
    id: 'getStatistics',
    tag: 'Console',
    summary: 'Get statistics of recent activity, and the current state',
    parameters: [
      inQuery('window', 'The length of the window until now, such as 1h.', { type: 'string', default: '1h' }),
    ],
    answers: ok('The statistics.', 'Statistics'),
    problems: ['invalid-request'],
  }),
  '/admin/audit': look({
    id: 'listAudit',
    tag: 'Console',
    summary: 'List the actions of operators',
    parameters: [AFTER, LIMIT],
    answers: ok('A page, newest first.', 'AuditPage'),
    problems: ['invalid-request'],
  }),
  '/admin/events': look({
    id: 'watchChanges',
    tag: 'Console',
    summary: 'Watch for changes',
    answers: { 200: STREAM },
    problems: ['too-many-requests'],
  }),
  '/admin/openapi.json': look({
    id: 'getAdminOpenApi',
    tag: 'Console',
    summary: 'Get the OpenAPI document of the admin API',
    answers: {
      200: { description: 'The description.', content: { 'application/json': { schema: { type: 'object' } } } },
    },
  }),
}

/** The paths, in the order in which they are described. */
export const ADMIN_PATHS: Readonly<Record<string, PathItem>> = { ...OPERATIONS, ...TYPES, ...BULK, ...CONSOLE }
