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
  /** Another transaction holds the record. Nothing was written: the lease still ends at its old time, and can be renewed until then. */
  | { readonly kind: 'busy' }

/** The state of a type's queue, from which estimates are made. */
export interface QueueStats {
  /** The ids of ready operations in the order of their claim, at most {@link QUEUE_READY_LIMIT}. */
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

/** The number at which {@link QueueStats} stops to count. */
export const QUEUE_COUNT_LIMIT = 10_000

/** Which ready operations to start executions for. */
export interface ReserveRequest {
  readonly types: readonly string[]
  readonly limit: number
  /** How long each is held back from other dispatchers, in milliseconds. */
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
  /** What the execution was started on; null also where an older version recorded it. */
  readonly engine: string | null
  readonly cancelRequested: boolean
}

/** Which active operations to list, in the order of their ids. */
export interface ActiveQuery {
  /** Only those of this holder. */
  readonly holder?: string | undefined
  /** List what comes after this id. */
  readonly after?: string | undefined
  /** 1 to 1,000. */
  readonly limit: number
}

/** What a sweep did. */
export interface SweepResult {
  /** The operations whose lease or start deadline had run out, as they are then: ready again, or ended. */
  readonly expired: readonly Operation[]
  /** The ids of operations whose payloads, or whose record, were deleted, in any order. */
  readonly purged: readonly string[]
}

/** What workers and launchers need: claims operations, keeps leases, and ends what has run out. */
export interface WorkQueue {
  /** Whether a claim takes a round trip over a network: then workers with short attempts claim further ahead. Default false. */
  readonly isRemote?: boolean | undefined

  /**
   * Begins the next attempt of ready operations: type by type in the order of the request, and within a type
   * by priority, then in the order of their ids, which is that of their acceptance; those of one millisecond may be in
   * any order. An operation whose `runAt` has passed is ready.
   */
  claim(request: ClaimRequest): Promise<Claim[]>

  /**
   * Extends leases, all in one statement; the answers are in the order of the leases. A lease that has run out is
   * still held until a sweep ends it. A record that another transaction holds does not delay the others.
   */
  renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]>

  /** Takes ready operations to start executions for, and holds each back so that no other dispatcher starts one too. */
  reserveForLaunch(request: ReserveRequest): Promise<readonly Operation[]>

  /** Lists unfinished operations that a process or an execution has; fewer than `limit` where no more follow. */
  listActive(query: ActiveQuery): Promise<readonly ActiveOperation[]>

  /** Lists the processes that hold running operations, each once, in any order. */
  holders(): Promise<readonly string[]>

  /** Reads the state of a type's queue. */
  queueStats(type: string): Promise<QueueStats>

  /** Lists ended operations whose webhook delivery is due, at most `limit`. */
  webhooksDue(limit: number): Promise<readonly Operation[]>

  /** Lists ended operations whose parents are to be told, or whose children are to be looked after, at most `limit`. */
  familyDue(limit: number): Promise<readonly Operation[]>

  /** Ends what has run out and deletes what has passed its retention, at most `limit` operations of each. */
  sweep(limit: number): Promise<SweepResult>

  /**
   * Hints to other processes that this one has just looked for something and found nothing: the hint `idle`. A store
   * where a look costs nothing leaves this method out.
   *
   * @returns how long the next such look may wait, in milliseconds, as long as nothing happens; undefined for no longer than usual
   */
  tellIdle?(look: string): number | undefined
}
