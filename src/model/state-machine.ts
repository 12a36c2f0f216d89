/**
 * The state machine of an operation. All of it is pure: a store reads a record, asks a function below for the next one,
 * and writes that under a condition that no one else has written in between.
 *
 * ```
 *            claim                 finish completed
 *  pending ─────────▶ running ──────────────────────▶ completed
 *   │  ▲                │ │ └──── finish failed ────▶ failed
 *   │  └────────────────┘ └────── finish canceled ──▶ canceled
 *   │   retry, release, expiry, suspend
 *   ├── cancel ─────────────────────────────────────▶ canceled
 *   └── a deadline, launches used up ───────────────▶ failed
 * ```
 *
 * A suspended operation is pending: its handler waits for a time, an event or its children, which `waits` holds, and
 * `runAt` is the end of the first wait that ends by itself. What it waits for makes it ready at once when it comes.
 */

import { isPastDeadline, lateProblem } from './deadlines.ts'
import {
  type Attempt,
  type AttemptOutcome,
  type Change,
  type ClaimBy,
  countedAttempts,
  type EndedChange,
  HISTORY_LIMIT,
  hasChildren,
  isSuspended,
  type Operation,
  type Outcome,
} from './operation.ts'
import { briefProblem, problem } from './problem.ts'
import { isFinal, type Problem } from './protocol.ts'
import type { Submission } from './submission.ts'
import { isFor, isOver, receivedEvent, suspendedWaits, type WaitRequest, withChildren } from './waits.ts'

/**
 * The record of an operation that has just been accepted.
 *
 * @example
 * const record = accepted(submission, now)
 */
export function accepted(submission: Submission, now: number): Operation {
  const { delay, startWithin, endWithin = null } = submission
  // Each member is written out: rest and spread would take four times as much time and memory.
  return {
    id: submission.id,
    type: submission.type,
    owner: submission.owner,
    status: 'pending',
    version: 1,
    priority: submission.priority,
    createdAt: now,
    updatedAt: now,
    runAt: delay > 0 ? now + delay : null,
    startBy: startWithin === null ? null : now + delay + startWithin,
    deadline: endWithin === null ? null : now + delay + endWithin,
    startedAt: null,
    finishedAt: null,
    expiresAt: null,
    attempt: 0,
    released: 0,
    lost: 0,
    maxAttempts: submission.maxAttempts,
    maxLost: submission.maxLost,
    retention: submission.retention,
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
    idempotencyKey: submission.idempotencyKey,
    fingerprint: submission.fingerprint,
    traceparent: submission.traceparent,
    webhookUrl: submission.webhookUrl,
    webhookDue: false,
    purged: false,
    tags: submission.tags ?? null,
    parent: submission.parent ?? null,
    familyDue: false,
    retryOf: submission.retryOf ?? null,
    retriedBy: null,
  }
}

/**
 * The next attempt begins. Undefined where the operation is not pending, or too late to start.
 *
 * @example
 * const after = claimed(operation, { holder: 'host/1', leaseMs: 30_000, execution: null, engine: null }, now)
 */
export function claimed(operation: Operation, by: ClaimBy, now: number): Operation | undefined {
  if (operation.status !== 'pending' || lateProblem(operation, now)) return undefined
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
 * An execution is about to be started. No other one is started until `holdMs` have passed. Undefined where it is not
 * pending, or too late to start.
 *
 * @example
 * const after = launching(operation, 120_000, now)
 */
export function launching(operation: Operation, holdMs: number, now: number): Operation | undefined {
  if (operation.status !== 'pending' || lateProblem(operation, now)) return undefined
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
    case 'refuse':
      return isUntouched(operation) ? ended(operation, now, { status: 'failed', error: change.problem }) : undefined
    case 'has-children':
      return owns(operation, change.attempt) ? { ...operation, waits: withChildren(operation.waits) } : undefined
    case 'children-ended':
      return childrenEnded(operation, change, now)
    case 'webhook-accepted':
      return operation.webhookDue ? { ...operation, webhookDue: false } : undefined
    case 'family-told':
      return operation.familyDue ? { ...operation, familyDue: false } : undefined
    case 'retried':
      return isFinal(operation.status) && operation.retriedBy !== change.by
        ? { ...operation, retriedBy: change.by }
        : undefined
  }
}

const NOTED_AFTER_THE_END: Readonly<Record<EndedChange['kind'], true>> = {
  'webhook-accepted': true,
  'family-told': true,
  retried: true,
}

/**
 * Whether a change has ended the operation: it became final by this change, and not by an earlier one.
 *
 * @param kind the kind of the change; undefined where a sweep has changed it
 */
export function hasJustEnded({ status }: Operation, kind?: Change['kind']): boolean {
  return isFinal(status) && (kind === undefined || !(kind in NOTED_AFTER_THE_END))
}

/**
 * Whether the record shows that a change of this kind ended the attempt. A change whose first answer was lost is refused
 * when it is sent again, though it was written.
 */
export function hasEndedAttempt({ history }: Operation, attempt: number, kind: Change['kind']): boolean {
  const ended = history.find(({ number }) => number === attempt)
  return ended !== undefined && (ended.outcome !== 'lost' || kind === 'abandon')
}

/**
 * The lease has expired, or a deadline of an operation that does not run has passed. Undefined where neither has
 * happened.
 *
 * @param aheadMs how far the clock was set forward since leases were written: leases last longer by this much
 *
 * @example
 * const after = expired(operation, now)
 */
export function expired(operation: Operation, now: number, aheadMs: number = 0): Operation | undefined {
  if (operation.status === 'running') {
    return (operation.leaseUntil ?? 0) <= now - aheadMs ? lostLease(operation, 'Its lease ran out.', now) : undefined
  }
  const error = operation.status === 'pending' ? lateProblem(operation, now) : undefined
  return error && ended(operation, now, { status: 'failed', error })
}

/** A record that is newer than the clock by more than this, in milliseconds, shows that the clock was set back. */
export const SET_BACK_MS = 2000

/**
 * The clock was set back after the due time was written: the delay begins again. Undefined where the clock was not set
 * back.
 *
 * @example
 * const after = rescheduled(operation, now)
 */
export function rescheduled(operation: Operation, now: number): Operation | undefined {
  const { status, runAt, updatedAt } = operation
  if (status !== 'pending' || runAt === null || updatedAt <= now + SET_BACK_MS) return undefined
  return { ...operation, runAt: now + Math.max(0, runAt - updatedAt), updatedAt: now }
}

function owns(operation: Operation, attempt: number): boolean {
  return operation.status === 'running' && operation.attempt === attempt
}

function isUntouched({ status, attempt, launches }: Operation): boolean {
  return status === 'pending' && attempt === 0 && launches === 0
}

function awaitsLaunch(operation: Operation, launch: number): boolean {
  return operation.status === 'pending' && launch > 0 && operation.launches === launch
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
      // A canceled execution is stopped; as it shuts down, it hands its unfinished operation back. That completes the
      // cancel.
      if (operation.cancelRequested) return finished(operation, CANCELED, now)
      return released(operation, outcome.delayMs ?? 0, now)
    case 'suspended':
      return suspended(operation, outcome.waits, now)
    case 'retry':
      return retried(operation, outcome, now)
  }
}

/** A client that has seen a progress also sees it at 1 when the operation completes. */
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
  // The progress stays, since a wait undoes none of the work.
  return isFinal(after.status) ? after : { ...after, progress: operation.progress }
}

function eventReceived(operation: Operation, name: string, now: number): Operation | undefined {
  if (isFinal(operation.status) || isPastDeadline(operation, now)) return undefined
  const waits = receivedEvent(operation.waits, name, now)
  if (waits === undefined) return undefined
  const isAwaited = isSuspended(operation) && waits.open.some(wait => isFor(wait, name))
  return next(operation, now, { waits, ...(isAwaited && { runAt: null }) })
}

function childrenEnded(
  operation: Operation,
  { unfinished, told }: Change & { kind: 'children-ended' },
  now: number,
): Operation | undefined {
  const { waits } = operation
  if (isFinal(operation.status) || waits?.children?.told !== told) return undefined
  const isAwaited = isSuspended(operation) && waits.open.some(wait => isOver(wait, unfinished))
  const children = { told: told + 1, unfinished }
  return next(operation, now, { waits: { ...waits, children }, ...(isAwaited && { runAt: null }) })
}

function retried(operation: Operation, outcome: Outcome & { kind: 'retry' }, now: number): Operation {
  const { problem: error, delayMs } = outcome
  // If the next attempt could begin only after the deadline, this one is the last.
  const isLast = countedAttempts(operation) >= operation.maxAttempts || isPastDeadline(operation, now + delayMs)
  if (isLast && !operation.cancelRequested) return failed(operation, error, now)
  return waiting(withAttempt(operation, 'failed', error, now), delayMs, now)
}

/** Back to pending, unless a cancel was requested during the attempt, or it is too late for another attempt. */
function waiting(operation: Operation, delayMs: number, now: number): Operation {
  if (operation.cancelRequested) return ended(operation, now, canceled(problem('operation-canceled')))
  const error = lateProblem(operation, now)
  if (error !== undefined) return ended(operation, now, { status: 'failed', error })
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

/**
 * After the first loss the next attempt begins at once. After further ones it is delayed, since the work itself may
 * crash its workers.
 */
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
    familyDue: operation.parent !== null || hasChildren(operation),
    runAt: null,
    holder: null,
    leaseUntil: null,
  })
}

function next(operation: Operation, now: number, change: Partial<Operation>): Operation {
  return { ...operation, ...change, version: operation.version + 1, updatedAt: Math.max(now, operation.updatedAt) }
}
