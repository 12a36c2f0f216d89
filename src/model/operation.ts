/**
 * The durable record of one operation, and the changes that can be made to it. How each change is applied: see
 * `state-machine.ts`.
 */
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
  /** The worker process that held the lease. */
  readonly holder: string
  /** The execution that a launcher started for it, by the name that the engine gave it. */
  readonly execution: string | null
  /**
   * The engine of the execution, such as `kubernetes`; null where there was no execution, or its engine is not known.
   */
  readonly engine: string | null
  readonly startedAt: number
  readonly finishedAt: number
  readonly outcome: AttemptOutcome
  /** Why it failed, was lost or was canceled. A problem of more than 1 KiB is shortened. */
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

/** How many ended attempts a record keeps. If there are more, the oldest are dropped. */
export const HISTORY_LIMIT = 50

/** The record. Times are milliseconds since the epoch, by the store's clock; null means not yet, or not at all. */
export interface Operation {
  /** UUID version 7 (RFC 9562). */
  readonly id: string
  /** The operation type's name. */
  readonly type: string
  /** The principal that submitted it; the empty string where the option `principal` is not set. */
  readonly owner: string
  readonly status: Status
  /** 1 when accepted; each change adds 1. It is the ETag of the status, and the id of an event in the event stream. */
  readonly version: number
  readonly priority: number
  readonly createdAt: number
  readonly updatedAt: number
  /** Of a pending operation: the time before which nothing claims it. Null: it can be claimed at once. */
  readonly runAt: number | null
  /** The time by which the first attempt must have begun. */
  readonly startBy: number | null
  /** The time by which it must have ended. After it no attempt begins, and a running one is asked to stop. */
  readonly deadline: number | null
  /** When the first attempt began. */
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly expiresAt: number | null
  /** The number of claims so far, which is also the number of the current or last attempt, and its fencing token. */
  readonly attempt: number
  /** How many attempts were handed back, such as at a shutdown. They do not count toward `maxAttempts`. */
  readonly released: number
  /** How many attempts were lost with their worker. They count only toward `maxLost`. */
  readonly lost: number
  readonly maxAttempts: number
  readonly maxLost: number
  /** How long the record is kept after the end, in milliseconds. */
  readonly retention: number
  /** Of a running operation: the worker process that holds the lease. */
  readonly holder: string | null
  readonly leaseUntil: number | null
  /** When the attempt that runs or ran last began. */
  readonly attemptStartedAt: number | null
  /** Executions started since the last claim. */
  readonly launches: number
  /** The execution that was started last, by the name that the engine gave it. */
  readonly execution: string | null
  /**
   * The engine of that execution, as its launcher names it in `engine`; null where there is no execution, or its engine
   * is not known.
   */
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
  /** The URL that receives a webhook when the operation has ended. */
  readonly webhookUrl: string | null
  /** It has ended and its webhook delivery has not been accepted yet. */
  readonly webhookDue: boolean
  /**
   * Its input, result, steps and log are deleted. The record stays for a while, so that clients get 410 instead of 404.
   */
  readonly purged: boolean
  /**
   * The tags that the type made of the input, by which operators find the operation; null where there are none. They
   * are deleted with the payloads.
   */
  readonly tags: Tags | null
  /** The operation whose handler has submitted this one. */
  readonly parent: string | null
  /**
   * It has ended, and either its parent has not been notified yet or its children have not been handled (canceled or
   * left to run).
   */
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
  /** Run again after `delayMs` if attempts are left; otherwise failed with the problem. */
  | { readonly kind: 'retry'; readonly problem: Problem; readonly delayMs: number; readonly error?: AttemptError }
  | { readonly kind: 'canceled'; readonly problem: Problem }
  /**
   * Handed back, such as at a shutdown: the attempt does not count. The next one begins after `delayMs`, by default at
   * once.
   */
  | { readonly kind: 'released'; readonly delayMs?: number }
  /** The handler waits: the attempt does not count, and the next one begins when one of the waits is over. */
  | { readonly kind: 'suspended'; readonly waits: readonly WaitRequest[] }

/**
 * The outcome of an attempt whose operation has lost its input in the store. Claims still return such an operation, so
 * that it fails and the others of the same claim run.
 */
export const INPUT_LOST: Outcome = { kind: 'failed', problem: problem('input-lost') }

/** A change to one operation. `attempt` is the fence: a change by an attempt that no longer owns the operation is refused. */
export type Change = UnfinishedChange | EndedChange

/** What changes an operation that has not ended, and may end it. */
type UnfinishedChange =
  | { readonly kind: 'finish'; readonly attempt: number; readonly outcome: Outcome }
  | { readonly kind: 'progress'; readonly attempt: number; readonly progress: Progress }
  /** A cancel by the client. A pending operation is canceled at once; a running one is only asked to stop. */
  | { readonly kind: 'cancel' }
  /** An execution was started for the launch of this number. */
  | { readonly kind: 'launched'; readonly launch: number; readonly execution: string; readonly engine: string }
  /**
   * The engine refused to start an execution for the launch of this number. It is tried again later, and this try does
   * not count.
   */
  | { readonly kind: 'launch-refused'; readonly launch: number; readonly delayMs: number }
  /**
   * The process or execution that had the operation is known to be gone, so nothing waits for the lease to expire.
   * `execution` names it, so that a late report about an earlier execution is not applied to a later one.
   */
  | { readonly kind: 'abandon'; readonly attempt: number; readonly execution?: string; readonly reason: string }
  /**
   * An event has arrived; `value` is JSON text, kept as a step. Refused if an event of this name arrived before, or the
   * wait for it is over.
   */
  | { readonly kind: 'event'; readonly name: string; readonly value: string }
  /** It fails without a further attempt, because no worker can run it. */
  | { readonly kind: 'refuse'; readonly problem: Problem }
  /** The attempt is about to submit children. */
  | { readonly kind: 'has-children'; readonly attempt: number }
  /**
   * Children have ended. `unfinished`: how many have not ended yet. `told`: how many such reports the operation had
   * received before they were counted. Refused if there has been another one since, which may have counted later.
   */
  | { readonly kind: 'children-ended'; readonly unfinished: number; readonly told: number }

/** Changes to an operation that has ended. They leave its status as it is. */
export type EndedChange =
  /** Its webhook delivery has been accepted as an operation of its own. */
  | { readonly kind: 'webhook-accepted' }
  /** Its parent was notified of its end, and its children have been handled. */
  | { readonly kind: 'family-told' }
  /** Another operation runs this one again. */
  | { readonly kind: 'retried'; readonly by: string }

/** What a worker passes with a claim. */
export interface ClaimBy {
  readonly holder: string
  readonly leaseMs: number
  /**
   * The execution that claims. Null: the worker is not an execution. Undefined: it does not know its own name, and the
   * name that its launcher recorded stays.
   */
  readonly execution?: string | null
  /**
   * The engine of that execution. Used only if `execution` is a name, and only if the launcher has not recorded an
   * engine for it.
   */
  readonly engine?: string | null
}

/** Whether its handler waits, and nothing that it waits for has arrived yet. */
export function isSuspended({ status, runAt, launches, waits, history }: Operation): boolean {
  if (status !== 'pending' || runAt === null || launches > 0 || waits === null) return false
  return history.at(-1)?.outcome === 'suspended'
}

/** Whether it has submitted children. */
export function hasChildren({ waits }: Pick<Operation, 'waits'>): boolean {
  return waits?.children !== undefined
}

/**
 * Counts the attempts that count toward `maxAttempts`: those that were not handed back, suspended or lost with their
 * worker.
 */
export function countedAttempts(operation: Operation): number {
  return operation.attempt - operation.released - operation.lost
}
