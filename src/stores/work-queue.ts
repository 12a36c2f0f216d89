/** The part of a store that workers and launchers use. The rules of every method are at the top of `store.ts`. */
import type { ClaimBy, Operation } from '../model/operation.ts'
import type { Status } from '../model/protocol.ts'
import type { Lease } from './operation-store.ts'

/** Which pending operations to claim: the ready ones of some types, or a single one by its id. */
export interface ClaimRequest extends ClaimBy {
  readonly from:
    | { readonly types: readonly { readonly type: string; readonly limit: number }[]; readonly limit: number }
    | { readonly id: string }
}

/** A claimed operation with its input as JSON. */
export interface Claim {
  readonly operation: Operation
  readonly input: string
}

/** The answer to a renewal. */
export type Renewal =
  | { readonly kind: 'held'; readonly cancelRequested: boolean }
  /** The attempt no longer owns the operation. */
  | { readonly kind: 'lost' }
  /**
   * Another transaction has locked the record. Nothing was written: the lease still ends at its old time, and can be
   * renewed until then.
   */
  | { readonly kind: 'busy' }

/** The state of the queue of a type. Estimates are made from it. */
export interface QueueStats {
  /** The ids of ready operations in the order in which they are claimed, at most {@link QUEUE_READY_LIMIT}. */
  readonly ready: readonly string[]
  /** How many are ready, counted to at most {@link QUEUE_COUNT_LIMIT}. */
  readonly depth: number
  /** How many are running, counted to at most {@link QUEUE_COUNT_LIMIT}. */
  readonly running: number
  /** When the oldest of `ready` was accepted, in milliseconds since the epoch. */
  readonly oldestAt: number | null
  /** How long the last completed attempts ran, in milliseconds, newest first, at most 100. */
  readonly durations: readonly number[]
}

/** The most ids that {@link QueueStats} lists. */
export const QUEUE_READY_LIMIT = 1000

/** The number at which {@link QueueStats} stops counting. */
export const QUEUE_COUNT_LIMIT = 10_000

/** Which ready operations to start executions for. */
export interface ReserveRequest {
  readonly types: readonly string[]
  readonly limit: number
  /** How long other dispatchers do not get them, in milliseconds. */
  readonly holdMs: number
}

/** An unfinished operation that a process or an execution has. */
export interface ActiveOperation {
  readonly id: string
  readonly type: string
  readonly status: Status
  readonly attempt: number
  readonly holder: string | null
  readonly execution: string | null
  /** The engine of the execution; null also if an older version recorded the execution. */
  readonly engine: string | null
  readonly cancelRequested: boolean
}

/** Which active operations to list, in the order of their ids. */
export interface ActiveQuery {
  /** Only those of this holder. */
  readonly holder?: string | undefined
  /** Continue after this id. */
  readonly after?: string | undefined
  /** 1 to 1,000. */
  readonly limit: number
}

/** What a sweep did. */
export interface SweepResult {
  /** The operations whose lease or deadline had passed, as they are after the sweep: ready again, or ended. */
  readonly expired: readonly Operation[]
  /** The ids of operations whose payloads, or whose record, were deleted, in any order. */
  readonly purged: readonly string[]
}

/** What workers and launchers need: claims operations, renews leases, and ends operations whose time is over. */
export interface WorkQueue {
  /** Whether a claim takes a round trip over a network: then workers with short attempts claim further ahead. Default false. */
  readonly isRemote?: boolean | undefined

  /**
   * Begins the next attempt of ready operations: type by type in the order of the request; within a type by priority,
   * then by id, which is the order of acceptance. Operations of the same millisecond may come in any order. An
   * operation whose `runAt` has passed is ready.
   */
  claim(request: ClaimRequest): Promise<Claim[]>

  /**
   * Extends leases, all in one statement; the answers are in the order of the leases. An expired lease can still be
   * renewed until a sweep ends it. A record that another transaction has locked does not delay the others.
   */
  renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]>

  /**
   * Takes ready operations in order to start executions for them, and reserves each of them so that no other dispatcher
   * starts a second execution.
   */
  reserveForLaunch(request: ReserveRequest): Promise<readonly Operation[]>

  /** Lists unfinished operations that a process or an execution has. Fewer than `limit` means that no more follow. */
  listActive(query: ActiveQuery): Promise<readonly ActiveOperation[]>

  /** Lists the processes that hold running operations, each once, in any order. */
  holders(): Promise<readonly string[]>

  /** Reads the state of a type's queue. */
  queueStats(type: string): Promise<QueueStats>

  /** Lists ended operations whose webhook delivery is due, at most `limit`. */
  webhooksDue(limit: number): Promise<readonly Operation[]>

  /** Lists ended operations whose parents must be notified, or whose children must be handled, at most `limit`. */
  familyDue(limit: number): Promise<readonly Operation[]>

  /**
   * Ends operations whose lease or deadline has passed, and deletes those that have passed their retention; at most
   * `limit` operations of each.
   */
  sweep(limit: number): Promise<SweepResult>

  /**
   * Sends the hint `idle` to other processes: this one has just looked for work and found nothing. A store where a look
   * costs nothing leaves this method out.
   *
   * @returns how long the next such look may wait while nothing happens, in milliseconds; undefined: no longer than
   * usual
   */
  tellIdle?(look: string): number | undefined
}
