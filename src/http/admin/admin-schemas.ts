/** The schemas of what the admin API answers. Each names every member of its type: the compiler finds one that is missing. */
import { ATTEMPT_OUTCOMES, type AttemptError } from '../../model/operation.ts'
import type { JsonSchema, Policy } from '../../model/operation-type.ts'
import { WAIT_KINDS, type Wait } from '../../model/waits.ts'
import { MODEL_QUESTION, object, say } from '../../openapi/components.ts'
import { schemaRef } from '../../openapi/model.ts'
import { PASS_REASONS } from '../../operator/pass-reasons.ts'
import {
  type AuditEntry,
  BULK_ACTIONS,
  type BulkPreview,
  type BulkRun,
  type ChildrenPage,
  type OperationDetail,
  type OperationView,
  type OperatorPage,
  type Percentiles,
  type ResultsPage,
  type SeriesPoint,
  type Statistics,
  type TypeStatistics,
  type WorkerView,
} from '../../operator/views.ts'
import type { LogLine, OperatorFilter } from '../../stores/store.ts'
import type { Delivery } from '../../webhooks/history.ts'
import { ROLES } from '../role.ts'
import type { Session } from './operator-session.ts'
import type { TypeView } from './types.ts'

type Members<T> = { readonly [Key in keyof T]-?: JsonSchema }

/** The schema of a type: all members, and those that are optional. */
function schemaOf<T>(description: string, members: Members<T>, optional: readonly (keyof T & string)[] = []) {
  return object(description, members as Record<string, JsonSchema>, optional)
}

const text: JsonSchema = { type: 'string' }
const flag: JsonSchema = { type: 'boolean' }
const count: JsonSchema = { type: 'integer', minimum: 0 }
/** Milliseconds since the epoch. */
const time: JsonSchema = { type: 'integer' }
const status = schemaRef('Status')
const any: JsonSchema = { description: 'Any JSON value.' }

function maybe(schema: JsonSchema): JsonSchema {
  return typeof schema.type === 'string'
    ? { ...schema, type: [schema.type, 'null'] }
    : { anyOf: [schema, { type: 'null' }] }
}

function list(items: JsonSchema): JsonSchema {
  return { type: 'array', items }
}

const VIEW: Members<OperationView> = {
  id: say(text, 'The id of the operation.'),
  type: say(text, 'The name of its type.'),
  owner: say(text, 'The caller that submitted it; empty if the API has no principal.'),
  status,
  version: say(count, 'The number of changes that clients can see.'),
  priority: { type: 'integer' },
  createdAt: say(time, 'When it was accepted.'),
  updatedAt: time,
  runAt: say(maybe(time), 'When it is due.'),
  startedAt: say(maybe(time), 'When the first attempt started.'),
  finishedAt: maybe(time),
  expiresAt: say(maybe(time), 'When its payloads are deleted.'),
  deadline: say(maybe(time), 'The latest time of its end.'),
  attempt: say(count, 'The number of the last attempt.'),
  maxAttempts: count,
  holder: say(maybe(text), 'The worker process that runs it.'),
  execution: say(maybe(text), 'The name that its engine has given to the last execution.'),
  engine: maybe(text),
  cancelRequested: flag,
  progress: maybe(schemaRef('Progress')),
  error: say(maybe(schemaRef('Problem')), 'Why it failed or was canceled.'),
  idempotencyKey: maybe(text),
  purged: say(flag, 'Whether its payloads are deleted.'),
  parent: say(maybe(text), 'The operation whose handler has submitted it.'),
  tags: { type: 'object', additionalProperties: text },
  retryOf: say(maybe(text), 'The operation that this one runs again.'),
  retriedBy: say(maybe(text), 'The operation that runs this one again.'),
  waits: list({
    type: 'object',
    required: ['kind', 'name', 'until'],
    properties: { kind: { type: 'string', enum: WAIT_KINDS }, name: text, until: maybe(time) },
  }),
}

const WAIT: Members<Wait> = {
  kind: { type: 'string', enum: WAIT_KINDS },
  name: text,
  until: say(maybe(time), 'When it ends without an event; null if it has no timeout.'),
  message: say(text, 'The question.'),
  schema: say({ type: 'object' }, 'The JSON Schema of the value of the event.'),
  model: MODEL_QUESTION,
  left: say(count, 'For a wait for children: it ends when at most this number of children are unfinished.'),
}

const DETAIL: Members<Omit<OperationDetail, keyof OperationView>> = {
  traceparent: maybe(text),
  webhookUrl: maybe(text),
  attempts: list(schemaRef('AttemptDetail')),
  steps: say(
    list({
      type: 'object',
      required: ['name'],
      properties: { name: text, value: say(text, 'The value as JSON text.') },
    }),
    'The recorded steps. The values are missing if the operator may not see payloads.',
  ),
  deliveries: list(schemaRef('WebhookDelivery')),
  children: say(maybe(schemaRef('ChildCounts')), 'The numbers of operations that its handler has submitted.'),
  hasInput: flag,
  hasOutput: flag,
  isKnownType: say(flag, 'Whether this process declares its type.'),
}

const FILTER: Members<OperatorFilter> = {
  type: text,
  owner: text,
  status,
  problem: text,
  createdAfter: time,
  createdBefore: time,
  key: text,
  execution: text,
  holder: text,
  tag: { type: 'object', required: ['name', 'value'], properties: { name: text, value: text } },
  search: text,
}

const RUN: Members<BulkRun> = {
  id: text,
  action: schemaRef('BulkAction'),
  filter: say(maybe(schemaRef('Filter')), 'Null if the operations were selected by their ids.'),
  selected: say(maybe(count), 'How many operations were selected; null for a filter.'),
  actor: { type: 'object', required: ['name'], properties: { name: text } },
  status,
  matched: say(count, 'How many operations it has found so far.'),
  done: say(count, 'How many of them it has acted on.'),
  skipped: say(count, 'How many no longer matched when it reached them.'),
  failed: say(count, 'How many actions failed.'),
  createdAt: time,
  finishedAt: maybe(time),
}

const POLICY: Members<Omit<Policy, 'mayAnswer'>> = {
  attempts: count,
  lostAttempts: count,
  backoff: { type: 'object' },
  timeout: count,
  startDeadline: count,
  deadline: count,
  retention: count,
  bodyLimit: count,
  concurrency: count,
  priority: { type: 'integer' },
  requireIdempotencyKey: flag,
  exposeLogs: flag,
  allowWebhooks: flag,
  backlogLimit: count,
  inFlightLimit: count,
  rateLimit: { type: 'object' },
  redact: list(text),
  searchInput: flag,
}

const STATE: Members<Omit<TypeStatistics, 'operation'>> = {
  paused: flag,
  depth: say(count, 'How many are ready, counted to at most 10,000.'),
  running: say(count, 'How many are running, counted to at most 10,000.'),
  oldestAt: say(maybe(time), 'When the oldest ready one was accepted.'),
}

function page<T extends { readonly items: unknown; readonly next?: string | undefined }>(
  description: string,
  item: string,
) {
  return schemaOf<Pick<T, 'items' | 'next'>>(
    description,
    { items: list(schemaRef(item)), next: say(text, 'The "after" of the next page; missing on the last page.') },
    ['next'],
  )
}

/** The schemas by their names. */
export const ADMIN_SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  Session: schemaOf<Session>(
    'The operator, and the permissions.',
    {
      actor: text,
      role: { type: 'string', enum: ROLES },
      payloads: say(flag, 'Whether inputs, results and the values of steps are shown.'),
      token: say(text, 'The token that every change must send in the header waybill-token.'),
      version: say(text, 'The version of Waybill.'),
      traceUrl: text,
      executionUrl: text,
    },
    ['traceUrl', 'executionUrl'],
  ),
  OperationView: schemaOf<OperationView>(
    'An operation as a list shows it. Times are milliseconds since the epoch.',
    VIEW,
  ),
  OperationPage: {
    ...schemaOf<OperatorPage>(
      'One page of the operations that match a filter, newest first.',
      {
        items: list(schemaRef('OperationView')),
        next: say(text, 'The "after" of the next page; missing once all operations were read.'),
        scanned: say(count, 'How many operations were read for this page.'),
      },
      ['next'],
    ),
  },
  ChildrenPage: page<ChildrenPage>('One page of the operations that a handler has submitted.', 'OperationView'),
  BatchResult: schemaOf<ResultsPage['items'][number]>(
    'An item of a batch. Times are milliseconds since the epoch.',
    {
      ...VIEW,
      index: say(count, 'Its place in the input.'),
      output: say(
        text,
        'The result as JSON text. It is missing if there is none, if it is not JSON, or if the operator may not see payloads.',
      ),
    },
    ['output'],
  ),
  ResultsPage: page<ResultsPage>('One page of the items of a batch.', 'BatchResult'),
  ChildCounts: schemaOf<NonNullable<OperationDetail['children']>>('The numbers of children by their state.', {
    total: count,
    unfinished: count,
    completed: count,
    failed: count,
    canceled: count,
  }),
  OperationDetail: schemaOf<OperationDetail>(
    'One operation with its attempts, steps, deliveries and children, but without its payloads and its log.',
    {
      ...VIEW,
      ...DETAIL,
      waits: list(schemaRef('WaitDetail')),
    },
  ),
  WaitDetail: schemaOf<Wait>('What a handler waits for.', WAIT, ['message', 'schema', 'model', 'left']),
  AttemptDetail: object(
    'One attempt, with the error that the handler threw.',
    {
      number: count,
      holder: text,
      execution: maybe(text),
      engine: maybe(text),
      startedAt: time,
      finishedAt: time,
      outcome: { type: 'string', enum: ['running', ...ATTEMPT_OUTCOMES] },
      error: maybe(schemaRef('Problem')),
      thrown: maybe(schemaRef('Thrown')),
    },
    ['finishedAt', 'error'],
  ),
  Thrown: schemaOf<AttemptError>(
    'The error that a handler threw.',
    { name: text, message: text, code: text, stack: text, cause: schemaRef('Thrown') },
    ['code', 'stack', 'cause'],
  ),
  WebhookDelivery: schemaOf<Delivery>('One delivery of a webhook.', {
    id: text,
    number: count,
    event: text,
    url: text,
    status,
    createdAt: time,
    nextAttemptAt: maybe(time),
    finishedAt: maybe(time),
    attempts: list({ type: 'object' }),
  }),
  LogLines: object('Lines of a log.', { items: list(schemaRef('LogLine')) }),
  LogLine: schemaOf<LogLine>('A line of a log.', {
    sequence: count,
    at: time,
    attempt: count,
    level: text,
    message: text,
  }),
  Filter: schemaOf<OperatorFilter>('Selects the operations that match all given members.', FILTER, [
    ...(Object.keys(FILTER) as (keyof OperatorFilter)[]),
  ]),
  BulkAction: { type: 'string', enum: BULK_ACTIONS },
  BulkRequest: object(
    'An action on many operations. Either "filter" or "ids" is required.',
    {
      action: schemaRef('BulkAction'),
      filter: say(text, 'A filter, such as "status:failed type:orders since:2h".'),
      ids: { ...list(text), minItems: 1, maxItems: 1000 },
    },
    ['filter', 'ids'],
  ),
  BulkPreview: schemaOf<BulkPreview>('The operations on which a bulk run would act now.', {
    count: say(count, 'Counted to at most 10,000.'),
    complete: say(flag, 'Whether all were counted.'),
    sample: say(list(schemaRef('OperationView')), 'The newest, at most 10.'),
    passedOver: say(
      list({
        type: 'object',
        required: ['reason', 'count'],
        properties: { reason: { type: 'string', enum: Object.keys(PASS_REASONS) }, count },
      }),
      'How many of the operations that were read match but are skipped, by reason.',
    ),
  }),
  BulkRun: schemaOf<BulkRun>('An action on many operations.', RUN),
  BulkRuns: object('The last 50 bulk runs, newest first.', { items: list(schemaRef('BulkRun')) }),
  TypeView: schemaOf<TypeView>('An operation type, and its current state. Durations are in milliseconds.', {
    ...STATE,
    name: text,
    resultKey: text,
    policy: schemaOf<Omit<Policy, 'mayAnswer'>>('', POLICY, [
      ...(['startDeadline', 'deadline', 'concurrency', 'backlogLimit', 'inFlightLimit', 'rateLimit'] as const),
    ]),
    input: say({ type: ['object', 'boolean'] }, 'A JSON Schema.'),
    output: say({ type: ['object', 'boolean'] }, 'A JSON Schema.'),
  }),
  TypeViews: object('The operation types.', { items: list(schemaRef('TypeView')) }),
  Statistics: schemaOf<Statistics>('Activity within a time window, and the current state.', {
    from: time,
    to: time,
    complete: say(flag, 'Whether all operations of the window were counted.'),
    series: say(list(schemaRef('SeriesPoint')), 'The window in 60 parts of equal length, oldest first.'),
    wait: maybe(schemaRef('Percentiles')),
    run: maybe(schemaRef('Percentiles')),
    problems: list({ type: 'object', required: ['code', 'count'], properties: { code: text, count } }),
    types: list(schemaRef('TypeStatistics')),
    workers: list(schemaRef('WorkerView')),
  }),
  SeriesPoint: schemaOf<SeriesPoint>('One part of the window.', {
    at: time,
    accepted: count,
    completed: count,
    failed: count,
    canceled: count,
  }),
  Percentiles: schemaOf<Percentiles>('In milliseconds.', { p50: count, p90: count, p99: count }),
  TypeStatistics: schemaOf<TypeStatistics>('The state of one operation type.', { ...STATE, operation: text }),
  WorkerView: schemaOf<WorkerView>('A worker process or an execution, and the operations that it runs.', {
    holder: text,
    operations: list(any),
  }),
  AuditPage: page<{ items: readonly AuditEntry[]; next?: string }>(
    'One page of the actions of operators, newest first.',
    'AuditEntry',
  ),
  AuditEntry: schemaOf<AuditEntry>('One action of an operator.', {
    id: text,
    at: time,
    actor: text,
    action: text,
    target: text,
    selected: say(maybe(count), 'For a bulk run on selected ids: how many operations were selected.'),
    count,
    detail: maybe(text),
  }),
}
