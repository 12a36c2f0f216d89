/** The part of a store that operators use. The rules of every method are at the top of `store.ts`. */
import type { Operation } from '../model/operation.ts'
import type { Status } from '../model/protocol.ts'

/** Which operations of all owners: those that fit everything that is given. Times are milliseconds since the epoch. */
export interface OperatorFilter {
  /** The operation type's name. */
  readonly type?: string | undefined
  readonly owner?: string | undefined
  readonly status?: Status | undefined
  /** The code of the problem that it ended with, such as `card-declined`. */
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

/** Which operations of all owners an operator looks for, newest first: those that fit everything that is given. */
export interface BrowseQuery extends OperatorFilter {
  /** The types whose input, as JSON, is searched too. */
  readonly searchInputOf?: readonly string[] | undefined
  /** 1 to 10,000. */
  readonly limit: number
  /** Look at what comes after this id. */
  readonly after?: string | undefined
}

/** What {@link OperatorStore.browse} has found: possibly nothing, though there is more. */
export interface BrowsePage {
  readonly operations: readonly Operation[]
  /** The `after` of the next page; undefined where everything has been looked at. */
  readonly next?: string | undefined
  /** How many operations were looked at. */
  readonly scanned: number
}

/**
 * How many operations one {@link OperatorStore.browse} looks at, at most. An operator browses now and then: that reads
 * operations in the order of their ids, since an index for it would slow every write.
 */
export const BROWSE_LIMIT = 10_000

/** What operators need beside the rest: looks through the operations of all owners. */
export interface OperatorStore {
  /**
   * Looks through the operations of all owners, newest first. One call looks at a bounded number of operations, at most
   * {@link BROWSE_LIMIT}.
   */
  browse(query: BrowseQuery): Promise<BrowsePage>

  /**
   * Deletes everything of an ended operation but its record at once, as a sweep does when its retention has passed: its
   * payloads, steps, log, errors, tags, and its idempotency key. The record stays as long as after a sweep.
   *
   * @returns false where there is no such operation, or it has not ended, or there is nothing more to delete
   */
  purge(id: string): Promise<boolean>
}
