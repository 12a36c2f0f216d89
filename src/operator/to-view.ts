/** Makes the operator's view of a record. */
import type { Operation } from '../model/operation.ts'
import { openWaits } from '../service/events.ts'
import type { OperationView } from './views.ts'

export function toView(operation: Operation): OperationView {
  return {
    id: operation.id,
    type: operation.type,
    owner: operation.owner,
    status: operation.status,
    version: operation.version,
    priority: operation.priority,
    createdAt: operation.createdAt,
    updatedAt: operation.updatedAt,
    runAt: operation.runAt,
    startedAt: operation.startedAt,
    finishedAt: operation.finishedAt,
    expiresAt: operation.expiresAt,
    deadline: operation.deadline,
    attempt: operation.attempt,
    maxAttempts: operation.maxAttempts,
    holder: operation.holder,
    execution: operation.execution,
    engine: operation.engine,
    cancelRequested: operation.cancelRequested,
    progress: operation.progress,
    error: operation.error,
    idempotencyKey: operation.idempotencyKey,
    purged: operation.purged,
    parent: operation.parent,
    tags: operation.tags ?? {},
    retryOf: operation.retryOf,
    retriedBy: operation.retriedBy,
    waits: openWaits(operation).map(({ kind, name, until }) => ({ kind, name, until })),
  }
}
