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
 * Looks at the operations of all owners, and acts on them. It asks nobody for permission: who may call it is decided
 * by what calls it. Times are milliseconds since the epoch, by the store's clock.
 *
 * Every method rejects with a {@link ProblemError}: `not-found` for an id that is not known, `unavailable` while the
 * store does not answer, and what it says beside.
 */
export interface Operator {
  /**
   * Lists the operations that fit a filter, newest first. One call looks at no more than 10,000 operations (1,000 in
   * Cosmos DB), also where few of them fit: `next` says where to go on.
   *
   * @param page `limit` is 1 to 500, default 50; `after` is the `next` of the page before
   */
  browse(filter: OperatorFilter, page?: PageRequest): Promise<OperatorPage>

  /** Reads one operation with everything around it but its payloads and its log; undefined where there is none. */
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
   * @throws {ProblemError} `not-found` also for what is not a batch
   */
  results(id: string, page?: PageRequest): Promise<ResultsPage>

  /** Reads the input as JSON; undefined where there is none any more. */
  input(id: string): Promise<string | undefined>

  /** Reads the output as JSON; undefined where there is none, or it is not JSON. */
  output(id: string): Promise<string | undefined>

  /**
   * Reads what handlers have logged, at most 1,000 lines.
   *
   * @param after the sequence number after which to begin; default 0
   */
  log(id: string, after?: number): Promise<readonly LogLine[]>

  /**
   * Cancels an operation, as its owner does: a pending one at once; of a running one the handler is asked to stop.
   *
   * @returns the operation as it is then
   * @throws {ProblemError} `operation-finished` when it has completed or failed, `operation-expired`
   */
  cancel(id: string, actor: Actor): Promise<OperationView>

  /**
   * Runs an operation again that failed or was canceled: as a new operation with the same input, owner and webhook, and
   * its recorded steps. Limits of the type do not hold for it. An operation has one retry: a second call gives the first
   * one's, and a retry that failed is retried by its own id.
   *
   * @param options `fresh` leaves the recorded steps behind, so that they run again; default false
   * @returns the new operation
   * @throws {ProblemError} `operation-unfinished`, `not-retryable`, `operation-expired`
   */
  retry(id: string, actor: Actor, options?: RetryOptions): Promise<OperationView>

  /**
   * Deletes the payloads, steps, log, blobs and tags of an operation that has ended, at once. Its owner is answered with
   * 410 from then on, until the record goes too.
   *
   * @throws {ProblemError} `operation-unfinished`, `operation-expired`
   */
  delete(id: string, actor: Actor): Promise<void>

  /**
   * Sends an event to an operation whose handler waits for it, or will, as its owner does: also the answer to a question.
   * The audit names the event, and does not keep its value.
   *
   * @throws {ProblemError} `invalid-event` with the errors, `event-refused` where another one was first or its time is
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
   * it is resumed. What runs goes on, and requests are accepted. Other processes know of it at once where hints reach
   * them, and else within 5 s. Pausing a paused type changes nothing.
   *
   * @throws {ProblemError} `not-found` for a type that is not known here
   */
  pause(type: string, actor: Actor): Promise<void>

  /** Ends the pause of an operation type. */
  resume(type: string, actor: Actor): Promise<void>

  /** The names of the types that are paused, as far as this process knows. */
  paused(): ReadonlySet<string>

  /**
   * Counts what happened lately, and shows how things are now. It looks at the newest 5,000 operations at most (1,000 in
   * Cosmos DB): `complete` says whether those are all of the window.
   *
   * @param options `window` is how far back to look, up to 10 years; default 1 h
   */
  statistics(options?: { readonly window?: Duration | undefined }): Promise<Statistics>

  /**
   * Counts what an action would be done to now, to at most 10,000, and shows the newest 10.
   *
   * @param target a filter, or `{ ids }` of up to 1,000 operations
   */
  preview(action: BulkAction, target: BulkTarget): Promise<BulkPreview>

  /**
   * Does an action to many operations: to all that fit a filter and were accepted before now, or to those of a selection.
   * It is itself an operation, done in the background by any process of the composition that declares the types it needs
   * (those of what is retried), and goes on in another one where its process has died.
   *
   * @param target a filter, or `{ ids }` of up to 1,000 operations
   */
  bulk(action: BulkAction, target: BulkTarget, actor: Actor): Promise<BulkRun>

  /** Lists the last 50 bulk runs, newest first. They are kept for 90 days. */
  bulkRuns(): Promise<readonly BulkRun[]>

  /** Reads a bulk run; undefined where there is none. */
  bulkRun(id: string): Promise<BulkRun | undefined>

  /**
   * Stops a bulk run. What it has done stays done.
   *
   * @throws {ProblemError} `operation-finished` when it has ended
   */
  cancelBulk(id: string, actor: Actor): Promise<BulkRun>

  /** Lists what operators did, newest first. It is kept for 90 days. */
  audit(page?: PageRequest): Promise<{ readonly items: readonly AuditEntry[]; readonly next?: string }>
}

/** Which page of a list. */
export interface PageRequest {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}
