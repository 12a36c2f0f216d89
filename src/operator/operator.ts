/** What an operator sees and does, over the operations of all owners. */
import type { Duration } from '../model/duration.ts'
import type { EventRequest } from '../service/events.ts'
import type { RetryOptions } from '../service/retries.ts'
import type { ChildState, LogLine, OperatorFilter } from '../stores/store.ts'
import type { Delivery } from '../webhooks/history.ts'
import type {
  Actor,
  AuditEntry,
  BulkAction,
  BulkPreview,
  BulkRun,
  BulkTarget,
  ChildrenPage,
  OperationDetail,
  OperationView,
  OperatorPage,
  ResultsPage,
  Statistics,
} from './views.ts'

/**
 * Looks at the operations of all owners, and acts on them. It does not check permissions: the calling code decides who
 * may use it. Times are milliseconds since the epoch, by the store's clock.
 *
 * Every method rejects with a {@link ProblemError}: `not-found` for an unknown id, `unavailable` while the store does
 * not answer, and the errors that it lists itself.
 */
export interface Operator {
  /**
   * Lists the operations that fit a filter, newest first. One call reads at most 10,000 operations (1,000 in Cosmos
   * DB), even if few of them match: `next` is where to continue.
   *
   * @param page `limit` is 1 to 500, default 50; `after` is the `next` of the page before
   */
  browse(filter: OperatorFilter, page?: PageRequest): Promise<OperatorPage>

  /** Reads one operation with all its details except payloads and log; undefined if there is none. */
  get(id: string): Promise<OperationDetail | undefined>

  /**
   * Lists the operations that the handler of this one has submitted, in the order of their ids.
   *
   * @param state `unfinished`: those that are pending or running
   * @param page `limit` is 1 to 500, default 50; `after` is the `next` of the page before
   */
  children(id: string, state: ChildState, page?: PageRequest): Promise<ChildrenPage>

  /**
   * Lists the items of a batch with their results, in the order of its input.
   *
   * @param page `limit` is 1 to 500, default 50; `after` is the `next` of the page before
   * @throws {ProblemError} `not-found` also if it is not a batch
   */
  results(id: string, page?: PageRequest): Promise<ResultsPage>

  /** Reads the input as JSON; undefined if it was deleted. */
  input(id: string): Promise<string | undefined>

  /** Reads the output as JSON; undefined if there is none, or it is not JSON. */
  output(id: string): Promise<string | undefined>

  /**
   * Reads what handlers have logged, at most 1,000 lines.
   *
   * @param after the sequence number after which to begin; default 0
   */
  log(id: string, after?: number): Promise<readonly LogLine[]>

  /**
   * Cancels an operation, as its owner does: a pending one at once; a running one by asking its handler to stop.
   *
   * @returns the operation as it is then
   * @throws {ProblemError} `operation-finished` when it has completed or failed, `operation-expired`
   */
  cancel(id: string, actor: Actor): Promise<OperationView>

  /**
   * Runs an operation again that failed or was canceled: as a new operation with the same input, owner and webhook, and
   * its recorded steps. The limits of the type do not apply to it. An operation has one retry: a second call returns
   * the same one. A retry that failed is retried by its own id.
   *
   * @param options with `fresh`, recorded steps are not kept, so they run again; default false
   * @returns the new operation
   * @throws {ProblemError} `operation-unfinished`, `not-retryable`, `operation-expired`
   */
  retry(id: string, actor: Actor, options?: RetryOptions): Promise<OperationView>

  /**
   * Deletes the payloads, steps, log, blobs and tags of an operation that has ended, at once. From then on its owner
   * gets 410, until the record is deleted too.
   *
   * @throws {ProblemError} `operation-unfinished`, `operation-expired`
   */
  delete(id: string, actor: Actor): Promise<void>

  /**
   * Sends an event, or the answer to a question, to an operation whose handler waits for it or will wait for it, as its
   * owner does. The audit records the name of the event, but not its value.
   *
   * @throws {ProblemError} `invalid-event` with the errors, `event-refused` if another one was first or its time is
   * over, `operation-finished`, `operation-expired`
   */
  sendEvent(id: string, event: EventRequest, actor: Actor): Promise<OperationView>

  /**
   * Sends the webhook of an operation once more, at once. A process without webhooks leaves the sending to one that has
   * them.
   *
   * @param id the id of the operation, or of any of its deliveries
   * @returns the new delivery
   * @throws {ProblemError} `no-webhook`, `not-finished`, `too-many-requests` after 20 times
   */
  replay(id: string, actor: Actor): Promise<Delivery>

  /**
   * Pauses an operation type, durably: workers claim none of its operations, and no execution is started for one, until
   * it is resumed. Running operations continue, and requests are accepted. Other processes notice the pause at once if
   * hints reach them, and otherwise within 5 s. Pausing a paused type changes nothing.
   *
   * @throws {ProblemError} `not-found` for an unknown type
   */
  pause(type: string, actor: Actor): Promise<void>

  /** Ends the pause of an operation type. */
  resume(type: string, actor: Actor): Promise<void>

  /** The names of the paused types, as far as this process knows. */
  paused(): ReadonlySet<string>

  /**
   * Counts recent operations, and shows the current state. It reads at most the newest 5,000 operations (1,000 in
   * Cosmos DB): `complete` says whether those are all of the window.
   *
   * @param options `window` is how far back to look, up to 10 years; default 1 h
   */
  statistics(options?: { readonly window?: Duration | undefined }): Promise<Statistics>

  /**
   * Counts the operations on which an action would act now, up to 10,000, and shows the newest 10.
   *
   * @param target a filter, or `{ ids }` of up to 1,000 operations
   */
  preview(action: BulkAction, target: BulkTarget): Promise<BulkPreview>

  /**
   * Acts on many operations: on all that match a filter and were accepted before now, or on those of a selection. The
   * run is itself an operation. Any process of the composition that declares the needed types (for a retry, those of
   * the operations) does it in the background, and another process continues it if that one dies.
   *
   * @param target a filter, or `{ ids }` of up to 1,000 operations
   */
  bulk(action: BulkAction, target: BulkTarget, actor: Actor): Promise<BulkRun>

  /** Lists the last 50 bulk runs, newest first. They are kept for 90 days. */
  bulkRuns(): Promise<readonly BulkRun[]>

  /** Reads a bulk run; undefined if there is none. */
  bulkRun(id: string): Promise<BulkRun | undefined>

  /**
   * Stops a bulk run. What it has done stays done.
   *
   * @throws {ProblemError} `operation-finished` when it has ended
   */
  cancelBulk(id: string, actor: Actor): Promise<BulkRun>

  /** Lists the acts of operators, newest first. They are kept for 90 days. */
  audit(page?: PageRequest): Promise<{ readonly items: readonly AuditEntry[]; readonly next?: string }>
}

/** Which page of a list. */
export interface PageRequest {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}
