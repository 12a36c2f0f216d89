/** Converts records to rows and rows to records. */
import { type AttemptError, hasChildren, type Operation } from '../../model/operation.ts'
import { isFinal, type Problem, type Progress, STATUSES } from '../../model/protocol.ts'
import type { Submission, Tags } from '../../model/submission.ts'
import type { Waits } from '../../model/waits.ts'
import type {
  ActiveOperation,
  ChildCounts,
  Dump,
  Lease,
  LogLine,
  QueueStats,
  RecordedError,
  Renewal,
} from '../store.ts'
import { toChildCounts, withCompletedAttempt, withHistory } from '../stored-operation.ts'
import type { Row } from './pool.ts'

/** The columns that a submission gives, with their types. */
const SUBMITTED = {
  id: 'uuid',
  type: 'text',
  owner: 'text',
  priority: 'integer',
  max_attempts: 'integer',
  max_lost: 'integer',
  retention: 'bigint',
  idempotency_key: 'text',
  fingerprint: 'text',
  traceparent: 'text',
  webhook_url: 'text',
  retry_of: 'uuid',
  parent: 'uuid',
  tags: 'text',
} as const

/** The columns that the acceptance computes, with their types. */
const ACCEPTED = {
  created_at: 'bigint',
  start_by: 'bigint',
  deadline: 'bigint',
} as const

/** The columns that a change may write, with their types. */
const CHANGED = {
  status: 'smallint',
  version: 'integer',
  updated_at: 'bigint',
  run_at: 'bigint',
  started_at: 'bigint',
  finished_at: 'bigint',
  expires_at: 'bigint',
  attempt: 'integer',
  released: 'integer',
  lost: 'integer',
  holder: 'text',
  lease_until: 'bigint',
  attempt_started_at: 'bigint',
  launches: 'integer',
  execution: 'text',
  engine: 'text',
  cancel_requested: 'boolean',
  progress: 'text',
  error: 'text',
  history: 'text',
  waits: 'text',
  webhook_due: 'boolean',
  family_due: 'boolean',
  retried_by: 'uuid',
} as const

const RECORD = { ...SUBMITTED, ...ACCEPTED, ...CHANGED, purged: 'boolean' } as const

/**
 * The columns that show whether a record has changed. They come first in its text, so that a record which is known need
 * not be read further. After the end of an operation, changes do not change its version; before, only those of its place
 * in the queue, its launches and its first child do not.
 */
const STAMP = ['status', 'version', 'updated_at', 'run_at']

/** The columns of a record except the id, in the order in which its text has them. */
const OTHER_COLUMNS = [...STAMP, ...Object.keys(RECORD).filter(column => ![...STAMP, 'id'].includes(column))]
const HISTORY_AT = OTHER_COLUMNS.indexOf('history')

/** How many columns a selected record has. Further columns of a statement follow after them. */
export const RECORD_WIDTH = 2

/** The columns of a submission. */
export const SUBMITTED_COLUMNS: readonly string[] = Object.keys(SUBMITTED)

/** The columns of a change. */
export const CHANGED_COLUMNS: readonly string[] = [...Object.keys(CHANGED), 'purge_at']

/** The columns of a submission, of a change and of a whole record, each with its type, as a recordset is declared. */
export const SUBMITTED_TYPES: string = declared(SUBMITTED)

const { id: _, owner: __, traceparent: ___, ...COMMON_COLUMNS } = SUBMITTED
/** The columns whose values the submissions of a batch often share, with their types. */
export const COMMON: Readonly<Omit<typeof SUBMITTED, 'id' | 'owner' | 'traceparent'>> = COMMON_COLUMNS
export const CHANGED_TYPES: string = declared({ ...CHANGED, purge_at: 'bigint' })
/** What a restore writes of a record: besides its columns, what no record is read with. */
const RESTORED = { ...RECORD, purge_at: 'bigint', output: 'text' } as const
export const RESTORED_COLUMNS: readonly string[] = Object.keys(RESTORED)
export const RESTORED_TYPES: string = declared(RESTORED)

function declared(columns: Readonly<Record<string, string>>): string {
  return Object.entries(columns)
    .map(([column, type]) => `${column} ${type}`)
    .join(', ')
}

/**
 * Selects a record of the table or the alias: its id, and all other columns as one text. Each column of a result costs
 * the server and the driver time in every statement; for few rows, that is more than the rows themselves cost.
 */
export function recordOf(alias: string): string {
  return `${alias}.id, ROW(${OTHER_COLUMNS.map(column => `${alias}.${column}`).join(', ')})::text AS record`
}

/**
 * Selects the output of a row. Processes of schema version 7 write it as a payload.
 *
 * @param schema its name, quoted
 */
export function outputOf(schema: string, alias: string): string {
  const before = `(SELECT p.body FROM ${schema}.payloads p WHERE p.id = ${alias}.id AND p.kind = 1)`
  return `CASE WHEN ${alias}.status = 2 THEN coalesce(${alias}.output, ${before}) END`
}

/** The values of a submission. Members that few submissions have are left out if they are missing. */
export function submittedRow(given: Operation | Submission): Record<string, unknown> {
  return {
    id: given.id,
    type: given.type,
    owner: given.owner,
    priority: given.priority,
    max_attempts: given.maxAttempts,
    max_lost: given.maxLost,
    retention: given.retention,
    idempotency_key: given.idempotencyKey,
    fingerprint: given.fingerprint,
    traceparent: given.traceparent,
    webhook_url: given.webhookUrl,
    retry_of: given.retryOf ?? undefined,
    parent: given.parent ?? undefined,
    tags: given.tags ? JSON.stringify(given.tags) : undefined,
  }
}

/** The values of a whole record, for a restore. */
export function restoredRow({ operation, output, purgeAt }: Dump): Record<string, unknown> {
  return {
    ...submittedRow(operation),
    created_at: operation.createdAt,
    start_by: operation.startBy,
    deadline: operation.deadline,
    ...changedRow(operation),
    purged: operation.purged,
    purge_at: purgeAt,
    output,
  }
}

/**
 * The ids of a parameter. The planner assumes ten of them, whatever their number is, so it keeps one plan for all. With
 * the parameter itself, it would plan each statement with few ids again, which takes longer than reading the rows.
 */
export function idsOf(parameter: string): string {
  return `ARRAY (SELECT unnest(${parameter}::uuid[]))`
}

/** The values that a change writes. */
export function changedRow(operation: Operation): Record<(typeof CHANGED_COLUMNS)[number], unknown> {
  return {
    status: STATUSES.indexOf(operation.status),
    version: operation.version,
    updated_at: operation.updatedAt,
    run_at: operation.runAt,
    started_at: operation.startedAt,
    finished_at: operation.finishedAt,
    expires_at: operation.expiresAt,
    attempt: operation.attempt,
    released: operation.released,
    lost: operation.lost,
    holder: operation.holder,
    lease_until: operation.leaseUntil,
    attempt_started_at: operation.attemptStartedAt,
    launches: operation.launches,
    execution: operation.execution,
    engine: operation.engine,
    cancel_requested: operation.cancelRequested,
    progress: encode(operation.progress),
    error: encode(operation.error),
    history: operation.history.length === 0 ? null : JSON.stringify(operation.history),
    waits: encode(operation.waits),
    webhook_due: operation.webhookDue,
    family_due: operation.familyDue,
    retried_by: operation.retriedBy,
    purge_at: operation.expiresAt,
  }
}

/** Reads a record that {@link recordOf} has selected. Further columns are ignored. */
export function toOperation([id, record]: Row): Operation {
  const values = valuesOf(record as string)
  const fields = read(id as string, values)
  // A process of schema version 1 that removes the execution leaves the engine in place.
  if (fields.execution === null) fields.engine = null
  const history = values[HISTORY_AT] ?? null
  const { status, holder, progress } = fields
  if (status !== 'completed' || holder === null) return withHistory(fields, history)
  return withCompletedAttempt({ ...fields, progress: progress && { ...progress, fraction: 1 } }, holder, history)
}

function read(id: string, values: readonly (string | null)[]) {
  const at = cursor(values)
  return {
    id,
    status: STATUSES[at.number()] ?? 'failed',
    version: at.number(),
    updatedAt: at.number(),
    runAt: at.numberOrNull(),
    type: at.text(),
    owner: at.text(),
    priority: at.number(),
    maxAttempts: at.number(),
    maxLost: at.number(),
    retention: at.number(),
    idempotencyKey: at.textOrNull(),
    fingerprint: at.textOrNull(),
    traceparent: at.textOrNull(),
    webhookUrl: at.textOrNull(),
    retryOf: at.textOrNull(),
    parent: at.textOrNull(),
    tags: decode<Tags>(at.textOrNull()),
    createdAt: at.number(),
    startBy: at.numberOrNull(),
    deadline: at.numberOrNull(),
    startedAt: at.numberOrNull(),
    finishedAt: at.numberOrNull(),
    expiresAt: at.numberOrNull(),
    attempt: at.number(),
    released: at.number(),
    lost: at.number(),
    holder: at.textOrNull(),
    leaseUntil: at.numberOrNull(),
    attemptStartedAt: at.numberOrNull(),
    launches: at.number(),
    execution: at.textOrNull(),
    engine: at.textOrNull(),
    cancelRequested: at.boolean(),
    progress: decode<Progress>(at.textOrNull()),
    error: decode<Problem>(at.textOrNull()),
    ...at.skip(),
    waits: decode<Waits>(at.textOrNull()),
    webhookDue: at.boolean(),
    familyDue: at.boolean(),
    retriedBy: at.textOrNull(),
    purged: at.boolean(),
  }
}

/** Reads value after value. */
function cursor(row: readonly (string | null)[]) {
  let next = 0
  return {
    text: () => row[next++] as string,
    textOrNull: () => row[next++] as string | null,
    number: () => Number(row[next++]),
    numberOrNull: () => {
      const value = row[next++]
      return value === null ? null : Number(value)
    },
    boolean: () => row[next++] === 't',
    /** Skips a value that is read later. */
    skip: () => {
      next++
      return {}
    },
  }
}

const [QUOTE, COMMA] = ['"', ',']

/**
 * The values of a row that was written as text: parts between commas. An empty one is null; one in quotes has its own
 * quotes and backslashes twice.
 */
function valuesOf(row: string): (string | null)[] {
  const values: (string | null)[] = []
  // The parentheses around the row are skipped.
  const end = row.length - 1
  for (let at = 1; at <= end; at++) {
    if (row[at] === QUOTE) {
      const close = closingQuote(row, at)
      values.push(unescaped(row.slice(at + 1, close)))
      at = close + 1
    } else {
      const comma = row.indexOf(COMMA, at)
      const close = comma < 0 ? end : comma
      values.push(close === at ? null : row.slice(at, close))
      at = close
    }
  }
  return values
}

/** Where the value ends that begins with a quote. */
function closingQuote(row: string, opening: number): number {
  let at = row.indexOf(QUOTE, opening + 1)
  while (row[at + 1] === QUOTE) at = row.indexOf(QUOTE, at + 2)
  return at
}

function unescaped(value: string): string {
  if (!value.includes(QUOTE) && !value.includes('\\')) return value
  return value.replaceAll('""', QUOTE).replaceAll('\\\\', '\\')
}

/** A value as its column has it. */
export function encode(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

function decode<T>(text: string | null): T | null {
  return text === null ? null : (JSON.parse(text) as T)
}

/** An active operation, from the columns of the statement that lists them. */
export function toActiveOperation(row: Row): ActiveOperation {
  const [id, type, status, attempt, holder, execution, engine, cancelRequested] = row
  const active = { id, type, attempt: Number(attempt), holder, execution, cancelRequested }
  return {
    ...(active as Omit<ActiveOperation, 'status' | 'engine'>),
    engine: execution === null ? null : (engine as string | null),
    status: STATUSES[Number(status)] ?? 'failed',
  }
}

/** Reads the error that an attempt threw. It follows the number of the attempt. */
export function toRecordedError([attempt, error]: Row): RecordedError {
  return { attempt: Number(attempt), error: JSON.parse(error as string) as AttemptError }
}

/** Reads a line of a log. */
export function toLogLine([sequence, at, attempt, level, message]: Row): LogLine {
  return { sequence: Number(sequence), at: Number(at), attempt: Number(attempt), level, message } as LogLine
}

/** Reads the state of a queue. Its lists are texts: of an array, the driver would read letter by letter. */
export function toQueueStats([ready, depth, running, oldestAt, durations]: Row): QueueStats {
  return {
    ready: partsOf(ready as string),
    depth: Number(depth),
    running: Number(running),
    oldestAt: oldestAt === null ? null : Number(oldestAt),
    durations: partsOf(durations as string).map(Number),
  }
}

function partsOf(list: string): string[] {
  return list === '' ? [] : list.split(COMMA)
}

/** Reads how many children there are, a row for each status. */
export function countedChildren(rows: readonly Row[]): ChildCounts {
  return toChildCounts(rows.map(([status, count]) => [STATUSES[Number(status)], Number(count)]))
}

/** The records of ids, from rows in any order; undefined for those that are not among them. */
export function operationsOf(ids: readonly string[], rows: readonly Row[]): (Operation | undefined)[] {
  const operations = new Map(rows.map(row => [row[0], toOperation(row)]))
  return ids.map(id => operations.get(id))
}

/** An operation to read, and a record of it that was read before. */
export interface AskedRecord {
  readonly id: string
  readonly known: Operation | undefined
}

/** The records that were asked for, from rows in any order: the known ones themselves if they have not changed. */
export function recordsOf(asked: readonly AskedRecord[], rows: readonly Row[]): (Operation | undefined)[] {
  const byId = new Map(rows.map(row => [row[0], row]))
  return asked.map(({ id, known }) => {
    const row = byId.get(id)
    if (row === undefined) return undefined
    return known !== undefined && isUnchanged(known, row) ? known : toOperation(row)
  })
}

/** An operation with a launch under way is always read: its execution may have been recorded. */
function isUnchanged(known: Operation, [, record]: Row): boolean {
  const { status, version, updatedAt, runAt, launches } = known
  if (isFinal(status) || launches > 0) return false
  const stamp = `(${STATUSES.indexOf(status)},${version},${updatedAt},${runAt ?? ''},`
  const text = record as string
  return text.startsWith(stamp) && text.includes(CHILDREN) === hasChildren(known)
}

/** In the text of a record whose waits have children. */
const CHILDREN = '""children"":'

/** The inputs of ids, from rows in any order. */
export function inputsOf(ids: readonly string[], rows: readonly Row[]): (string | undefined)[] {
  const inputs = new Map(rows.map(([id, input]) => [id, input as string]))
  return ids.map(id => inputs.get(id))
}

/** What became of leases, from the rows of those that are held, or whose record others hold. */
export function renewalsOf(leases: readonly Lease[], rows: readonly Row[]): Renewal[] {
  const answers = new Map(
    rows.map(([id, attempt, cancelRequested, held]): [string, Renewal] => [
      `${id}/${attempt}`,
      held === true ? { kind: 'held', cancelRequested: cancelRequested === true } : { kind: 'busy' },
    ]),
  )
  return leases.map(({ id, attempt }) => answers.get(`${id}/${attempt}`) ?? { kind: 'lost' })
}

/** The last attempt whose error is kept: the kind of a payload, which contains its number, is a small integer. */
export const LAST_ERROR = 32_000

/** Before every id there is. */
export const FIRST_ID = '00000000-0000-0000-0000-000000000000'
/** After every id there is. */
export const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
