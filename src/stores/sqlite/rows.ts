/** How a record becomes a row, and a row a record. */
import type { Operation } from '../../model/operation.ts'
import type { Problem, Progress, Status } from '../../model/protocol.ts'
import { STATUSES } from '../../model/protocol.ts'
import type { Waits } from '../../model/waits.ts'
import type { ActiveOperation } from '../store.ts'
import { withHistory } from '../stored-operation.ts'
import { type Database, type Row, type SqlValue, type Statement, withArrays } from './database.ts'

/** The columns that are written once. */
const FIXED = {
  id: 'id',
  type: 'type',
  owner: 'owner',
  priority: 'priority',
  created_at: 'createdAt',
  start_by: 'startBy',
  max_attempts: 'maxAttempts',
  max_lost: 'maxLost',
  retention: 'retention',
  idempotency_key: 'idempotencyKey',
  fingerprint: 'fingerprint',
  traceparent: 'traceparent',
  webhook_url: 'webhookUrl',
} as const satisfies Record<string, keyof Operation>

/** The columns that a change may write, apart from the encoded ones. */
const PLAIN = {
  version: 'version',
  updated_at: 'updatedAt',
  run_at: 'runAt',
  started_at: 'startedAt',
  finished_at: 'finishedAt',
  expires_at: 'expiresAt',
  attempt: 'attempt',
  released: 'released',
  lost: 'lost',
  holder: 'holder',
  lease_until: 'leaseUntil',
  attempt_started_at: 'attemptStartedAt',
  launches: 'launches',
  execution: 'execution',
  engine: 'engine',
} as const satisfies Record<string, keyof Operation>

const CODED = ['status', 'cancel_requested', 'webhook_due'] as const
const ENCODED = [...CODED, 'progress', 'error', 'history', 'waits', 'purge_at'] as const

const fixedFields = Object.values(FIXED)
const plainFields = Object.values(PLAIN)
const fixedColumns = Object.keys(FIXED)
const changedColumns = [...Object.keys(PLAIN), ...ENCODED]
const columns = [...fixedColumns, ...changedColumns, 'purged']

/** The columns that something has to happen for: of a record that was just accepted they are null. */
const LATER: ReadonlySet<string> = new Set([
  'started_at',
  'finished_at',
  'expires_at',
  'holder',
  'lease_until',
  'attempt_started_at',
  'execution',
  'engine',
])
const freshPlain = Object.entries(PLAIN).filter(([column]) => !LATER.has(column))
const freshFields = [...fixedFields, ...freshPlain.map(([, field]) => field)]
const freshColumns = [...fixedColumns, ...freshPlain.map(([column]) => column), ...CODED]

/** Inserts a record that was just accepted; a known id or idempotency key changes nothing. Parameters: {@link insertValues}. */
export const INSERT: string =
  `INSERT INTO operations (${freshColumns.join(', ')}) ` +
  `VALUES (${freshColumns.map(() => '?').join(', ')}) ON CONFLICT DO NOTHING`

/** Writes what has changed, unless the operation has finished. Parameters: {@link updateValues}. */
export const UPDATE: string = `UPDATE operations SET ${changedColumns.map(column => `${column} = ?`).join(', ')} WHERE id = ? AND status < 2`

/** Writes the progress of a running attempt, and touches no index. Parameters: {@link progressValues}. */
export const PROGRESS: string =
  'UPDATE operations SET progress = ?, version = ?, updated_at = ? WHERE id = ? AND status = 1'

export function progressValues({ id, progress, version, updatedAt }: Operation): SqlValue[] {
  return [encode(progress), version, updatedAt, id]
}

const restored = [...fixedColumns, ...changedColumns, 'purged']

/** Writes a record as it is, over what there is under its id. Parameters: {@link restoreValues}. */
export const RESTORE: string =
  `INSERT INTO operations (${restored.join(', ')}) VALUES (${restored.map(() => '?').join(', ')}) ` +
  `ON CONFLICT (id) DO UPDATE SET ${restored.map(column => `${column} = excluded.${column}`).join(', ')}`

export function restoreValues(operation: Operation, purgeAt: number | null): SqlValue[] {
  return [
    ...fixedFields.map(field => operation[field]),
    ...changedValues(operation).slice(0, -1),
    purgeAt,
    operation.purged ? 1 : 0,
  ]
}

export function insertValues(operation: Operation): SqlValue[] {
  return [...freshFields.map(field => operation[field]), ...codes(operation)]
}

export function updateValues(operation: Operation): SqlValue[] {
  return [...changedValues(operation), operation.id]
}

function changedValues(operation: Operation): SqlValue[] {
  return [
    ...plainFields.map(field => operation[field]),
    ...codes(operation),
    encode(operation.progress),
    encode(operation.error),
    operation.history.length === 0 ? null : JSON.stringify(operation.history),
    encode(operation.waits),
    operation.expiresAt,
  ]
}

function codes({ status, cancelRequested, webhookDue }: Operation): SqlValue[] {
  return [STATUSES.indexOf(status), cancelRequested ? 1 : 0, webhookDue ? 1 : 0]
}

function encode(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

function decode<T>(text: unknown): T | null {
  return typeof text === 'string' ? (JSON.parse(text) as T) : null
}

type Column = keyof typeof FIXED | keyof typeof PLAIN | (typeof ENCODED)[number] | 'purged'

/** Where each column stands in a row. */
const AT = Object.fromEntries(columns.map((column, index) => [column, index])) as Record<Column, number>

/** Selects whole records: the opening of each statement of a {@link RecordQuery}. */
export const RECORDS: string = `SELECT ${columns.join(', ')} FROM operations`

/** What is held, of a row with its columns. */
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

/** A prepared statement that reads records. */
export class RecordQuery {
  readonly #statement: Statement

  /** @param sql selects as {@link RECORDS} does */
  constructor(database: Database, sql: string) {
    this.#statement = withArrays(database.prepare(sql))
  }

  get(...parameters: SqlValue[]): Operation | undefined {
    const row = this.#statement.get(...parameters)
    return row === undefined ? undefined : toOperation(row as readonly unknown[])
  }

  all(...parameters: SqlValue[]): Operation[] {
    return this.#statement.all(...parameters).map(row => toOperation(row as readonly unknown[]))
  }
}

function toOperation(row: readonly unknown[]): Operation {
  const execution = row[AT.execution] as string | null
  const operation = {
    id: row[AT.id] as string,
    type: row[AT.type] as string,
    owner: row[AT.owner] as string,
    status: statusOf(row[AT.status] as number),
    version: row[AT.version] as number,
    priority: row[AT.priority] as number,
    createdAt: row[AT.created_at] as number,
    updatedAt: row[AT.updated_at] as number,
    runAt: row[AT.run_at] as number | null,
    startBy: row[AT.start_by] as number | null,
    startedAt: row[AT.started_at] as number | null,
    finishedAt: row[AT.finished_at] as number | null,
    expiresAt: row[AT.expires_at] as number | null,
    attempt: row[AT.attempt] as number,
    released: row[AT.released] as number,
    lost: row[AT.lost] as number,
    maxAttempts: row[AT.max_attempts] as number,
    maxLost: row[AT.max_lost] as number,
    retention: row[AT.retention] as number,
    holder: row[AT.holder] as string | null,
    leaseUntil: row[AT.lease_until] as number | null,
    attemptStartedAt: row[AT.attempt_started_at] as number | null,
    launches: row[AT.launches] as number,
    execution,
    engine: engineOf(execution, row[AT.engine] as string | null),
    cancelRequested: row[AT.cancel_requested] === 1,
    progress: decode<Progress>(row[AT.progress]),
    error: decode<Problem>(row[AT.error]),
    waits: decode<Waits>(row[AT.waits]),
    idempotencyKey: row[AT.idempotency_key] as string | null,
    fingerprint: row[AT.fingerprint] as string | null,
    traceparent: row[AT.traceparent] as string | null,
    webhookUrl: row[AT.webhook_url] as string | null,
    webhookDue: row[AT.webhook_due] === 1,
    purged: row[AT.purged] === 1,
  }
  return withHistory(operation, row[AT.history] as string | null)
}

function statusOf(code: number): Status {
  return STATUSES[code] ?? 'failed'
}

/** A process of schema version 1 that takes the execution out leaves its engine behind. */
function engineOf(execution: string | null, engine: string | null): string | null {
  return execution === null ? null : engine
}
