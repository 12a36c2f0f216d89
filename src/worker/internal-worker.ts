/** Works off operations of Waybill's own, such as the ticks of schedules, on the event loop of the process. */
import type { Handler } from '../model/handler.ts'
import type { OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { inlineRunner } from './runners/inline.ts'
import { Worker } from './worker.ts'

/** What an internal worker needs. */
export interface InternalWorkerParts {
  /** The prefix of the names of its loops. */
  readonly name: string
  readonly store: OperationStore & WorkQueue
  readonly logger: Logger
  /** For each type that it works off. */
  readonly handlers: readonly Handler[]
  /** How many attempts run at once. */
  readonly concurrency: number
  /** The longest time between two polls of the queue, in milliseconds. Default 1 s. */
  readonly pollIntervalMs?: number
  /** Whether nearly all that it works off is submitted by its own process. Default false. */
  readonly isOwn?: boolean
}

/** How long after the death of its process such an operation waits until another process takes it, in milliseconds. */
export const INTERNAL_LEASE_MS = 30_000
/** Handlers that are values are loaded already. */
const START_MS = 60_000

/** Makes the worker. It does not log how attempts end: the part of Waybill that uses it does. */
export function internalWorker({ handlers, pollIntervalMs = 1000, ...parts }: InternalWorkerParts): Worker {
  return new Worker({
    ...parts,
    types: handlers.map(({ type }) => type),
    logEnds: false,
    runner: inlineRunner(handlers, START_MS),
    leaseMs: INTERNAL_LEASE_MS,
    graceMs: 1000,
    shutdownMs: 1000,
    pollIntervalMs,
  })
}
