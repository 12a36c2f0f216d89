/**
 * The durable record of one operation, and its state machine. All of it is pure: a store reads
 * a record, asks a function below for the next one, and writes that under a condition that no
 * one else has written in between.
 *
 * ```
 *            claim                 finish completed
 *  pending ─────────▶ running ──────────────────────▶ completed
 *   │  ▲                │ │ └──── finish failed ────▶ failed
 *   │  └────────────────┘ └────── finish canceled ──▶ canceled
 *   │   retry, release, expiry, suspend
 *   ├── cancel ─────────────────────────────────────▶ canceled
 *   └── start deadline, launches used up ───────────▶ failed
 * ```
 *
 * A suspended operation is pending: its handler waits for a time or an event, which `waits` holds, and `runAt` is the end
 * of the first wait that ends by itself. An event that it waits for makes it ready at once.
 */
import { briefProblem, problem } from './problem.ts'
import { isFinal, type Problem, type Progress, type Status } from './protocol.ts'
import type { Submission, Tags } from './submission.ts'
import { isFor, receivedEvent, suspendedWaits, type WaitRequest, type Waits } from './waits.ts'

/** How one attempt ended. */
export const ATTEMPT_OUTCOMES = ['completed', 'failed', 'canceled', 'released', 'suspended', 'lost'] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

/** One attempt that has ended. Times are milliseconds since the epoch, by the store's clock. */
export interface Attempt {
  readonly number: number
  /** Which worker process held the lease. */
  readonly holder: string
  /** What a launcher started for it, as its engine names it. */
  readonly execution: string | null
  /** What the execution was started on, such as `kubernetes`; null where there was none, or nobody has said. */
  readonly engine: string | null
  readonly startedAt: number
  readonly finishedAt: number
  readonly outcome: AttemptOutcome
  /** Why it failed, was lost or was canceled; of a problem of more than 1 KiB the beginning. */
  readonly error: Problem | null
}

/**
 * What a handler threw, for those who operate the service: at most 8 KiB as JSON. It is kept beside the operation, and
 * no answer to a client holds it.
 */
export interface AttemptError {
  /** Such as `TypeError`. */
  readonly name: string
  readonly message: string
  /** Such as `ECONNREFUSED`. */
  readonly code?: string
  readonly stack?: string
  readonly cause?: AttemptError
}

/** How many ended attempts a record keeps; of more, the oldest are dropped. */
export const HISTORY_LIMIT = 50

/** The record. Times are milliseconds since the epoch, by the store's clock; null means not yet, or not at all. */
export interface Operation {
  /** UUID version 7 (RFC 9562). */
  readonly id: string
  /** The operation type's name. */
  readonly type: string
  /** Who submitted it; the empty string where the composition knows no principals. */
  readonly owner: string
  readonly status: Status
  /** 1 when accepted, and 1 more with each change: the ETag, and the id of an event. */
  readonly version: number
  readonly priority: number
  readonly createdAt: number
  readonly updatedAt: number
  /** Pending: not to be claimed from the queue before this. Null: at once. */
  readonly runAt: number | null
  /** The first attempt must have begun by then. */
  readonly startBy: number | null
  /** When the first attempt began. */
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly expiresAt: number | null
  /** Claims so far. The number of the attempt that runs or ran last: its fencing token. */
  readonly attempt: number
  /** Attempts that were handed back at shutdown: they do not count. */
  readonly released: number
  /** Attempts whose lease expired: they count against `maxLost` alone. */
  readonly lost: number
  readonly maxAttempts: number
  readonly maxLost: number
  /** How long the record is kept after the end, in milliseconds. */
  readonly retention: number
  /** Running: the worker process that holds the lease. */
  readonly holder: string | null
  readonly leaseUntil: number | null
  /** When the attempt that runs or ran last began. */
  readonly attemptStartedAt: number | null
  /** Executions started since the last claim. */
  readonly launches: number
  /** The execution that was started last, as its engine names it. */
  readonly execution: string | null
  /** What that execution was started on, as its launcher says in `engine`; null where there is none, or nobody has said. */
  readonly engine: string | null
  readonly cancelRequested: boolean
  readonly progress: Progress | null
  /** Why it failed or was canceled. */
  readonly error: Problem | null
  readonly history: readonly Attempt[]
  /** What its handler waits for, or waited for last; null where it never has. */
  readonly waits: Waits | null
  readonly idempotencyKey: string | null
  /** A digest of the body that came with the key. */
  readonly fingerprint: string | null
  readonly traceparent: string | null
  /** Where its end is to be told, as a webhook. */
  readonly webhookUrl: string | null
  /** It has ended and its webhook delivery has not been accepted yet. */
  readonly webhookDue: boolean
  /** Its input, result, steps and log are gone; the record stays a while to say so. */
  readonly purged: boolean
  /** What operators find it by, as the type's `tags` made it of the input; null where there are none. They go with the payloads. */
  readonly tags: Tags | null
  /** The operation that this one runs again. */
  readonly retryOf: string | null
  /** The operation that runs this one again. */
  readonly retriedBy: string | null
}

/** How an attempt reports its end. */
export type Outcome =
  | { readonly kind: 'completed' /** The result as JSON text. */; readonly output: string }
  | { readonly kind: 'failed'; readonly problem: Problem; readonly error?: AttemptError }
  /** Run again after `delayMs` while attempts are left, else failed with the problem. */
  | { readonly kind: 'retry'; readonly problem: Problem; readonly delayMs: number; readonly error?: AttemptError }
  | { readonly kind: 'canceled'; readonly problem: Problem }
  /** Handed back, as at a shutdown: the attempt does not count. The next one begins after `delayMs`, by default at once. */
  | { readonly kind: 'released'; readonly delayMs?: number }
  /** The handler waits: the attempt does not count, and the next one begins when one of the waits is over. */
  | { readonly kind: 'suspended'; readonly waits: readonly WaitRequest[] }

/** How an attempt ends that was claimed without an input: a store that has lost it hands the others out all the same. */
export const INPUT_LOST: Outcome = { kind: 'failed', problem: problem('input-lost') }

/** A change to one operation. `attempt` is the fence: a change by an attempt that no longer owns the operation is refused. */
export type Change =
  | { readonly kind: 'finish'; readonly attempt: number; readonly outcome: Outcome }
  | { readonly kind: 'progress'; readonly attempt: number; readonly progress: Progress }
  /** The client's cancel: done at once where it is pending, a request where it runs. */
  | { readonly kind: 'cancel' }
  /** An execution was started for the launch of this number. */
  | { readonly kind: 'launched'; readonly launch: number; readonly execution: string; readonly engine: string }
  /** The engine would not start an execution for the launch of this number: try later, as if it had not been tried. */
  | { readonly kind: 'launch-refused'; readonly launch: number; readonly delayMs: number }
  /**
   * The process or execution that had the operation is known to be gone: do not wait for the lease.
   * Of an execution its name: a late word of one says nothing about the next.
   */
  | { readonly kind: 'abandon'; readonly attempt: number; readonly execution?: string; readonly reason: string }
  /** An event, as JSON text. Refused where one of this name has come, or the wait for it is over. It is kept as a step. */
  | { readonly kind: 'event'; readonly name: string; readonly value: string }
  /** Its webhook delivery has been accepted as an operation of its own. An ended operation takes this change and the next one. */
  | { readonly kind: 'webhook-accepted' }
  /** Another operation runs this one again. */
  | { readonly kind: 'retried'; readonly by: string }

/**
 * The record of an operation that has just been accepted.
 *
 * @example
 * const record = accepted(submission, now)
 */
export function accepted(submission: Submission, now: number): Operation {
  const { input: _, delay, startWithin, limits: __, steps: ___, tags = null, retryOf = null, ...kept } = submission
  return {
    ...kept,
    tags,
    retryOf,
    retriedBy: null,
    status: 'pending',
    version: 1,
    createdAt: now,
    updatedAt: now,
    runAt: delay > 0 ? now + delay : null,
    startBy: startWithin === null ? null : now + delay + startWithin,
    startedAt: null,
    finishedAt: null,
    expiresAt: null,
    attempt: 0,
    released: 0,
    lost: 0,
    holder: null,
    leaseUntil: null,
    attemptStartedAt: null,
    launches: 0,
    execution: null,
    engine: null,
    cancelRequested: false,
    progress: null,
    error: null,
    history: [],
    waits: null,
    webhookDue: false,
    purged: false,
  }
}

/** What a worker says when it claims. */
export interface ClaimBy {
  readonly holder: string
  readonly leaseMs: number
  /** The execution that claims; null where it is none, and undefined where it does not know its name: what its launcher has recorded stays. */
  readonly execution?: string | null
  /** What it was started on. It says something only of an execution that is named, and what a launcher has recorded of that one stands. */
  readonly engine?: string | null
}

/**
 * The next attempt begins. Undefined where the operation is not pending, or too late to start.
 *
 * @example
 * const after = claimed(operation, { holder: 'host/1', leaseMs: 30_000, execution: null, engine: null }, now)
 */
export function claimed(operation: Operation, by: ClaimBy, now: number): Operation | undefined {
  if (operation.status !== 'pending' || startIsOver(operation, now)) return undefined
  return next(operation, now, {
    status: 'running',
    attempt: operation.attempt + 1,
    runAt: null,
    startedAt: operation.startedAt ?? now,
    attemptStartedAt: now,
    holder: by.holder,
    leaseUntil: now + by.leaseMs,
    launches: 0,
    execution: by.execution === undefined ? operation.execution : by.execution,
    engine: claimingEngine(operation, by),
    progress: null,
  })
}

function claimingEngine({ execution, engine }: Operation, by: ClaimBy): string | null {
  if (by.execution === undefined) return engine
  if (by.execution === null) return null
  return (by.execution === execution ? engine : null) ?? by.engine ?? null
}

/**
 * The lease is extended. Undefined where the attempt no longer holds it. The version stays: no client sees a lease.
 *
 * @example
 * const after = renewed(operation, 1, 30_000, now)
 */
export function renewed(operation: Operation, attempt: number, leaseMs: number, now: number): Operation | undefined {
  return owns(operation, attempt) ? { ...operation, leaseUntil: now + leaseMs } : undefined
}

/**
 * An execution is about to be started: until `holdMs` have passed no other one is. Undefined where it is not pending.
 *
 * @example
 * const after = launching(operation, 120_000, now)
 */
export function launching(operation: Operation, holdMs: number, now: number): Operation | undefined {
  if (operation.status !== 'pending') return undefined
  return { ...operation, runAt: now + holdMs, launches: operation.launches + 1, execution: null, engine: null }
}

/**
 * Applies a change. Undefined where it is refused, because the operation has finished or belongs to another attempt.
 *
 * @example
 * const after = changed(operation, { kind: 'cancel' }, now)
 */
export function changed(operation: Operation, change: Change, now: number): Operation | undefined {
  switch (change.kind) {
    case 'finish':
      return owns(operation, change.attempt) ? finished(operation, change.outcome, now) : undefined
    case 'progress':
      return owns(operation, change.attempt) ? next(operation, now, { progress: change.progress }) : undefined
    case 'cancel':
      return cancelAsked(operation, now)
    case 'launched':
      return awaitsLaunch(operation, change.launch)
        ? { ...operation, execution: change.execution, engine: change.engine }
        : undefined
    case 'launch-refused':
      return awaitsLaunch(operation, change.launch)
        ? { ...operation, launches: operation.launches - 1, runAt: now + change.delayMs }
        : undefined
    case 'abandon':
      return abandoned(operation, change, now)
    case 'event':
      return eventReceived(operation, change.name, now)
    case 'webhook-accepted':
      return operation.webhookDue ? { ...operation, webhookDue: false } : undefined
    case 'retried':
      return isFinal(operation.status) && operation.retriedBy !== change.by
        ? { ...operation, retriedBy: change.by }
        : undefined
  }
}

/**
 * The lease has run out, or the start deadline. Undefined where neither has.
 *
 * @param aheadMs how far the clock was set forward since leases were written: none of them ends by that
 *
 * @example
 * const after = expired(operation, now)
 */
export function expired(operation: Operation, now: number, aheadMs: number = 0): Operation | undefined {
  if (operation.status === 'running') {
    return (operation.leaseUntil ?? 0) <= now - aheadMs ? lostLease(operation, 'Its lease ran out.', now) : undefined
  }
  if (operation.status !== 'pending' || !startIsOver(operation, now)) return undefined
  return ended(operation, now, { status: 'failed', error: problem('start-deadline') })
}

/** A record is this much newer than the clock only where that was set back, in milliseconds. */
export const SET_BACK_MS = 2000

/**
 * The clock was set back after the due time was written: the delay begins once more. Undefined where it was not.
 *
 * @example
 * const after = rescheduled(operation, now)
 */
export function rescheduled(operation: Operation, now: number): Operation | undefined {
  const { status, runAt, updatedAt } = operation
  if (status !== 'pending' || runAt === null || updatedAt <= now + SET_BACK_MS) return undefined
  return { ...operation, runAt: now + Math.max(0, runAt - updatedAt), updatedAt: now }
}

function startIsOver({ attempt, startBy }: Operation, now: number): boolean {
  return attempt === 0 && startBy !== null && startBy <= now
}

/** Whether its handler waits, and nothing has come yet that it waits for. */
export function isSuspended({ status, runAt, launches, waits, history }: Operation): boolean {
  if (status !== 'pending' || runAt === null || launches > 0 || waits === null) return false
  return history.at(-1)?.outcome === 'suspended'
}

/** Failed attempts that count: those that were neither handed back, nor suspended, nor lost with their worker. */
export function countedAttempts(operation: Operation): number {
  return operation.attempt - operation.released - operation.lost
}

function owns(operation: Operation, attempt: number): boolean {
  return operation.status === 'running' && operation.attempt === attempt
}

function awaitsLaunch(operation: Operation, launch: number): boolean {
  return operation.status === 'pending' && operation.launches === launch
}

const CANCELED: Outcome = { kind: 'canceled', problem: problem('operation-canceled') }

function finished(operation: Operation, outcome: Outcome, now: number): Operation {
  switch (outcome.kind) {
    case 'completed':
      return ended(withAttempt(operation, 'completed', null, now), now, { status: 'completed', ...whole(operation) })
    case 'failed':
      return failed(operation, outcome.problem, now)
    case 'canceled':
      return ended(withAttempt(operation, 'canceled', outcome.problem, now), now, canceled(outcome.problem))
    case 'released':
      // An execution is stopped for a cancel, and obeys it by handing back what it has not finished.
      if (operation.cancelRequested) return finished(operation, CANCELED, now)
      return released(operation, outcome.delayMs ?? 0, now)
    case 'suspended':
      return suspended(operation, outcome.waits, now)
    case 'retry':
      return retried(operation, outcome, now)
  }
}

/** A client that has seen a progress also sees it reach its end. */
function whole({ progress }: Operation): Partial<Operation> {
  return progress === null ? {} : { progress: { ...progress, fraction: 1 } }
}

function failed(operation: Operation, error: Problem, now: number): Operation {
  return ended(withAttempt(operation, 'failed', error, now), now, { status: 'failed', error })
}

function released(operation: Operation, delayMs: number, now: number): Operation {
  const back = withAttempt({ ...operation, released: operation.released + 1 }, 'released', null, now)
  return waiting(back, delayMs, now)
}

function suspended(operation: Operation, requests: readonly WaitRequest[], now: number): Operation {
  const { waits, dueAt } = suspendedWaits(operation.waits, requests, now)
  const back = withAttempt({ ...operation, waits, released: operation.released + 1 }, 'suspended', null, now)
  const after = waiting(back, dueAt - now, now)
  // Progress tells how far the work is, and a wait undoes none of it.
  return isFinal(after.status) ? after : { ...after, progress: operation.progress }
}

function eventReceived(operation: Operation, name: string, now: number): Operation | undefined {
  const waits = isFinal(operation.status) ? undefined : receivedEvent(operation.waits, name, now)
  if (waits === undefined) return undefined
  const isAwaited = isSuspended(operation) && waits.open.some(wait => isFor(wait, name))
  return next(operation, now, { waits, ...(isAwaited && { runAt: null }) })
}

function retried(operation: Operation, outcome: Outcome & { kind: 'retry' }, now: number): Operation {
  const { problem: error, delayMs } = outcome
  if (countedAttempts(operation) >= operation.maxAttempts && !operation.cancelRequested) {
    return failed(operation, error, now)
  }
  return waiting(withAttempt(operation, 'failed', error, now), delayMs, now)
}

/** Back to pending, unless a cancel was waiting for the attempt to end. */
function waiting(operation: Operation, delayMs: number, now: number): Operation {
  if (operation.cancelRequested) return ended(operation, now, canceled(problem('operation-canceled')))
  return next(operation, now, {
    status: 'pending',
    runAt: delayMs > 0 ? now + delayMs : null,
    holder: null,
    leaseUntil: null,
    execution: null,
    engine: null,
    progress: null,
  })
}

function lostLease(operation: Operation, reason: string, now: number): Operation {
  const lost = operation.lost + 1
  const error = problem('worker-lost', reason)
  const after = withAttempt({ ...operation, lost }, 'lost', error, now)
  if (lost > operation.maxLost && !operation.cancelRequested) return ended(after, now, { status: 'failed', error })
  return waiting(after, lostDelay(lost), now)
}

/** The first loss is made good at once; a run that ends its workers is slowed down. */
function lostDelay(lost: number): number {
  return lost < 2 ? 0 : Math.min(500 * 2 ** (lost - 2), 5000)
}

function abandoned(operation: Operation, change: Change & { kind: 'abandon' }, now: number): Operation | undefined {
  if (operation.attempt !== change.attempt) return undefined
  if (change.execution !== undefined && change.execution !== operation.execution) return undefined
  if (operation.status === 'running') return lostLease(operation, change.reason, now)
  if (operation.status !== 'pending' || operation.launches === 0) return undefined
  if (operation.launches > operation.maxLost) {
    return ended(operation, now, { status: 'failed', error: problem('launch-lost', change.reason) })
  }
  return { ...operation, runAt: now + lostDelay(operation.launches), execution: null, engine: null }
}

function cancelAsked(operation: Operation, now: number): Operation | undefined {
  if (isFinal(operation.status) || operation.cancelRequested) return undefined
  if (operation.status === 'running') return next(operation, now, { cancelRequested: true })
  const asked = { ...operation, cancelRequested: true }
  return ended(asked, now, canceled(problem('operation-canceled')))
}

function canceled(error: Problem): Partial<Operation> {
  return { status: 'canceled', error }
}

function withAttempt(operation: Operation, outcome: AttemptOutcome, error: Problem | null, now: number): Operation {
  const attempt: Attempt = {
    number: operation.attempt,
    holder: operation.holder ?? '',
    execution: operation.execution,
    engine: operation.engine,
    startedAt: operation.attemptStartedAt ?? now,
    finishedAt: now,
    outcome,
    error: error && briefProblem(error),
  }
  return { ...operation, history: [...operation.history, attempt].slice(-HISTORY_LIMIT) }
}

function ended(operation: Operation, now: number, change: Partial<Operation>): Operation {
  return next(operation, now, {
    ...change,
    finishedAt: now,
    expiresAt: now + operation.retention,
    webhookDue: operation.webhookUrl !== null,
    runAt: null,
    holder: null,
    leaseUntil: null,
  })
}

function next(operation: Operation, now: number, change: Partial<Operation>): Operation {
  return { ...operation, ...change, version: operation.version + 1, updatedAt: Math.max(now, operation.updatedAt) }
}
