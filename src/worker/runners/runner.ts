/**
 * The contract of a runner: where a worker's handlers run. Its neighbours are the implementations: on the worker's own
 * event loop, or in child processes.
 */

import type { LogLevel } from '../../model/handler.ts'
import type { Media } from '../../model/media.ts'
import type { AttemptError, Outcome } from '../../model/operation.ts'
import type { FinalStatus, Problem, Progress } from '../../model/protocol.ts'
import type { Submission } from '../../model/submission.ts'
import type { Waits } from '../../model/waits.ts'
import { markInstances } from '../../util/brand.ts'

/** One attempt to run. */
export interface Task {
  readonly id: string
  readonly type: string
  readonly owner: string
  readonly attempt: number
  /** How many attempts have failed before, for the backoff. */
  readonly failedBefore: number
  /** When it was claimed, by the store's clock, in milliseconds since the epoch. */
  readonly claimedAt: number
  /** When its operation must have ended, by the same clock; null for never. */
  readonly deadline: number | null
  /** What the handler waited for last, and which events have arrived. */
  readonly waits: Waits | null
  /** Whether the operation is a retry, which has the recorded steps of another operation. */
  readonly isRetry: boolean
  /** The URL under which clients reach the API; null if it is not set. */
  readonly publicUrl: string | null
  /** A JSON string. */
  readonly input: string
  readonly traceparent: string | null
}

/** A child to submit. */
export interface ChildSubmission extends Submission {
  /** Why it fails at once. */
  readonly refused?: Problem | undefined
}

/** The children that have not ended. */
export interface Family {
  readonly unfinished: readonly string[]
  /** How many ends of children had been reported to the operation before that was read. */
  readonly told: number
}

/** How a child has ended. */
export interface ChildEnd {
  /** Undefined if the child was deleted. */
  readonly status: FinalStatus | undefined
  readonly type?: string
  /** When, in milliseconds since the epoch, by the store's clock. */
  readonly at: number
  readonly problem?: Problem | undefined
}

/** What an attempt can ask of the worker that holds its lease. */
export interface Host {
  progress(progress: Progress): void
  log(level: LogLevel, message: string): void
  /** Steps that earlier attempts have recorded: name to JSON string. */
  steps(): Promise<ReadonlyMap<string, string>>
  /** Resolves when the step is durable. Rejects when the attempt has lost its lease. */
  recordStep(name: string, value: string): Promise<void>
  /** Submits children and returns their ids. A child that was submitted before keeps its id. */
  submit(children: readonly ChildSubmission[]): Promise<readonly string[]>
  /** Reads which children have not ended yet. */
  family(): Promise<Family>
  /** Reads how children have ended, in their order; undefined for a child that has not ended. */
  childEnds(ids: readonly string[]): Promise<readonly (ChildEnd | undefined)[]>
  /** Reads the output of a child, as a JSON string; undefined if it has none, or it is no longer kept. */
  childOutput(id: string): Promise<string | undefined>
  /** Stores a result that is not JSON and returns the output to record for it. Undefined without a blob store. */
  readonly upload?: ((media: Media) => Promise<string>) | undefined
}

/** Why an attempt must stop: the name of its signal's reason. */
export const STOP_REASONS = [
  'CanceledError',
  'TimeoutError',
  'DeadlineError',
  'LeaseLostError',
  'ShutdownError',
] as const
export type StopReason = (typeof STOP_REASONS)[number]

const STOP_MESSAGES: Record<StopReason, string> = {
  CanceledError: 'The operation was canceled.',
  TimeoutError: 'The attempt ran longer than its timeout.',
  DeadlineError: 'The operation ran past its deadline.',
  LeaseLostError: 'The attempt lost its lease: another one may be running.',
  ShutdownError: 'The worker is shutting down.',
}

/** The reason that an attempt's signal is aborted with. */
export class StopError extends Error {
  static {
    markInstances(StopError, 'waybill.StopError')
  }

  override readonly name: StopReason

  constructor(name: StopReason) {
    super(STOP_MESSAGES[name])
    this.name = name
  }
}

/** The name of the reason that a signal was aborted with. */
export function stopReason(signal: AbortSignal): StopReason {
  return signal.reason instanceof StopError ? signal.reason.name : 'ShutdownError'
}

/** What a runner is given for one attempt. */
export interface RunContext {
  readonly host: Host
  /** Aborted when the attempt should stop. */
  readonly signal: AbortSignal
  /** How long after an abort for this reason the attempt may go on before it is ended by force, in milliseconds. */
  readonly graceMs: (reason: StopReason) => number
  /** Called with errors of the handler that are not shown to clients. */
  readonly onError: (error: unknown) => void
}

/** How a run ended: an outcome of the handler, or the end of the process it ran in. */
export type RunResult =
  | Outcome
  /** The process ended during the run: an exit code, a signal, no more memory. `error`: an uncaught error in it. */
  | { readonly kind: 'crashed'; readonly reason: string; readonly error?: AttemptError | undefined }
  /** The attempt had to stop, did not within its grace period, and was ended or abandoned. */
  | { readonly kind: 'ended' }
  /** The handler was never called: its process could not be made ready. */
  | { readonly kind: 'unstarted'; readonly reason: string }
  /** The process ended during the run for a cause outside this attempt, such as a timer of an earlier attempt. */
  | { readonly kind: 'lost'; readonly reason: string }

/** Runs attempts. */
export interface Runner {
  /**
   * Gets ready to run.
   *
   * @param onRoom called when {@link room} may have grown for a reason other than the end of a run
   * @returns the names of the operation types that it has handlers for
   * @throws when the handlers cannot be loaded
   */
  start(onRoom?: () => void): Promise<readonly string[]>
  /** How many more runs it can take now. Without this method: as many as the worker wants. */
  room?(): number
  /** Runs one attempt; never rejects. */
  run(task: Task, context: RunContext): Promise<RunResult>
  /** Ends what still runs, and frees everything. */
  close(): Promise<void>
}
