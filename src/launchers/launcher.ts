/**
 * The contract of a launcher: it starts one execution for an operation on another engine.
 * `launchers/` holds the implementations.
 *
 * An execution claims its operation by the id it is given. A start may be made twice, late, or
 * without its answer arriving: a surplus execution finds nothing to claim and exits 0.
 */
import { markInstances } from '../util/brand.ts'

/** What an execution gets in its environment. */
export interface LaunchRequest {
  readonly operationId: string
  readonly type: string
  /** How long an attempt may take, in milliseconds; the engine may use it as a bound of its own. */
  readonly timeoutMs: number
  /**
   * How many attempts there have been. With the id, it distinguishes the executions started since the last attempt from
   * earlier ones.
   */
  readonly attempt: number
  /**
   * 1 for the first start since the last attempt. Higher if an earlier start was lost, has not claimed in time, or may
   * never have been made.
   */
  readonly launch: number
}

/**
 * Why a start was refused:
 * - `limit`: a limit that someone has set; nothing is wrong, however long it lasts
 * - `throttled`: too many requests at a time
 * - `quota`: the engine has no room for another execution
 * - `unavailable`: the engine does not answer, or is out of order
 * - `unusable`: someone must change something, such as a role or the job
 */
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

/** Every {@link RefusalReason}. */
export const REFUSAL_REASONS = ['limit', 'throttled', 'quota', 'unavailable', 'unusable'] as const

/**
 * The engine would not start an execution now: nothing was started, or a repetition of the same `launch` is harmless.
 * The operation is tried again later, with the same `attempt` and `launch`.
 *
 * @example
 * throw new LaunchRefused('The quota of the region is used up: request more, or wait.', 60_000, { reason: 'quota' })
 */
export class LaunchRefused extends Error {
  static {
    markInstances(LaunchRefused, 'waybill.LaunchRefused')
  }

  override readonly name = 'LaunchRefused'
  readonly retryAfterMs: number
  readonly reason: RefusalReason

  /**
   * @param message for an operator: what is wrong, and the cure
   * @param retryAfterMs milliseconds after which a start may succeed
   * @param options `reason` is `unavailable` unless it is given
   */
  constructor(message: string, retryAfterMs: number, options: ErrorOptions & { readonly reason?: RefusalReason } = {}) {
    super(message, options)
    this.retryAfterMs = retryAfterMs
    this.reason = options.reason ?? 'unavailable'
  }
}

/** What an engine says of an execution. */
export type ExecutionState =
  /** It is starting or running, or the engine does not say: nothing is to be done. */
  | { readonly kind: 'alive' }
  /** It has ended, or it does not exist. */
  | { readonly kind: 'gone'; readonly reason: string }

/** Starts, stops and inspects executions. */
export interface Launcher {
  /**
   * What it starts executions on, in a word for people, such as `kubernetes`. It is in the record beside each
   * execution's name, and a dispatcher looks after the executions of its own engine alone: launchers that work on one
   * store and do not know each other's executions need names of their own. An execution should be told it as
   * `WAYBILL_ENGINE`, since it may claim before its start is answered.
   */
  readonly engine: string
  /** How many starts it takes at once. Default: the dispatcher's own number. */
  readonly parallelStarts?: number
  /**
   * Prepares: reads and checks what it can. Called once, before all other methods. Nothing waits for it, so an
   * unreachable engine delays no start of the server. An error is logged.
   */
  open?(): Promise<void>
  /**
   * Starts an execution.
   *
   * @returns its name, as the engine gives it; undefined where the engine does not tell it yet
   * @throws {LaunchRefused} when nothing was started; any other error leaves that open
   */
  start(request: LaunchRequest): Promise<string | undefined>
  /** Asks an execution to stop. An execution that is gone is not an error. */
  stop(execution: string): Promise<void>
  /** Reads the state of an execution. */
  inspect(execution: string): Promise<ExecutionState>
  /**
   * Calls the listener when an execution has ended, if the engine can report that, until the returned function is
   * called.
   */
  watchEnds?(listener: () => void): () => void
  /** Ends waits and frees what the launcher holds; executions continue. */
  close?(): Promise<void>
}
