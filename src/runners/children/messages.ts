/** What a worker and a child process that runs its handlers say to each other. */
import type { StopReason, Task } from '../../attempt.ts'
import type { Outcome } from '../../operation.ts'
import type { LogLevel } from '../../operation-type.ts'
import type { Progress } from '../../protocol.ts'
import type { Spooled } from './spool.ts'

/** From the worker to the child. */
export type ToChild =
  | { readonly kind: 'load'; readonly files: readonly string[] }
  /** With the folder for results that are no JSON, where they can be kept. */
  | { readonly kind: 'run'; readonly task: Task; readonly spool?: string | undefined }
  | { readonly kind: 'stop'; readonly reason: StopReason }
  | { readonly kind: 'steps'; readonly steps: ReadonlyMap<string, string> }
  /** The answer to a `step`: whether it was recorded. */
  | { readonly kind: 'recorded'; readonly name: string; readonly error?: string }
  /** The answer to a `keep`: the output to record, or why there is none. */
  | { readonly kind: 'kept'; readonly output: string }
  | { readonly kind: 'unkept'; readonly error: string }

/** From the child to the worker. */
export type FromChild =
  | { readonly kind: 'loaded'; readonly types: readonly string[] }
  | { readonly kind: 'unloadable'; readonly reason: string }
  | { readonly kind: 'end'; readonly outcome: Outcome }
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly message: string }
  | { readonly kind: 'steps' }
  | { readonly kind: 'step'; readonly name: string; readonly value: string }
  /** A file that holds a result, to be kept. */
  | { readonly kind: 'keep'; readonly file: Spooled; readonly type: string; readonly filename?: string | undefined }
  /** An error of the handler, for the worker's log: its stack. */
  | { readonly kind: 'error'; readonly stack: string }
