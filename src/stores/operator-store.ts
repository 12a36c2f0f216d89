/** The part of a store that operators use. The rules of every method are at the top of `store.ts`. */
import type { Operation } from '../model/operation.ts'
import type { Status } from '../model/protocol.ts'

/**
 * Selects operations of all owners: those that match every condition that is given. Times are milliseconds since the
 * epoch.
 */
export interface OperatorFilter {
  /** The operation type's name. */
  readonly type?: string | undefined
  readonly owner?: string | undefined
  readonly status?: Status | undefined
  /** The code of the problem with which it ended, such as `card-declined`. */
  readonly problem?: string | undefined
  /** Accepted at this time or later. */
  readonly createdAfter?: number | undefined
  /** Accepted before this time. */
  readonly createdBefore?: number | undefined
  /** The idempotency key. */
  readonly key?: string | undefined
  /** The execution that its launcher started last, by the name that its engine gave it. */
  readonly execution?: string | undefined
  /** The worker process that runs it. */
  readonly holder?: string | undefined
  /** A tag that it has. */
  readonly tag?: { readonly name: string; readonly value: string } | undefined
  /** A part of its id, idempotency key, owner or the value of a tag; letters from A to Z in either case. */
  readonly search?: string | undefined
}

/** Selects operations of all owners, newest first: those that match every condition that is given. */
export interface BrowseQuery extends OperatorFilter {
  /** The types whose input, as JSON, is searched too. */
  readonly searchInputOf?: readonly string[] | undefined
  /** 1 to 10,000. */
  readonly limit: number
  /** Continue after this id. */
  readonly after?: string | undefined
}

/** What {@link OperatorStore.browse} has found. A page may be empty although more operations follow. */
export interface BrowsePage {
  readonly operations: readonly Operation[]
  /** The `after` of the next page; undefined if all operations have been read. */
  readonly next?: string | undefined
  /** How many operations were read. */
  readonly scanned: number
}

/**
 * The most operations that one {@link OperatorStore.browse} reads. It reads them in the order of their ids, without an
 * index of its own: operators browse rarely, and an index would slow every write.
 */
export const BROWSE_LIMIT = 10_000

/** What operators need in addition: searches the operations of all owners. */
export interface OperatorStore {
  /** Searches the operations of all owners, newest first. One call reads at most {@link BROWSE_LIMIT} operations. */
  browse(query: BrowseQuery): Promise<BrowsePage>

  /**
   * Deletes everything of an ended operation but its record at once, as a sweep does when its retention has passed: its
   * payloads, steps, log, errors, tags, and its idempotency key. The record stays as long as after a sweep.
   *
   * @returns false if there is no such operation, it has not ended, or there is nothing left to delete
   */
  purge(id: string): Promise<boolean>
}
