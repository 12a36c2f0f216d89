/** A handler does the work of an operation type, and its job is what it can do beside that. */
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

/** What a handler knows of its run, and what it can do beside its work. */
export interface Job {
  /** The operation's id: a UUID. Hand it on as an idempotency key to what you call. */
  readonly id: string
  /** The number of this run, from 1. A higher number replaces every lower one. */
  readonly attempt: number
  /**
   * Aborted when the run should stop: `reason.name` is `CanceledError`, `TimeoutError`, `DeadlineError`,
   * `LeaseLostError` or `ShutdownError`. A run that completes all the same is recorded as completed,
   * unless its lease was lost; one that goes on for more than a grace time is ended where it can be.
   */
  readonly signal: WebAbortSignal
  /** W3C trace context of the request that was accepted, where it sent one. */
  readonly traceparent: string | undefined
  /**
   * Tells how far the work is. Written soon and not at once: of many calls in a moment the last one counts.
   *
   * @param fraction from 0 to 1; values outside are clamped, and one that is not a number is refused with a TypeError
   */
  progress(fraction: number, message?: string): void
  /**
   * Keeps a line of at most 8 KiB with the operation, which has at most 1,000 lines: half of them for the first attempt,
   * half of the rest for the next one, and what is left for the last one. Each keeps its first and its last lines.
   */
  log(message: string, level?: LogLevel): void
  /**
   * Runs `work` once for the operation, not once for each attempt: its outcome is recorded, and later
   * attempts get it back without running it. A crash between the end of `work` and the
   * record runs it again, so `work` should be idempotent; the record cannot be lost once this has returned.
   *
   * @param name 1 to 200 characters, without NUL and halves of surrogate pairs. A name that is used again in one
   * attempt is a further step: `charge`, `charge#2`, in the order of the calls, which must be the same in each attempt. A step that fails gives its name back.
   * @returns the outcome as JSON keeps it, at most 32 MiB
   * @throws {ProblemError} `invalid-output` for an outcome that JSON cannot say, `output-too-large`
   */
  step<T>(name: string, work: () => T | Promise<T>): Promise<T>
  /**
   * Waits for a time, up to 10 years, or until a date. From a second on the attempt ends as suspended: it holds no slot,
   * no process and no execution, and does not count. When the time has come the handler runs again from its top; steps
   * and waits that are over give what was recorded. Work that a handler begins beside a wait, and not in a step, may run again.
   *
   * @param name as of a step
   */
  sleep(name: string, duration: Duration | Date): Promise<void>
  /**
   * Waits for an event: a value that the owner of the operation, or whom the type's `mayAnswer` admits, sends to
   * `POST /operations/{id}/events/{name}`. The first one counts; one that comes before the handler waits is kept. Suspends like {@link sleep}.
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
   * Asks the model of the agent that has called the tool, and waits for its text as {@link ask} does. Over HTTP it is a
   * question like any other, whose answer is a string.
   *
   * @param name as of an event
   * @returns what the model has said. Check it: a model may say anything
   * @throws {WaitTimeoutError} when nothing has come within the `timeout`
   */
  askModel(name: string, options: AskModelOptions): Promise<string>
  /**
   * Gives the URL to which a system that cannot log in, such as a payment provider, sends the event of this name: a POST of
   * one JSON value. It cannot be guessed, is the same in every attempt, and gives no other right: once the event has come or its time is over, it
   * refuses further ones. The composition that runs the handler needs `publicUrl`.
   *
   * @param name the name of the wait
   */
  callbackUrl(name: string): Promise<string>
  /**
   * Submits an operation as a child of this one: with its owner and its trace, and without the limits of the type. It is
   * submitted once for the operation, not once for each attempt: later attempts find it again by its key. A cancel or a
   * failure of this operation cancels the children that have not ended.
   *
   * @throws {Error} for an input that does not match the schema of the type
   */
  submit<const T extends AnyOperationType>(
    type: T,
    input: OperationInput<T>,
    options?: ChildOptions,
  ): Promise<Child<OperationOutput<T>>>
  /**
   * Waits until all of these children have ended, and suspends like {@link sleep}: however many they are, the handler runs
   * again once.
   *
   * @returns their results, in the order given
   * @throws {ProblemError} `child-failed` for the first of them that has failed or was canceled
   */
  all<const Children extends readonly Child[]>(children: Children): Promise<ChildResults<Children>>
  /** Waits like {@link all}, and says how each child has ended. No result is read. */
  settled(children: readonly Child[]): Promise<FinalStatus[]>
  /** The same, with results: as `Promise.allSettled`, with `child-failed` as the reason of those that did not complete. */
  allSettled<const Children extends readonly Child[]>(children: Children): Promise<SettledChildren<Children>>
}

/** How a child is submitted. */
export interface ChildOptions {
  /**
   * By which later attempts find it again: 1 to 200 characters, without NUL and halves of surrogate pairs. Default: the name
   * of the type. A key that is used again in one attempt is a further child: `orders`, `orders#2`, in the order of the
   * calls, which must be the same in each attempt.
   */
  readonly key?: string | undefined
  /**
   * What happens where the input does not match the schema of the type. `throw`: the call does. `fail`: the child is there,
   * and has failed with `invalid-input`. Default `throw`.
   */
  readonly ifInvalid?: 'throw' | 'fail' | undefined
  /** Whether it goes on when its parent is canceled or fails. Default false. */
  readonly detached?: boolean | undefined
}

/** An operation that the handler of another one has submitted. */
export interface Child<Output = unknown> {
  /** The operation's id. */
  readonly id: string
  readonly key: string
  /**
   * Waits until it has ended, and suspends like `job.sleep`. It is kept for the retention of its type.
   *
   * @throws {ProblemError} `child-failed` when it has failed or was canceled
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

/** What a handler says of an event that it waits for. */
export interface EventOptions<S = unknown> {
  /** What the value must be: a JSON Schema, or a Standard Schema that can be written as one, at most 16 KiB. Default: any JSON value. */
  readonly schema?: S | undefined
  /** How long it waits, up to 10 years. Default: forever. */
  readonly timeout?: Duration | undefined
}

/** What a handler says of a question. */
export interface AskOptions<S = unknown> extends EventOptions<S> {
  /** The question, for people: 1 to 2,000 characters. */
  readonly message: string
}

/** What a handler says of a question to the caller's model. */
export interface AskModelOptions extends Omit<EventOptions, 'schema'> {
  /** What the model is to do: 1 to 20,000 characters. */
  readonly prompt: string
  /** The most tokens of the answer, 1 to 1,000,000. Default 1,000. */
  readonly maxTokens?: number | undefined
}

/**
 * The function that does the work of one attempt. What it returns is the result: the declared output, or, for
 * what is large or no JSON, a Blob or what `media()` makes, which is kept by the blob store.
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
 * Pairs an operation type with the function that does its work. A handler file exports one
 * as its default, or an array of them.
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
