/** The durable record of one operation, and what can be asked of it and done to it. How it changes: see `state-machine.ts`. */
import { problem } from './problem.ts'
import type { Problem, Progress, Status } from './protocol.ts'
import type { Tags } from './submission.ts'
import type { WaitRequest, Waits } from './waits.ts'

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
  /** It must have ended by then: no attempt begins, and the one that runs is told to stop. */
  readonly deadline: number | null
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
  /** The operation whose handler has submitted this one. */
  readonly parent: string | null
  /** It has ended, and its parent has not been told yet, or its children have not been looked after. */
  readonly familyDue: boolean
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
export type Change = UnfinishedChange | EndedChange

/** What changes an operation that has not ended, and may end it. */
type UnfinishedChange =
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
  /** It fails before any attempt: nobody could do it. */
  | { readonly kind: 'refuse'; readonly problem: Problem }
  /** The attempt is about to submit children. */
  | { readonly kind: 'has-children'; readonly attempt: number }
  /** Children have ended; how many have not. */
  | { readonly kind: 'children-ended'; readonly unfinished: number }

/** What is noted about an operation that has ended. Its status stays. */
export type EndedChange =
  /** Its webhook delivery has been accepted as an operation of its own. */
  | { readonly kind: 'webhook-accepted' }
  /** Its parent knows of its end, and its children have been looked after. */
  | { readonly kind: 'family-told' }
  /** Another operation runs this one again. */
  | { readonly kind: 'retried'; readonly by: string }

/** What a worker says when it claims. */
export interface ClaimBy {
  readonly holder: string
  readonly leaseMs: number
  /** The execution that claims; null where it is none, and undefined where it does not know its name: what its launcher has recorded stays. */
  readonly execution?: string | null
  /** What it was started on. It says something only of an execution that is named, and what a launcher has recorded of that one stands. */
  readonly engine?: string | null
}

/** Whether its handler waits, and nothing has come yet that it waits for. */
export function isSuspended({ status, runAt, launches, waits, history }: Operation): boolean {
  if (status !== 'pending' || runAt === null || launches > 0 || waits === null) return false
  return history.at(-1)?.outcome === 'suspended'
}

/** Whether it has submitted children. */
export function hasChildren({ waits }: Pick<Operation, 'waits'>): boolean {
  return waits?.children !== undefined
}

/** Failed attempts that count: those that were neither handed back, nor suspended, nor lost with their worker. */
export function countedAttempts(operation: Operation): number {
  return operation.attempt - operation.released - operation.lost
}
