/**
 * The contract of a runner: where a worker's handlers run. `runners/` holds the implementations:
 * on the worker's own event loop, or in child processes.
 */

import type { AttemptError, Outcome } from '../../model/operation.ts'
import type { Host, StopReason, Task } from '../attempt.ts'

/** What a runner is given for one attempt. */
export interface RunContext {
  readonly host: Host
  /** Aborted when the attempt should stop. */
  readonly signal: AbortSignal
  /** How long after an abort for this reason the attempt may go on before it is ended by force, in milliseconds. */
  readonly graceMs: (reason: StopReason) => number
  /** Told of errors of the handler that clients are not told. */
  readonly onError: (error: unknown) => void
}

/** How a run ended: an outcome of the handler, or what became of the process it ran in. */
export type RunEnd =
  | Outcome
  /** The process ended in mid-run: an exit code, a signal, no more memory. `error`: what nothing in it caught. */
  | { readonly kind: 'crashed'; readonly reason: string; readonly error?: AttemptError }
  /** The attempt was told to stop, did not within the grace time, and was ended or left behind. */
  | { readonly kind: 'ended' }
  /** The handler was never called: its process could not be made ready. */
  | { readonly kind: 'unstarted'; readonly reason: string }
  /** The process ended in mid-run for a cause outside this attempt, such as a timer that an earlier attempt left behind. */
  | { readonly kind: 'lost'; readonly reason: string }

/** Runs attempts. */
export interface Runner {
  /**
   * Makes ready to run.
   *
   * @param onRoom called when there may be {@link room} again that there was not, for a cause other than the end of a run
   * @returns the names of the operation types that it has handlers for
   * @throws when the handlers cannot be loaded
   */
  start(onRoom?: () => void): Promise<readonly string[]>
  /** How many more runs it can take now. Missing: as many as the worker wants. */
  room?(): number
  /** Runs one attempt; never rejects. */
  run(task: Task, context: RunContext): Promise<RunEnd>
  /** Ends what still runs, and frees everything. */
  close(): Promise<void>
}
