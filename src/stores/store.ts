/**
 * The contract of a store: what keeps operations durably. `stores/` holds the implementations,
 * and `testing.ts` the suite that each of them passes.
 *
 * Rules for every method:
 * - What a promise has confirmed survives a crash of any process, and is seen by every reader.
 * - All times are taken from the store's clock, inside the store.
 * - A rejection means that the outcome is unknown: it may have been written. Every write can be
 *   repeated without harm, since ids, versions and attempts decide it.
 * - One failing write never fails another.
 * - A record, or an idempotency key, that someone else holds delays no other by more than one round trip.
 */
import type { AttemptError, Change, ClaimBy, Operation, Submission, SubmissionLimits } from '../model/operation.ts'
import { isFinal, type Status } from '../model/protocol.ts'

/** The answer to a submission. */
export type Acceptance =
  | { readonly kind: 'accepted'; readonly operation: Operation }
  /** The idempotency key is known: the operation it made, whatever its fingerprint is. */
  | { readonly kind: 'known'; readonly operation: Operation }
  /** Nothing was written: its key is not known, and one more operation would exceed this limit. */
  | { readonly kind: 'refused'; readonly limit: keyof SubmissionLimits }

/**
 * The operation of a submission that has no limits, or kept them.
 *
 * @throws {Error} when it was refused
 */
export function acceptedOperation(acceptance: Acceptance): Operation {
  if (acceptance.kind !== 'refused') return acceptance.operation
  throw new Error(`The submission exceeds a limit: ${acceptance.limit}.`)
}

/** Which pending operations to claim: the ready ones of some types, or a single one by its id. */
export interface ClaimRequest extends ClaimBy {
  readonly from:
    | { readonly types: readonly { readonly type: string; readonly limit: number }[]; readonly limit: number }
    | { readonly id: string }
}

/** A claimed operation with its input as JSON text. */
export interface Claim {
  readonly operation: Operation
  readonly input: string
}

/** The right of one attempt to write. */
export interface Lease {
  readonly id: string
  readonly attempt: number
}

/** The answer to a renewal. */
export type Renewal =
  | { readonly kind: 'held'; readonly cancelRequested: boolean }
  /** The attempt no longer owns the operation. */
  | { readonly kind: 'lost' }
  /** Another transaction holds the record. Nothing was written: the lease ends when it would have, and can be renewed until then. */
  | { readonly kind: 'busy' }

/** Something kept beside the operation by one of its attempts. */
export type Note =
  | { readonly kind: 'step'; readonly name: string /** JSON text. */; readonly value: string }
  | { readonly kind: 'log'; readonly level: string; readonly message: string }

/** A line of an operation's log. `sequence` grows without gaps from 1. */
export interface LogLine {
  readonly sequence: number
  readonly at: number
  readonly attempt: number
  readonly level: string
  readonly message: string
}

/** What a handler threw in an attempt. */
export interface RecordedError {
  readonly attempt: number
  readonly error: AttemptError
}

/** How many log lines an operation keeps; further ones are dropped. */
export const LOG_LIMIT = 1000

/** Which operations to list: newest first. */
export interface ListQuery {
  readonly type: string
  readonly owner: string
  readonly status?: Status
  /** 1 to 1,000. */
  readonly limit: number
  /** List what comes after this id. */
  readonly after?: string
}

/** Which operations an operator looks for: whoever owns them, newest first. */
export interface BrowseQuery {
  readonly type?: string
  readonly owner?: string
  readonly status?: Status
  /** 1 to 1,000. */
  readonly limit: number
  /** Look at what comes after this id. */
  readonly after?: string
}

/** What {@link Store.browse} has found, which may be nothing though there is more. */
export interface BrowsePage {
  readonly operations: readonly Operation[]
  /** Where to go on, as `after`; undefined where everything has been looked at. */
  readonly next?: string
}

/**
 * How many operations one {@link Store.browse} looks at, at most: what an operator asks now and then is found
 * by reading so many in the order of their ids, and not by indexes that each write would have to keep.
 */
export const BROWSE_LIMIT = 10_000

/** Everything that a store keeps of one operation. */
export interface Dump {
  readonly operation: Operation
  /** JSON text; null where there is none, or it is purged. */
  readonly input: string | null
  readonly output: string | null
  /** Names and JSON texts, in any order. */
  readonly steps: readonly (readonly [name: string, value: string])[]
  readonly logs: readonly LogLine[]
  /** What attempts threw, in the order of the attempts. */
  readonly errors: readonly RecordedError[]
  /** When its payloads, or its record, are to go, in milliseconds since the epoch. */
  readonly purgeAt: number | null
  /**
   * Where the store should have some of it and does not find it, as when a blob was deleted behind its back; undefined
   * where it is whole. {@link Store.restore} takes no notice.
   */
  readonly missing?: readonly DumpPart[]
}

/** What is kept beside an operation's record. */
export type DumpPart = 'input' | 'output' | 'steps' | 'logs' | 'errors'

/** What estimates are made of. */
export interface QueueStats {
  /** Ready operations in the order of their claim, at most {@link QUEUE_READY_LIMIT}. */
  readonly ready: readonly string[]
  /** How many are ready, counted to at most {@link QUEUE_COUNT_LIMIT}. */
  readonly depth: number
  /** How many run, counted to at most {@link QUEUE_COUNT_LIMIT}. */
  readonly running: number
  /** When the oldest of `ready` was accepted, in milliseconds since the epoch. */
  readonly oldestAt: number | null
  /** How long the last completed attempts ran, in milliseconds, newest first, at most 100. */
  readonly durations: readonly number[]
}

export const QUEUE_READY_LIMIT = 1000
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
  /** What the execution was started on; null also where an older version has recorded it. */
  readonly engine: string | null
  readonly cancelRequested: boolean
}

/** Which active operations to list, in the order of their ids. */
export interface ActiveQuery {
  /** Only those of this holder. */
  readonly holder?: string
  /** List what comes after this id. */
  readonly after?: string
  /** 1 to 1,000. */
  readonly limit: number
}

/** What a sweep did. */
export interface SweepResult {
  /** Operations whose lease or start deadline had run out. */
  readonly expired: number
  /** The ids of operations whose payloads, or whose record, were deleted, in any order. */
  readonly purged: readonly string[]
}

/**
 * What may have changed. Hints may come early, late, doubled or never; a listener that ignores them all is only slower.
 * A hint says as much as the store knows, so that a listener reads only records that concern it.
 */
export type Hint =
  /** Operations of this type may be ready. */
  | { readonly kind: 'ready'; readonly type: string }
  /** This operation has changed, and none of the other kinds says it: it was claimed, has progressed, has a new log line. */
  | { readonly kind: 'changed'; readonly id: string }
  /** This operation runs, or has an execution, and is to be canceled. */
  | { readonly kind: 'cancel'; readonly id: string }
  /** This operation has ended. */
  | { readonly kind: 'ended'; readonly id: string }
  /** Something was written, for example by another process or by a sweep; the store does not know what. */
  | { readonly kind: 'unknown' }

/** What a store hints of an operation that it has changed, beside that it may be ready. */
export function changeHints({
  id,
  status,
  cancelRequested,
  launches,
  execution,
}: Pick<Operation, 'id' | 'status' | 'cancelRequested' | 'launches' | 'execution'>): Hint[] {
  const hints: Hint[] = []
  const isLaunched = launches > 0 && execution !== null
  if (cancelRequested && (status === 'running' || isLaunched)) hints.push({ kind: 'cancel', id })
  if (isFinal(status)) hints.push({ kind: 'ended', id })
  return hints.length > 0 ? hints : [{ kind: 'changed', id }]
}

/** Keeps operations durably. */
export interface Store {
  /** Prepares the store: connects, migrates, checks. Called once, before all else. */
  open(): Promise<void>

  /**
   * Proves that a write would be made durable now, by a small one that changes no operation: rejects where the disk is
   * full or the database takes no writes. Callers keep its frequency low. Without it, reads alone tell how the store is.
   */
  check?(): Promise<void>

  /**
   * Makes a submission durable. Of equal idempotency keys of one owner and type, one is accepted.
   *
   * The store checks the limits of a submission where it writes it. A known key, or a known id, comes before every
   * limit, and takes no place of another submission. Submissions through one store never exceed a limit; the
   * documentation of a store says how exact it is when several processes submit at once. Without limits nothing is
   * counted.
   */
  accept(submission: Submission): Promise<Acceptance>

  /**
   * The same within a transaction that the caller has begun on a client of the store's own kind: it counts once
   * that is committed, and only if it is. A store without it can join no transaction. It uses that client alone. What
   * other transactions have not committed yet is not counted toward the limits.
   */
  acceptWithin?(submission: Submission, transaction: unknown): Promise<Acceptance>

  /** The operation, or undefined. */
  read(id: string): Promise<Operation | undefined>

  /** The operation that an idempotency key has made, or undefined. */
  findByKey(type: string, owner: string, key: string): Promise<Operation | undefined>

  /** The input or the output as JSON text, or undefined where there is none. */
  readPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined>

  /**
   * Begins the next attempt of ready operations: type by type in the order of the request, and within a type
   * by priority, then in the order of their ids. A `runAt` that has passed is as good as none.
   */
  claim(request: ClaimRequest): Promise<Claim[]>

  /**
   * Extends leases, all in one statement; the answers stand in the order of the leases. A lease that has run out is
   * still held as long as no sweep has ended it. A record that another transaction holds does not delay the others.
   */
  renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]>

  /** Applies a change. Undefined where there is no such operation, or it refused the change. */
  change(id: string, change: Change): Promise<Operation | undefined>

  /** Keeps a step or a log line, in order. False where the attempt no longer owns the operation. */
  appendNote(lease: Lease, note: Note): Promise<boolean>

  /** Recorded steps: name to JSON text. */
  steps(id: string): Promise<ReadonlyMap<string, string>>

  /** Log lines after a sequence number, at most 1,000. */
  logs(id: string, after: number): Promise<readonly LogLine[]>

  /**
   * What attempts threw, in the order of the attempts: the `error` of each outcome that was recorded with one. It goes
   * with the payloads. For those who operate the service: no answer to a client may hold it, and no other method reads it.
   */
  errors(id: string): Promise<readonly RecordedError[]>

  list(query: ListQuery): Promise<readonly Operation[]>

  queueStats(type: string): Promise<QueueStats>

  /** Takes ready operations to start executions for; each is held back for `holdMs`, so that no other dispatcher starts one too. */
  reserveForLaunch(request: ReserveRequest): Promise<readonly Operation[]>

  /** Unfinished operations that a process or an execution has; fewer than `limit` where no more follow. */
  listActive(query: ActiveQuery): Promise<readonly ActiveOperation[]>

  /** Who holds operations that run, each once, in any order. */
  holders(): Promise<readonly string[]>

  /** Ended operations whose webhook delivery is due, at most `limit`. */
  webhooksDue(limit: number): Promise<readonly Operation[]>

  /** Ends what has run out and deletes what has passed its retention, at most `limit` operations of each. */
  sweep(limit: number): Promise<SweepResult>

  /** Looks through the operations of all owners, for whoever operates the service. */
  browse(query: BrowseQuery): Promise<BrowsePage>

  /**
   * All that is kept of operations, in the order of their ids, tombstones included: at most `limit` (1 to 1,000) of
   * them after an id. None: there are no more. Each is as it was at one moment.
   */
  dump(after: string | undefined, limit: number): Promise<readonly Dump[]>

  /**
   * Writes operations as they were dumped, over what is kept under their ids. The times in them stand as they are.
   * Rejects where an idempotency key belongs to another operation here.
   */
  restore(dumps: readonly Dump[]): Promise<void>

  /** Calls the listener with each hint until the returned function is called. */
  watch(listener: (hint: Hint) => void): () => void

  /** Finishes the writes under way and frees everything. */
  close(): Promise<void>
}
