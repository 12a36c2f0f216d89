/**
 * The contract of a store: what keeps operations durably. The folders beside this file hold the implementations, and
 * `waybill/testing` the suite that each of them passes. It has four parts by who uses them: {@link OperationStore},
 * {@link WorkQueue}, {@link OperatorStore} and {@link Archive}.
 *
 * Rules for every method:
 * - What a promise has confirmed survives a crash of any process, and every reader sees it.
 * - All times are taken from the store's clock, inside the store.
 * - A rejection means that the outcome is unknown: it may have been written. Every write can be
 *   repeated without harm, since ids, versions and attempts decide it.
 * - One failing write never fails another.
 * - A record, or an idempotency key, that another transaction holds delays no other one by more than one round trip.
 */
import type { AttemptError, Change, ClaimBy, Operation } from '../model/operation.ts'
import { isFinal, type Status } from '../model/protocol.ts'
import type { Submission, SubmissionLimits } from '../model/submission.ts'

/** The answer to a submission. */
export type Acceptance =
  | { readonly kind: 'accepted'; readonly operation: Operation }
  /** The idempotency key is known: this is the operation it made, also where the fingerprint differs. */
  | { readonly kind: 'known'; readonly operation: Operation }
  /** Nothing was written: its key is not known, and one more operation would exceed this limit. */
  | { readonly kind: 'refused'; readonly limit: keyof SubmissionLimits }

/**
 * Returns the operation of an acceptance, of a submission that has no limits or kept them.
 *
 * @throws {Error} when it was refused
 *
 * @example
 * const { id } = acceptedOperation(await store.accept(submission))
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

/** A claimed operation with its input as JSON. */
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
  /** Another transaction holds the record. Nothing was written: the lease still ends at its old time, and can be renewed until then. */
  | { readonly kind: 'busy' }

/** What an attempt writes beside its operation. */
export type Note =
  | { readonly kind: 'step'; readonly name: string /** JSON. */; readonly value: string }
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

/**
 * Which operations to list: newest first, by their ids or by their acceptance. These differ only where several processes
 * make ids at about the same time.
 */
export interface ListQuery {
  readonly type: string
  readonly owner: string
  readonly status?: Status | undefined
  /** 1 to 1,000. */
  readonly limit: number
  /** List what comes after this id. */
  readonly after?: string | undefined
}

/** The states by which children of an operation are listed. `unfinished`: pending or running. */
export const CHILD_STATES = ['unfinished', 'completed', 'failed', 'canceled'] as const
export type ChildState = (typeof CHILD_STATES)[number]

/** Which children of an operation to list: one state, in the order of their ids. */
export interface ChildrenQuery {
  readonly parent: string
  /** `unfinished`: those that are pending or running, as they are at one moment. */
  readonly state: ChildState
  /** 1 to 1,000. */
  readonly limit: number
  /** List what comes after this id. */
  readonly after?: string | undefined
}

/** How many children of an operation are kept. */
export interface ChildCounts {
  readonly unfinished: number
  readonly completed: number
  readonly failed: number
  readonly canceled: number
}

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

/** Everything that a store keeps of one operation. */
export interface Dump {
  readonly operation: Operation
  /** JSON; null where there is none, or it is purged. */
  readonly input: string | null
  readonly output: string | null
  /** Names and their JSON, in any order. */
  readonly steps: readonly (readonly [name: string, value: string])[]
  readonly logs: readonly LogLine[]
  /** What attempts threw, in the order of the attempts. */
  readonly errors: readonly RecordedError[]
  /** When its payloads, or its record, are to be deleted, in milliseconds since the epoch. */
  readonly purgeAt: number | null
  /**
   * The parts that the store should have and does not find, such as a blob that another program deleted; undefined
   * where the dump is complete. {@link Archive.restore} ignores it.
   */
  readonly missing?: readonly DumpPart[]
}

/** What is kept beside an operation's record. */
export type DumpPart = 'input' | 'output' | 'steps' | 'logs' | 'errors'

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

/**
 * What may have changed. Hints may come early, late, twice or never: a listener that ignores them all is only slower.
 * A hint says as much as the store knows, so that a listener reads only the records that concern it.
 */
export type Hint =
  /** Operations of this type may be ready. */
  | { readonly kind: 'ready'; readonly type: string }
  /** This operation has changed in a way that no other kind names: it was claimed, has progressed, has a new log line. */
  | { readonly kind: 'changed'; readonly id: string }
  /** This operation is running, or has an execution, and is to be canceled. */
  | { readonly kind: 'cancel'; readonly id: string }
  /** This operation has ended. */
  | { readonly kind: 'ended'; readonly id: string }
  /** Something was written, for example by another process or by a sweep; the store does not know what. */
  | { readonly kind: 'unknown' }

/**
 * The hints about an operation that the store has changed, except that it may be ready.
 *
 * @example
 * for (const hint of changeHints(operation)) console.log(hint.kind)
 */
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

/** An operation, and its output as JSON where it has one. */
export interface WithOutput {
  readonly operation: Operation
  readonly output?: string
}

/** What the service needs: accepts operations, reads and changes them, and reports what happens to them. */
export interface OperationStore {
  /**
   * Makes a submission durable. Of equal idempotency keys of one owner and type, one is accepted.
   *
   * The store checks the limits of a submission where it writes it. A known key, or a known id, is answered before any
   * limit is checked, and takes no place of another submission. Submissions through one store never exceed a limit; the
   * documentation of a store says how exact the limit is when several processes submit at once. Without limits nothing
   * is counted.
   */
  accept(submission: Submission): Promise<Acceptance>

  /**
   * Does the same within a transaction that the caller has begun on a client of the store's own kind: the operation
   * exists once that is committed, and only then. Uses that client alone. Does not count what other transactions have
   * not committed toward the limits. A store that cannot join a transaction leaves this method out.
   */
  acceptWithin?(submission: Submission, transaction: unknown): Promise<Acceptance>

  /** Reads an operation; undefined where there is none. */
  read(id: string): Promise<Operation | undefined>

  /** Finds the operation that an idempotency key has made; undefined where there is none. */
  findByKey(type: string, owner: string, key: string): Promise<Operation | undefined>

  /** Reads the input or the output as JSON; undefined where there is none. */
  readPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined>

  /**
   * Reads an operation and its output at once; undefined where there is no such operation. A store that gains nothing
   * by it leaves this method out.
   */
  readWithOutput?(id: string): Promise<WithOutput | undefined>

  /** Applies a change. Undefined where there is no such operation, or it refused the change. */
  change(id: string, change: Change): Promise<Operation | undefined>

  /** Appends a step or a log line, in order. False where the attempt no longer owns the operation. */
  appendNote(lease: Lease, note: Note): Promise<boolean>

  /** Reads the recorded steps: from name to JSON. */
  steps(id: string): Promise<ReadonlyMap<string, string>>

  /** Reads log lines after a sequence number, at most 1,000. */
  logs(id: string, after: number): Promise<readonly LogLine[]>

  /**
   * Reads what attempts threw, in the order of the attempts: the `error` of each outcome that was recorded with one. It
   * is deleted with the payloads. For operators: no answer to a client may hold it, and no other method reads it.
   */
  errors(id: string): Promise<readonly RecordedError[]>

  /** Lists operations of one type and owner, newest first. */
  list(query: ListQuery): Promise<readonly Operation[]>

  /** Lists the ids of the operations that the handler of another one has submitted. */
  listChildren(query: ChildrenQuery): Promise<readonly string[]>

  /** Counts the operations that the handler of this one has submitted. */
  countChildren(parent: string): Promise<ChildCounts>

  /** Calls the listener with each hint until the returned function is called. */
  watch(listener: (hint: Hint) => void): () => void
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
}

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

/** What copies need: reads and writes operations whole. */
export interface Archive {
  /**
   * Reads everything that is kept of operations, in the order of their ids, tombstones included: at most `limit` (1 to
   * 1,000) of them after an id. An empty page is the end. Each dump shows its operation at one moment.
   */
  dump(after: string | undefined, limit: number): Promise<readonly Dump[]>

  /**
   * Writes operations as they were dumped, over what is kept under their ids. Their times stay as they are.
   * Rejects where an idempotency key belongs to another operation here.
   */
  restore(dumps: readonly Dump[]): Promise<void>
}

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
