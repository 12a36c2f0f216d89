/** The part of a store that the service uses. The rules of every method are at the top of `store.ts`. */
import type { AttemptError, Change, Operation } from '../model/operation.ts'
import { isFinal, type Status } from '../model/protocol.ts'
import type { Submission, SubmissionLimits } from '../model/submission.ts'

/** The answer to a submission. */
export type Acceptance =
  | { readonly kind: 'accepted'; readonly operation: Operation }
  /** The idempotency key was used before: this is the operation that it created, even if the fingerprint differs. */
  | { readonly kind: 'known'; readonly operation: Operation }
  /** Nothing was written: the key is new, and one more operation would exceed this limit. */
  | { readonly kind: 'refused'; readonly limit: keyof SubmissionLimits }

/**
 * Returns the accepted operation of a submission that has no limits, or is within them.
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

/** The right of one attempt to write. */
export interface Lease {
  readonly id: string
  readonly attempt: number
}

/** What an attempt writes besides the record of its operation. */
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
 * Which operations to list: newest first, either by id or by time of acceptance. The two orders differ only if several
 * processes create ids at about the same time.
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

/**
 * What may have changed. Hints may come early, late, twice or never: a listener that ignores them all is only slower.
 * A hint says as much as the store knows, so that a listener reads only the records that concern it.
 */
export type Hint =
  /** Operations of this type may be ready to be claimed. */
  | { readonly kind: 'ready'; readonly type: string }
  /** This operation has changed in a way that no other kind names: it was claimed, has progressed, has a new log line. */
  | { readonly kind: 'changed'; readonly id: string }
  /** A cancel was requested for this operation, which is running or has an execution. */
  | { readonly kind: 'cancel'; readonly id: string }
  /**
   * This operation has ended. `operation` is its record, if the store has it at hand: then those who wait for the end
   * need not read it.
   */
  | { readonly kind: 'ended'; readonly id: string; readonly operation?: Operation | undefined }
  /** Another process has just looked for work of this kind and found nothing. */
  | { readonly kind: 'idle'; readonly look: string }
  /** Something was written, such as by another process or a sweep; the store does not know what. */
  | { readonly kind: 'unknown' }

/**
 * How much a listener needs hints. A store may send fewer where many processes share it.
 *
 * - `soon`: someone waits for what they announce.
 * - `work`: the listener looks for work, which any process that watches for the same `work` can do. So it is enough that
 *   hints come soon to some of them. The others get `unknown` from time to time. The `holder` is the one that claims this
 *   work, if it claims any: after a claim that gave all that it asked for, it needs no hint of more.
 * - `rarely`: the listener looks often enough by itself. It may get no hints at all.
 */
export type HintNeed = 'soon' | 'rarely' | { readonly work: string; readonly holder?: string }

/**
 * The hints about an operation that the store has changed, except the hint `ready`.
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

/** An operation, and its output as JSON if it has one. */
export interface WithOutput {
  readonly operation: Operation
  readonly output?: string
}

/** What the service needs: accepts operations, reads and changes them, and reports what happens to them. */
export interface OperationStore {
  /**
   * Makes a submission durable. Of several submissions with the same idempotency key, owner and type, one is accepted.
   *
   * The store checks the limits of a submission where it writes it. A known key, or a known id, is answered before any
   * limit is checked, and does not count toward a limit. Submissions through one store never exceed a limit; the
   * documentation of a store says how exact the limit is when several processes submit at once. Without limits nothing
   * is counted.
   */
  accept(submission: Submission): Promise<Acceptance>

  /**
   * Accepts within a transaction that the caller has begun on a client for the same kind of database: the operation
   * exists once the transaction is committed, and only then. Uses only that client. Operations that other transactions
   * have not committed do not count toward the limits. A store that cannot join a transaction leaves this method out.
   */
  acceptWithin?(submission: Submission, transaction: unknown): Promise<Acceptance>

  /**
   * Reads an operation; undefined where there is none.
   *
   * @param known a record of it that was read before. If nothing but its lease has changed since, a store may return
   * `known` itself, so that it need not read the whole record
   */
  read(id: string, known?: Operation): Promise<Operation | undefined>

  /** Finds the operation that an idempotency key has created; undefined if there is none. */
  findByKey(type: string, owner: string, key: string): Promise<Operation | undefined>

  /** Reads the input or the output as JSON; undefined where there is none. */
  readPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined>

  /**
   * Reads an operation and its output at once; undefined where there is no such operation. A store that gains nothing
   * by it leaves this method out.
   */
  readWithOutput?(id: string): Promise<WithOutput | undefined>

  /** Applies a change. Undefined if there is no such operation, or the state machine refuses the change. */
  change(id: string, change: Change): Promise<Operation | undefined>

  /** Appends a step or a log line, in order. False where the attempt no longer owns the operation. */
  appendNote(lease: Lease, note: Note): Promise<boolean>

  /** Reads the recorded steps: from the name to the outcome as JSON. */
  steps(id: string): Promise<ReadonlyMap<string, string>>

  /** Reads log lines after a sequence number, at most 1,000. */
  logs(id: string, after: number): Promise<readonly LogLine[]>

  /**
   * Reads what attempts threw, in the order of the attempts: the `error` of each outcome that was recorded with one. It
   * is deleted with the payloads. Only for operators: no answer to a client may contain it, and no other method reads
   * it.
   */
  errors(id: string): Promise<readonly RecordedError[]>

  /** Lists operations of one type and owner, newest first. */
  list(query: ListQuery): Promise<readonly Operation[]>

  /** Lists the ids of the operations that the handler of another one has submitted. */
  listChildren(query: ChildrenQuery): Promise<readonly string[]>

  /** Counts the operations that the handler of this one has submitted. */
  countChildren(parent: string): Promise<ChildCounts>

  /**
   * Calls the listener with each hint until the returned function is called.
   *
   * @param need how much the listener needs hints; default `soon`
   */
  watch(listener: (hint: Hint) => void, need?: HintNeed): () => void
}
