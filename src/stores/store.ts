/**
 * The contract of a store, which keeps operations durably. The folders beside this file hold the implementations, and
 * `waybill/testing` the suite that each of them passes. It has four parts, one for each kind of user, each in a file
 * beside this one: {@link OperationStore}, {@link WorkQueue}, {@link OperatorStore} and {@link Archive}.
 *
 * Rules for every method:
 * - What a promise has confirmed survives a crash of any process, and every reader sees it.
 * - All times are read from the store's clock, inside the store.
 * - A rejection means that the outcome is unknown: the write may have been made. Every write can be repeated without
 *   harm, since it is conditional on ids, versions and attempts.
 * - One failing write never fails another.
 * - A record or idempotency key that another transaction has locked delays writes of other records by at most one round
 *   trip.
 */
import type { Archive } from './archive.ts'
import type { OperationStore } from './operation-store.ts'
import type { OperatorStore } from './operator-store.ts'
import type { WorkQueue } from './work-queue.ts'

export type {
  Archive,
  Dump,
  DumpPart,
} from './archive.ts'
export {
  type Acceptance,
  acceptedOperation,
  CHILD_STATES,
  type ChildCounts,
  type ChildrenQuery,
  type ChildState,
  changeHints,
  type Hint,
  type HintNeed,
  type Lease,
  type ListQuery,
  LOG_LIMIT,
  type LogLine,
  type Note,
  type OperationStore,
  type RecordedError,
  type WithOutput,
} from './operation-store.ts'
export {
  BROWSE_LIMIT,
  type BrowsePage,
  type BrowseQuery,
  type OperatorFilter,
  type OperatorStore,
} from './operator-store.ts'
export {
  type ActiveOperation,
  type ActiveQuery,
  type Claim,
  type ClaimRequest,
  QUEUE_COUNT_LIMIT,
  QUEUE_READY_LIMIT,
  type QueueStats,
  type Renewal,
  type ReserveRequest,
  type SweepResult,
  type WorkQueue,
} from './work-queue.ts'

/** What is known about how a process will use a store. */
export interface StoreUse {
  /**
   * The process makes few writes and then ends: the store need not start things, such as a thread, that pay off only
   * for many writes.
   */
  readonly brief?: boolean
}

/** Keeps operations durably. */
export interface Store extends OperationStore, WorkQueue, OperatorStore, Archive {
  /**
   * Prepares the store: connects, migrates, checks. Called once, before all other methods.
   *
   * @param use what is known about its use; a store may ignore it
   */
  open(use?: StoreUse): Promise<void>

  /**
   * Proves that a write would be durable now, by a small write that changes no operation: rejects if the disk is full
   * or the database does not accept writes. Callers call it rarely. Without this method, only reads show whether the
   * store works.
   */
  check?(): Promise<void>

  /** Finishes the writes under way and frees everything. */
  close(): Promise<void>
}
