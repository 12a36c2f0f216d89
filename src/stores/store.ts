/**
 * The contract of a store: what keeps operations durably. The folders beside this file hold the implementations, and
 * `waybill/testing` the suite that each of them passes. It has four parts by who uses them, each in a file beside this one:
 * {@link OperationStore}, {@link WorkQueue}, {@link OperatorStore} and {@link Archive}.
 *
 * Rules for every method:
 * - What a promise has confirmed survives a crash of any process, and every reader sees it.
 * - All times are taken from the store's clock, inside the store.
 * - A rejection means that the outcome is unknown: it may have been written. Every write can be
 *   repeated without harm, since ids, versions and attempts decide it.
 * - One failing write never fails another.
 * - A record, or an idempotency key, that another transaction holds delays no other one by more than one round trip.
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

/** What is known of how a process will use a store. */
export interface StoreUse {
  /** Few writes, and then the process ends: what takes long to start and only pays for many is not started. */
  readonly brief?: boolean
}

/** Keeps operations durably. */
export interface Store extends OperationStore, WorkQueue, OperatorStore, Archive {
  /**
   * Prepares the store: connects, migrates, checks. Called once, before all else.
   *
   * @param use what is known of its use; a store may ignore it
   */
  open(use?: StoreUse): Promise<void>

  /**
   * Proves that a write would be durable now, by a small write that changes no operation: rejects where the disk is
   * full or the database takes no writes. Callers keep its frequency low. Without it, reads alone tell whether the
   * store works.
   */
  check?(): Promise<void>

  /** Finishes the writes under way and frees everything. */
  close(): Promise<void>
}
