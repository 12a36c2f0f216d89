/** Converts records to rows and rows to records. */
import type { Operation } from '../../model/operation.ts'
import { isFinal, type Problem, type Progress, STATUSES, type Status } from '../../model/protocol.ts'
import type { Tags } from '../../model/submission.ts'
import type { Waits } from '../../model/waits.ts'
import type { ActiveOperation, WithOutput } from '../store.ts'
import { earlierAttempts, withCompletedAttempt, withHistory } from '../stored-operation.ts'
import { type Database, type Row, type SqlValue, type Statement, withArrays } from './database.ts'

/** The columns of a record, in the order of a {@link RecordRow}. */
const COLUMNS = [
  'id',
  'type',
  'owner',
  'priority',
  'created_at',
  'start_by',
  'max_attempts',
  'max_lost',
  'retention',
  'idempotency_key',
  'fingerprint',
  'traceparent',
  'webhook_url',
  'status',
  'version',
  'updated_at',
  'run_at',
  'started_at',
  'finished_at',
  'expires_at',
  'attempt',
  'released',
  'lost',
  'holder',
  'lease_until',
  'attempt_started_at',
  'launches',
  'execution',
  'engine',
  'cancel_requested',
  'progress',
  'error',
  'history',
  'waits',
  'webhook_due',
  'purged',
  'ended',
  'purge_at',
  'retry_of',
  'retried_by',
  'tags',
  'parent',
  'family_due',
  'deadline',
] as const

type Column = (typeof COLUMNS)[number]

/** A record as it is stored: a value for each column. */
export type RecordRow = readonly SqlValue[]

/** The place of each column in a row. */
const AT = Object.fromEntries(COLUMNS.map((column, index) => [column, index])) as Record<Column, number>

/**
 * Converts a record to a row. Each member is written out for speed, since every write and every answer of the writer
 * thread uses it.
 */
export function toRow(operation: Operation): RecordRow {
  const { status, history } = operation
  // A completed record contains everything about its last attempt except the holder.
  const earlier = earlierAttempts(operation)
  const holder = earlier === undefined ? operation.holder : (history.at(-1)?.holder ?? null)
  return [
    operation.id,
    operation.type,
    operation.owner,
    operation.priority,
    operation.createdAt,
    operation.startBy,
    operation.maxAttempts,
    operation.maxLost,
    operation.retention,
    operation.idempotencyKey,
    operation.fingerprint,
    operation.traceparent,
    operation.webhookUrl,
    STATUSES.indexOf(status),
    operation.version,
    operation.updatedAt,
    operation.runAt,
    operation.startedAt,
    operation.finishedAt,
    operation.expiresAt,
    operation.attempt,
    operation.released,
    operation.lost,
    holder,
    operation.leaseUntil,
    operation.attemptStartedAt,
    operation.launches,
    operation.execution,
    operation.engine,
    operation.cancelRequested ? 1 : 0,
    encode(operation.progress),
    encode(operation.error),
    encodeAll(earlier ?? history),
    encode(operation.waits),
    operation.webhookDue ? 1 : 0,
    operation.purged ? 1 : 0,
    isFinal(status) ? STATUSES.indexOf(status) : null,
    operation.expiresAt,
    operation.retryOf,
    operation.retriedBy,
    encode(operation.tags),
    operation.parent,
    operation.familyDue ? 1 : 0,
    operation.deadline,
  ]
}

/** Converts a row to a record. Values after the columns of a record are ignored. */
export function toOperation(row: RecordRow): Operation {
  const execution = textOrNull(row[AT.execution])
  const status = statusOf(number(row[AT.status]))
  const holder = textOrNull(row[AT.holder])
  const history = textOrNull(row[AT.history])
  const operation = {
    id: text(row[AT.id]),
    type: text(row[AT.type]),
    owner: text(row[AT.owner]),
    status,
    version: number(row[AT.version]),
    priority: number(row[AT.priority]),
    createdAt: number(row[AT.created_at]),
    updatedAt: number(row[AT.updated_at]),
    runAt: numberOrNull(row[AT.run_at]),
    startBy: numberOrNull(row[AT.start_by]),
    deadline: numberOrNull(row[AT.deadline]),
    startedAt: numberOrNull(row[AT.started_at]),
    finishedAt: numberOrNull(row[AT.finished_at]),
    expiresAt: numberOrNull(row[AT.expires_at]),
    attempt: number(row[AT.attempt]),
    released: number(row[AT.released]),
    lost: number(row[AT.lost]),
    maxAttempts: number(row[AT.max_attempts]),
    maxLost: number(row[AT.max_lost]),
    retention: number(row[AT.retention]),
    holder,
    leaseUntil: numberOrNull(row[AT.lease_until]),
    attemptStartedAt: numberOrNull(row[AT.attempt_started_at]),
    launches: number(row[AT.launches]),
    execution,
    engine: engineOf(execution, textOrNull(row[AT.engine])),
    cancelRequested: row[AT.cancel_requested] === 1,
    progress: decode<Progress>(row[AT.progress]),
    error: decode<Problem>(row[AT.error]),
    waits: decode<Waits>(row[AT.waits]),
    idempotencyKey: textOrNull(row[AT.idempotency_key]),
    fingerprint: textOrNull(row[AT.fingerprint]),
    traceparent: textOrNull(row[AT.traceparent]),
    webhookUrl: textOrNull(row[AT.webhook_url]),
    webhookDue: row[AT.webhook_due] === 1,
    purged: row[AT.purged] === 1,
    tags: decode<Tags>(row[AT.tags]),
    retryOf: textOrNull(row[AT.retry_of]),
    retriedBy: textOrNull(row[AT.retried_by]),
    parent: textOrNull(row[AT.parent]),
    familyDue: row[AT.family_due] === 1,
  }
  return status === 'completed' && holder !== null
    ? withCompletedAttempt(operation, holder, history)
    : withHistory(operation, history)
}

function text(value: SqlValue | undefined): string {
  return value as string
}

function textOrNull(value: SqlValue | undefined): string | null {
  return value as string | null
}

function number(value: SqlValue | undefined): number {
  return value as number
}

function numberOrNull(value: SqlValue | undefined): number | null {
  return value as number | null
}

function encode(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

function encodeAll(values: readonly object[]): string | null {
  return values.length === 0 ? null : JSON.stringify(values)
}

function decode<T>(value: unknown): T | null {
  return typeof value === 'string' ? (JSON.parse(value) as T) : null
}

function statusOf(code: number): Status {
  return STATUSES[code] ?? 'failed'
}

/** A process of schema version 1 that removes the execution leaves the engine in place. */
function engineOf(execution: string | null, engine: string | null): string | null {
  return execution === null ? null : engine
}

const INTO = `INSERT INTO operations (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')})`

/** Inserts a record that was just accepted; a known id or idempotency key changes nothing. Parameters: its row. */
export const INSERT: string = `${INTO} ON CONFLICT DO NOTHING`

/** Writes a whole record, and replaces one with the same id. Parameters: {@link restoreValues}. */
export const RESTORE: string = `${INTO} ON CONFLICT (id) DO UPDATE SET ${COLUMNS.map(column => `${column} = excluded.${column}`).join(', ')}`

export function restoreValues(operation: Operation, purgeAt: number | null): SqlValue[] {
  return toRow(operation).with(AT.purge_at, purgeAt)
}

const SELECTED = [...COLUMNS, 'number'].map(column => `operations.${column}`).join(', ')

/** Selects whole records: the beginning of each statement of a {@link RecordQuery}. */
export const RECORDS: string = `SELECT ${SELECTED} FROM operations`

/** Selects them with their outputs. */
export const RECORDS_WITH_OUTPUT: string = `
  SELECT ${SELECTED}, (SELECT body FROM outputs WHERE outputs.number = operations.number) FROM operations`

/** A record, and its row in the file. */
export interface StoredRecord {
  /** The key of its row. */
  readonly number: number
  readonly row: RecordRow
  readonly operation: Operation
}

/** A prepared statement that reads records. */
export class RecordQuery {
  readonly #statement: Statement

  /** @param sql a statement that begins with {@link RECORDS} */
  constructor(database: Database, sql: string) {
    this.#statement = withArrays(database.prepare(sql))
  }

  get(...parameters: SqlValue[]): Operation | undefined {
    const row = this.#statement.get(...parameters)
    return row === undefined ? undefined : toOperation(row as RecordRow)
  }

  /** Only for a statement that begins with {@link RECORDS_WITH_OUTPUT}. */
  getWithOutput(...parameters: SqlValue[]): WithOutput | undefined {
    const row = this.#statement.get(...parameters) as RecordRow | undefined
    if (row === undefined) return undefined
    const output = textOrNull(row.at(-1))
    return { operation: toOperation(row), ...(output !== null && { output }) }
  }

  all(...parameters: SqlValue[]): Operation[] {
    return this.#statement.all(...parameters).map(row => toOperation(row as RecordRow))
  }

  getStored(...parameters: SqlValue[]): StoredRecord | undefined {
    const row = this.#statement.get(...parameters)
    return row === undefined ? undefined : toStored(row as RecordRow)
  }

  allStored(...parameters: SqlValue[]): StoredRecord[] {
    return this.#statement.all(...parameters).map(row => toStored(row as RecordRow))
  }
}

function toStored(row: RecordRow): StoredRecord {
  return { number: number(row[COLUMNS.length]), row, operation: toOperation(row) }
}

/**
 * Writes the changed columns of records. Each set of columns has its own statement, so that only the indexes of these
 * columns are updated.
 */
export class RecordUpdates {
  readonly #database: Database
  /** By the set of their columns. */
  readonly #statements = new Map<number, Statement>()

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * Writes a record, unless it has finished.
   *
   * @returns the record as it is in the file now
   * @throws when it has finished
   */
  save({ number, row: before }: StoredRecord, operation: Operation): StoredRecord {
    const row = toRow(operation)
    let set = 0
    const values: SqlValue[] = []
    for (let at = 0; at < COLUMNS.length; at++) {
      const value = row[at] ?? null
      if (value === before[at]) continue
      set += 2 ** at
      values.push(value)
    }
    const { changes } = this.#statementOf(set).run(...values, number)
    if (Number(changes) !== 1) throw new Error(`The finished operation ${operation.id} was about to be changed.`)
    return { number, row, operation }
  }

  /** @param set the sum of 2 to the power of the place of each column, which is exact for up to 53 columns */
  #statementOf(set: number): Statement {
    const known = this.#statements.get(set)
    if (known !== undefined) return known
    const changed = COLUMNS.filter((_, at) => Math.floor(set / 2 ** at) % 2 === 1)
    // A change that changes nothing must still check that the operation has not finished.
    const assignments = changed.length === 0 ? ['version = version'] : changed.map(column => `${column} = ?`)
    const statement = this.#database.prepare(
      `UPDATE operations SET ${assignments.join(', ')} WHERE number = ? AND status < 2`,
    )
    this.#statements.set(set, statement)
    return statement
  }
}

/** Converts a row to an active operation. */
export function toHolding({ cancel_requested: cancelRequested, ...row }: Row): ActiveOperation {
  const { id, type, status, attempt, holder, execution, engine } = row as unknown as HoldingRow
  return {
    id,
    type,
    status: statusOf(status),
    attempt,
    holder,
    execution,
    engine: engineOf(execution, engine),
    cancelRequested: cancelRequested === 1,
  }
}

type HoldingRow = Omit<ActiveOperation, 'status' | 'cancelRequested'> & { readonly status: number }
