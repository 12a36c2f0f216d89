/** Converts records to rows and rows to records. */
import type { Operation } from '../../model/operation.ts'
import { isFinal, type Problem, type Progress, STATUSES, type Status } from '../../model/protocol.ts'
import type { Tags } from '../../model/submission.ts'
import type { Waits } from '../../model/waits.ts'
import type { ActiveOperation, WithOutput } from '../store.ts'
import { earlierAttempts, withCompletedAttempt, withHistory } from '../stored-operation.ts'
import { type Database, prepare, prepareArrays, type Row, type SqlValue, type Statement } from './database.ts'
import { HolderNumbers, prepareHolderNames } from './holders.ts'
import { ID, idOf, keyOf } from './keys.ts'

/** The columns of a record, in the order of a {@link RecordRow}. */
const COLUMNS = [
  'uuid',
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
  'updated_after',
  'run_at',
  'started_after',
  'finished_after',
  'expires_after',
  'attempt',
  'released',
  'lost',
  'holder',
  'lease_until',
  'attempt_after',
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

/**
 * A record as it is stored: a value for each column. But it has the id instead of the key, and the name of a worker
 * instead of its number.
 */
export type RecordRow = readonly RecordValue[]

type RecordValue = string | number | null

/** The place of each column in a row. */
const AT = Object.fromEntries(COLUMNS.map((column, index) => [column, index])) as Record<Column, number>

/**
 * Converts a record to a row. Each member is written out for speed, since every write and every answer of the writer
 * thread uses it.
 */
export function toRow(operation: Operation): RecordValue[] {
  const { status, history, createdAt, startedAt, attemptStartedAt, finishedAt } = operation
  // A completed record contains everything about its last attempt except the holder.
  const earlier = earlierAttempts(operation)
  const holder = earlier === undefined ? operation.holder : (history.at(-1)?.holder ?? null)
  return [
    operation.id,
    operation.type,
    operation.owner,
    operation.priority,
    createdAt,
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
    operation.updatedAt - (finishedAt ?? createdAt),
    operation.runAt,
    after(startedAt, createdAt),
    after(finishedAt, attemptStartedAt ?? createdAt),
    after(operation.expiresAt, (finishedAt ?? createdAt) + operation.retention),
    operation.attempt,
    operation.released,
    operation.lost,
    holder,
    operation.leaseUntil,
    after(attemptStartedAt, startedAt ?? createdAt),
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

/** A time relative to an earlier one, which takes fewer bytes: 0 takes none. */
function after(time: number | null, earlier: number): number | null {
  return time === null ? null : time - earlier
}

/** The reverse of {@link after}. */
function later(earlier: number, relative: RecordValue | undefined): number | null {
  return typeof relative === 'number' ? earlier + relative : null
}

/** Converts a row to a record. Values after the columns of a record are ignored. */
export function toOperation(row: RecordRow): Operation {
  const status = statusOf(number(row[AT.status]))
  const holder = textOrNull(row[AT.holder])
  const history = textOrNull(row[AT.history])
  const createdAt = number(row[AT.created_at])
  const retention = number(row[AT.retention])
  const startedAt = later(createdAt, row[AT.started_after])
  const attemptStartedAt = later(startedAt ?? createdAt, row[AT.attempt_after])
  const finishedAt = later(attemptStartedAt ?? createdAt, row[AT.finished_after])
  const operation = {
    id: text(row[AT.uuid]),
    type: text(row[AT.type]),
    owner: text(row[AT.owner]),
    status,
    version: number(row[AT.version]),
    priority: number(row[AT.priority]),
    createdAt,
    updatedAt: (finishedAt ?? createdAt) + number(row[AT.updated_after]),
    runAt: numberOrNull(row[AT.run_at]),
    startBy: numberOrNull(row[AT.start_by]),
    deadline: numberOrNull(row[AT.deadline]),
    startedAt,
    finishedAt,
    expiresAt: later((finishedAt ?? createdAt) + retention, row[AT.expires_after]),
    attempt: number(row[AT.attempt]),
    released: number(row[AT.released]),
    lost: number(row[AT.lost]),
    maxAttempts: number(row[AT.max_attempts]),
    maxLost: number(row[AT.max_lost]),
    retention,
    holder,
    leaseUntil: numberOrNull(row[AT.lease_until]),
    attemptStartedAt,
    launches: number(row[AT.launches]),
    execution: textOrNull(row[AT.execution]),
    engine: textOrNull(row[AT.engine]),
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

function text(value: RecordValue | undefined): string {
  return value as string
}

function textOrNull(value: RecordValue | undefined): string | null {
  return value as string | null
}

function number(value: RecordValue | undefined): number {
  return value as number
}

function numberOrNull(value: RecordValue | undefined): number | null {
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

const INTO = `INSERT INTO operations (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')})`

/** Inserts a record that was just accepted; a known id or idempotency key changes nothing. Parameters: {@link insertValues}. */
export const INSERT: string = `${INTO} ON CONFLICT DO NOTHING`

/** Writes a whole record, and replaces one with the same id. Parameters: {@link restoreValues}. */
export const RESTORE: string = `${INTO} ON CONFLICT (uuid) DO UPDATE SET ${COLUMNS.map(column => `${column} = excluded.${column}`).join(', ')}`

export function insertValues(operation: Operation): SqlValue[] {
  const row: SqlValue[] = toRow(operation)
  row[AT.uuid] = keyOf(operation.id)
  return row
}

export function restoreValues(operation: Operation, purgeAt: number | null): SqlValue[] {
  return insertValues(operation).with(AT.purge_at, purgeAt)
}

const SELECTED = [...COLUMNS.slice(1), 'number'].map(column => `operations.${column}`).join(', ')

/** Selects whole records: the beginning of each statement of a {@link RecordQuery}. */
export const RECORDS: string = `SELECT ${ID}, ${SELECTED} FROM operations`

/** Selects the record of an id, which is not selected: it is known, and its conversion takes time. */
export const RECORD_OF_ID: string = `SELECT NULL, ${SELECTED} FROM operations WHERE uuid = ?`

/** Selects it with its output. */
export const RECORD_WITH_OUTPUT: string = `
  SELECT NULL, ${SELECTED}, (SELECT body FROM outputs WHERE outputs.number = operations.number)
  FROM operations WHERE uuid = ?`

/** A record, and its row in the file. */
export interface StoredRecord {
  /** The key of its row. */
  readonly number: number
  /** With the number of its worker, as it is in the file. */
  readonly row: RecordRow
  readonly operation: Operation
}

/** Prepares statements that read records. */
export function prepareRecords(database: Database): (sql: string) => RecordQuery {
  const nameOf = prepareHolderNames(database)
  return sql => new RecordQuery(prepareArrays(database, sql), nameOf)
}

/** A prepared statement that reads records. */
export class RecordQuery {
  readonly #statement: Statement
  readonly #nameOf: (holder: number) => string

  /**
   * @param statement begins with {@link RECORDS}
   * @param nameOf the name of the worker of a number
   */
  constructor(statement: Statement, nameOf: (holder: number) => string) {
    this.#statement = statement
    this.#nameOf = nameOf
  }

  get(...parameters: SqlValue[]): Operation | undefined {
    const row = this.#statement.get(...parameters)
    return row === undefined ? undefined : toOperation(this.#complete(row))
  }

  all(...parameters: SqlValue[]): Operation[] {
    return this.#statement.all(...parameters).map(row => toOperation(this.#complete(row)))
  }

  allStored(...parameters: SqlValue[]): StoredRecord[] {
    return this.#statement.all(...parameters).map(row => this.#toStored(row))
  }

  /** Only for {@link RECORD_OF_ID}. */
  getById(id: string): Operation | undefined {
    const row = this.#statement.get(keyOf(id))
    return row === undefined ? undefined : toOperation(this.#complete(row, id))
  }

  /** Only for {@link RECORD_OF_ID}. */
  getStored(id: string): StoredRecord | undefined {
    const row = this.#statement.get(keyOf(id))
    return row === undefined ? undefined : this.#toStored(row, id)
  }

  /** Only for {@link RECORD_WITH_OUTPUT}. */
  getWithOutput(id: string): WithOutput | undefined {
    const selected = this.#statement.get(keyOf(id))
    if (selected === undefined) return undefined
    const row = this.#complete(selected, id)
    const output = textOrNull(row.at(-1))
    return { operation: toOperation(row), ...(output !== null && { output }) }
  }

  #toStored(selected: unknown, id?: string): StoredRecord {
    const holder = (selected as RecordValue[])[AT.holder]
    return toStored(this.#complete(selected, id), holder)
  }

  /** Changes a selected row to a {@link RecordRow}. */
  #complete(selected: unknown, id?: string): RecordRow {
    const row = selected as RecordValue[]
    row[AT.uuid] = id ?? idOf(row[AT.uuid])
    const holder = row[AT.holder]
    if (typeof holder === 'number') row[AT.holder] = this.#nameOf(holder)
    return row
  }
}

function toStored(row: RecordRow, holder: RecordValue | undefined): StoredRecord {
  const operation = toOperation(row)
  return { number: number(row[COLUMNS.length]), row: row.with(AT.holder, holder ?? null), operation }
}

/**
 * Writes the changed columns of records. Each set of columns has its own statement, so that only the indexes of these
 * columns are updated.
 */
export class RecordUpdates {
  readonly #database: Database
  readonly #holders: HolderNumbers
  /** By the set of their columns. */
  readonly #statements = new Map<number, Statement>()

  constructor(database: Database) {
    this.#database = database
    this.#holders = new HolderNumbers(database)
  }

  /** Forgets what it has read or written in a transaction that was rolled back. */
  forget(): void {
    this.#holders.forget()
  }

  /**
   * Writes a record, unless it has finished.
   *
   * @returns the record as it is in the file now
   * @throws when it has finished
   */
  save({ number, row: before }: StoredRecord, operation: Operation): StoredRecord {
    const row = this.#toRow(operation, before)
    let set = 0
    const values: SqlValue[] = []
    for (let at = AT.uuid + 1; at < COLUMNS.length; at++) {
      const value = row[at] ?? null
      if (value === before[at]) continue
      set += 2 ** at
      // As an integer, which takes a byte: the drivers bind numbers as floats of eight, unless the column converts them.
      values.push(at === AT.holder && typeof value === 'number' ? BigInt(value) : value)
    }
    const { changes } = this.#statementOf(set).run(...values, number)
    if (Number(changes) !== 1) throw new Error(`The finished operation ${operation.id} was about to be changed.`)
    return { number, row, operation }
  }

  #toRow(operation: Operation, before: RecordRow): RecordRow {
    const row = toRow(operation)
    const holder = row[AT.holder]
    if (typeof holder !== 'string') return row
    const isClaim = operation.attempt !== before[AT.attempt]
    const held = isClaim ? this.#holders.keep(holder, operation.updatedAt + operation.retention) : before[AT.holder]
    row[AT.holder] = held ?? holder
    return row
  }

  /** @param set the sum of 2 to the power of the place of each column, which is exact for up to 53 columns */
  #statementOf(set: number): Statement {
    const known = this.#statements.get(set)
    if (known !== undefined) return known
    const changed = COLUMNS.filter((_, at) => Math.floor(set / 2 ** at) % 2 === 1)
    // A change that changes nothing must still check that the operation has not finished.
    const assignments = changed.length === 0 ? ['version = version'] : changed.map(column => `${column} = ?`)
    const statement = prepare(
      this.#database,
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
    id: idOf(id),
    type,
    status: statusOf(status),
    attempt,
    holder,
    execution,
    engine,
    cancelRequested: cancelRequested === 1,
  }
}

type HoldingRow = Omit<ActiveOperation, 'status' | 'cancelRequested'> & { readonly status: number }
