/** How a record becomes a row, and a row a record. */
import type { Attempt, Operation } from '../../operation.ts'
import type { Problem, Progress } from '../../protocol.ts'
import { STATUSES } from '../../protocol.ts'
import type { Row, SqlValue } from './database.ts'

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
} as const satisfies Record<string, keyof Operation>

const ENCODED = ['status', 'cancel_requested', 'webhook_due', 'progress', 'error', 'history', 'purge_at'] as const

const fixedFields = Object.values(FIXED)
const plainFields = Object.values(PLAIN)
const fixedColumns = Object.keys(FIXED)
const changedColumns = [...Object.keys(PLAIN), ...ENCODED]

/** Inserts a record; a known id or idempotency key changes nothing. Parameters: {@link insertValues}. */
export const INSERT: string =
  `INSERT INTO operations (${[...fixedColumns, ...changedColumns].join(', ')}) ` +
  `VALUES (${[...fixedColumns, ...changedColumns].map(() => '?').join(', ')}) ON CONFLICT DO NOTHING`

/** Writes what has changed, unless the operation has finished. Parameters: {@link updateValues}. */
export const UPDATE: string = `UPDATE operations SET ${changedColumns.map(column => `${column} = ?`).join(', ')} WHERE id = ? AND status < 2`

export function insertValues(operation: Operation): SqlValue[] {
  return [...fixedFields.map(field => operation[field]), ...changedValues(operation)]
}

export function updateValues(operation: Operation): SqlValue[] {
  return [...changedValues(operation), operation.id]
}

function changedValues(operation: Operation): SqlValue[] {
  return [
    ...plainFields.map(field => operation[field]),
    STATUSES.indexOf(operation.status),
    operation.cancelRequested ? 1 : 0,
    operation.webhookDue ? 1 : 0,
    encode(operation.progress),
    encode(operation.error),
    operation.history.length === 0 ? null : JSON.stringify(operation.history),
    operation.expiresAt,
  ]
}

function encode(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

function decode<T>(text: unknown): T | null {
  return typeof text === 'string' ? (JSON.parse(text) as T) : null
}

/** Reads a whole row of `operations`. */
export function toOperation(row: Row): Operation {
  return {
    id: row.id as string,
    type: row.type as string,
    owner: row.owner as string,
    status: STATUSES[row.status as number] ?? 'failed',
    version: row.version as number,
    priority: row.priority as number,
    createdAt: row.created_at as number,
    updatedAt: row.updated_at as number,
    runAt: row.run_at as number | null,
    startBy: row.start_by as number | null,
    startedAt: row.started_at as number | null,
    finishedAt: row.finished_at as number | null,
    expiresAt: row.expires_at as number | null,
    attempt: row.attempt as number,
    released: row.released as number,
    lost: row.lost as number,
    maxAttempts: row.max_attempts as number,
    maxLost: row.max_lost as number,
    retention: row.retention as number,
    holder: row.holder as string | null,
    leaseUntil: row.lease_until as number | null,
    attemptStartedAt: row.attempt_started_at as number | null,
    launches: row.launches as number,
    execution: row.execution as string | null,
    cancelRequested: row.cancel_requested === 1,
    progress: decode<Progress>(row.progress),
    error: decode<Problem>(row.error),
    history: decode<Attempt[]>(row.history) ?? [],
    idempotencyKey: row.idempotency_key as string | null,
    fingerprint: row.fingerprint as string | null,
    traceparent: row.traceparent as string | null,
    webhookUrl: row.webhook_url as string | null,
    webhookDue: row.webhook_due === 1,
    purged: row.purged === 1,
  }
}
