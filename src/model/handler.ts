/**
 * A handler does the work of an operation type. Its `job` describes the run, and reports progress, records steps, waits
 * and submits children.
 */
import type { Duration } from './duration.ts'
import type { Media } from './media.ts'
import type {
  AnyOperationType,
  InputOf,
  OperationInput,
  OperationOutput,
  OperationType,
  OutputOf,
} from './operation-type.ts'
import type { FinalStatus } from './protocol.ts'
import type { WebAbortSignal, WebBlob } from './web-types.ts'

/** Levels of a handler's log lines. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** What a handler knows about its run, and what it can do besides its work. */
export interface Job {
  /** The operation's id: a UUID. Send it as the idempotency key to the services that the handler calls. */
  readonly id: string
  /** The number of this run, from 1. A higher number replaces every lower one. */
  readonly attempt: number
  /**
   * Aborted when the run should stop: `reason.name` is `CanceledError`, `TimeoutError`, `DeadlineError`,
   * `LeaseLostError` or `ShutdownError`. A run that still completes is recorded as completed, unless its lease was
   * lost. A run that continues past a grace period is killed where that is possible.
   */
  readonly signal: WebAbortSignal
  /** W3C trace context of the request that created the operation; undefined if it had none. */
  readonly traceparent: string | undefined
  /**
   * Reports how far the work is. The write follows a moment later: of several calls in quick succession only the last
   * one is written.
   *
   * @param fraction from 0 to 1; values outside are clamped, and a value that is not a number throws a TypeError
   */
  progress(fraction: number, message?: string): void
  /**
   * Adds a line of at most 8 KiB to the log of the operation. The log keeps at most 1,000 lines: the first attempt may
   * use half of them, each later attempt half of the rest, and the last attempt all that is left. Of an attempt that
   * logs more, the first and the last lines are kept.
   */
  log(message: string, level?: LogLevel): void
  /**
   * Runs `work` once for the operation, not once for each attempt: its outcome is recorded, and later attempts get the
   * recorded outcome without running `work`. A crash between the end of `work` and the record runs it again, so `work`
   * should be idempotent; once this method has returned, the record cannot be lost.
   *
   * @param name 1 to 200 characters, without NUL and halves of surrogate pairs. A name that is used again in one
   * attempt is a further step: `charge`, `charge#2`, in the order of the calls, which must be the same in each attempt.
   * A step that fails does not use up its name.
   * @returns the outcome as JSON keeps it, at most 32 MiB
   * @throws {ProblemError} `invalid-output` for an outcome that JSON cannot say, `output-too-large`
   */
  step<T>(name: string, work: () => T | Promise<T>): Promise<T>
  /**
   * Waits for a time, up to 10 years, or until a date. If the wait is 1 s or longer, the attempt ends as suspended: it
   * holds no slot, no process and no execution, and does not count as an attempt. When the time has come, the handler
   * runs again from its first line; steps and waits that are over return what was recorded. Work that a handler does
   * outside of steps may run again.
   *
   * @param name as of a step
   */
  sleep(name: string, duration: Duration | Date): Promise<void>
  /**
   * Waits for an event: a value that the owner of the operation, or a caller that the type's `mayAnswer` admits, sends
   * to `POST /operations/{id}/events/{name}`. Only the first event of a name counts. An event that arrives before the
   * handler waits for it is kept. Suspends like {@link sleep}.
   *
   * @param name 1 to 64 letters, digits, `_`, `.` and `-`; the second wait of a name is `name#2`
   * @returns the value as the schema parses it; without a schema, any JSON value
   * @throws {WaitTimeoutError} when nothing has come within the `timeout`
   */
  event<const S = unknown>(name: string, options?: EventOptions<S>): Promise<OutputOf<S>>
  /**
   * Asks a question, and waits for the answer as {@link event} does. The status document shows the question with its
   * schema, so that people, pages and agents can answer.
   *
   * @param name as of an event
   * @returns the answer as the schema parses it
   * @throws {WaitTimeoutError} when nobody has answered within the `timeout`
   */
  ask<const S = unknown>(name: string, options: AskOptions<S>): Promise<OutputOf<S>>
  /**
   * Asks the language model of the agent that has called the tool, and waits for its text as {@link ask} does. For HTTP
   * clients it is a question like any other, with a string as its answer.
   *
   * @param name as of an event
   * @returns what the model has said. Check it: a model may say anything
   * @throws {WaitTimeoutError} when nothing has come within the `timeout`
   */
  askModel(name: string, options: AskModelOptions): Promise<string>
  /**
   * Gives the URL to which a system that cannot log in, such as a payment provider, sends the event of this name: a
   * POST of one JSON value. The URL cannot be guessed, is the same in every attempt, and allows nothing else. Once the
   * event has arrived or its time is over, further requests to it are refused. The Waybill that runs the handler needs
   * the option `publicUrl`.
   *
   * @param name the name of the wait
   */
  callbackUrl(name: string): Promise<string>
  /**
   * Submits an operation as a child of this one, with the same owner and trace. The limits of its type do not apply.
   * The child is submitted once for the operation, not once for each attempt: later attempts find it by its key. A
   * cancel or a failure of this operation cancels the children that have not ended.
   *
   * @throws {Error} for an input that does not match the schema of the type
   */
  submit<const T extends AnyOperationType>(
    type: T,
    input: OperationInput<T>,
    options?: ChildOptions,
  ): Promise<Child<OperationOutput<T>>>
  /**
   * Waits until all of these children have ended, and suspends like {@link sleep}. The handler runs again once, when
   * the last child has ended.
   *
   * @returns their results, in the order given
   * @throws {ProblemError} `child-failed` for the first of them that has failed or was canceled
   */
  all<const Children extends readonly Child[]>(children: Children): Promise<ChildResults<Children>>
  /** Waits like {@link all}, and returns how each child has ended. It reads no results. */
  settled(children: readonly Child[]): Promise<FinalStatus[]>
  /**
   * Like {@link settled}, with results: as `Promise.allSettled` does, with `child-failed` as the reason of a child that
   * did not complete.
   */
  allSettled<const Children extends readonly Child[]>(children: Children): Promise<SettledChildren<Children>>
}

/** How a child is submitted. */
export interface ChildOptions {
  /**
   * The key by which later attempts find the child: 1 to 200 characters, without NUL and halves of surrogate pairs.
   * Default: the name of the type. A key that is used again in one attempt is a further child: `orders`, `orders#2`, in
   * the order of the calls, which must be the same in each attempt.
   */
  readonly key?: string | undefined
  /**
   * What happens if the input does not match the schema of the type. `throw`: the call throws. `fail`: the child is
   * created, and has failed with `invalid-input`. Default `throw`.
   */
  readonly ifInvalid?: 'throw' | 'fail' | undefined
  /** Whether the child continues when its parent is canceled or fails. Default false. */
  readonly detached?: boolean | undefined
}

/** An operation that the handler of another one has submitted. */
export interface Child<Output = unknown> {
  /** The operation's id. */
  readonly id: string
  readonly key: string
  /**
   * Waits until the child has ended, and suspends like `job.sleep`. The result can be read for the retention of the
   * child's type.
   *
   * @throws {ProblemError} `child-failed` when the child has failed or was canceled
   */
  result(): Promise<Output>
}

/** The results of children, in their order. */
export type ChildResults<Children extends readonly Child[]> = {
  -readonly [At in keyof Children]: Children[At] extends Child<infer Output> ? Output : never
}

/** How children have ended, in their order. */
export type SettledChildren<Children extends readonly Child[]> = {
  -readonly [At in keyof Children]: PromiseSettledResult<Children[At] extends Child<infer Output> ? Output : never>
}

/** Options of {@link Job.event}. */
export interface EventOptions<S = unknown> {
  /** What the value must be: a JSON Schema, or a Standard Schema that can be written as one, at most 16 KiB. Default: any JSON value. */
  readonly schema?: S | undefined
  /** How long it waits, up to 10 years. Default: forever. */
  readonly timeout?: Duration | undefined
}

/** Options of {@link Job.ask}. */
export interface AskOptions<S = unknown> extends EventOptions<S> {
  /** The question, for people: 1 to 2,000 characters. */
  readonly message: string
}

/** Options of {@link Job.askModel}. */
export interface AskModelOptions extends Omit<EventOptions, 'schema'> {
  /** What the model is to do: 1 to 20,000 characters. */
  readonly prompt: string
  /** The most tokens of the answer, 1 to 1,000,000. Default 1,000. */
  readonly maxTokens?: number | undefined
}

/**
 * The function that does the work of one attempt. What it returns is the result: the declared output or, for a result
 * that is large or is not JSON, a Blob or the value of `media()`, which the blob store keeps.
 */
export type HandlerFunction<T> = (input: OutputOf<InputSchemaOf<T>>, job: Job) => Promise<ReturnOf<T>> | ReturnOf<T>

type InputSchemaOf<T> = T extends OperationType<string, infer Input, unknown, string> ? Input : never
type ReturnOf<T> =
  T extends OperationType<string, unknown, infer Output, string> ? InputOf<Output> | Media | WebBlob : never

/** A handler together with the operation type it serves; see {@link handler}. */
export interface Handler<T extends AnyOperationType = AnyOperationType> {
  readonly type: T
  readonly run: (input: unknown, job: Job) => unknown
}

/**
 * Pairs an operation type with the function that does its work. The default export of a handler file is one handler or
 * an array of handlers.
 *
 * @example
 * const reports = defineOperation({ name: 'reports', input: Order })
 * export default handler(reports, async (order, job) => {
 *   job.progress(0.5, `counting ${order.items.length} items`)
 *   return { items: order.items.length }
 * })
 */
export function handler<T extends AnyOperationType>(type: T, run: HandlerFunction<T>): Handler<T> {
  return Object.freeze({ type, run: run as Handler['run'] })
}
