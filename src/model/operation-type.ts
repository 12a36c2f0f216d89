/**
 * An operation type declares a kind of work once: its name, schemas and policy. It holds no
 * server code, so the API, the job and the browser import the same declaration.
 *
 * @example
 * export const orders = defineOperation({ name: 'orders', input: Order, output: CompletedOrder, resultKey: 'order' })
 * export default handler(orders, async (order, job) => ({ ...order, completedAt: new Date().toISOString() }))
 */
import type { Static } from 'typebox'
import { type Duration, durationMs, LONGEST_MS, LONGEST_TIMER_MS, MINUTE, SECOND } from './duration.ts'
import type { Media } from './media.ts'
import { type Checks, checkOptions, FUNCTION, OBJECT, type RenamedOptions, UNCHECKED } from './options.ts'
import type { Tagger, TagValues } from './tags.ts'
import { readTool, type Tool, type ToolOptions } from './tool.ts'
import type { WebAbortSignal, WebBlob } from './web-types.ts'

/** The part of Standard Schema 1 that is used: Zod 4, Valibot and ArkType offer it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
  }
}

/** What a Standard Schema says of a value. */
type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** One thing a Standard Schema finds wrong. */
export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** A JSON Schema (2020-12), plain or made by TypeBox. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** Anything that declares the shape of a value. */
export type Schema = StandardSchema | JsonSchema

/** The type a value of the schema has on the wire, before it is parsed. */
type InputOf<S> = S extends StandardSchema<infer Input, unknown> ? Input : StaticOf<S>

/** The type a value of the schema has once it is parsed. */
export type OutputOf<S> = S extends StandardSchema<unknown, infer Output> ? Output : StaticOf<S>

type StaticOf<S> = unknown extends S ? unknown : S extends object ? Static<S> : unknown

/** How long to wait before the next attempt: `initial · factor^n`, at most `max`, less a random part. */
export interface Backoff {
  /** Before the second attempt. Default 1 s. */
  readonly initial: Duration
  /** What each further wait is multiplied with, 1 or more. Default 2. */
  readonly factor: number
  /** The longest wait. Default 1 minute. */
  readonly max: Duration
  /** The part of the wait that is random, from 0 to 1. Default 0.5. */
  readonly jitter: number
}

/** What is said of an operation type; everything but the name has a default. */
export interface OperationTypeOptions<Name extends string, Input, Output, Key extends string> {
  /** The path segment and the name: lower-case letters, digits and `-`, a letter first, at most 64. */
  readonly name: Name
  /** What the client sends. Default: any JSON value. */
  readonly input?: Input | undefined
  /** What the handler returns. Default: any JSON value. */
  readonly output?: Output | undefined
  /** The member of the result document that holds the output. Default `result`. */
  readonly resultKey?: Key | undefined
  /** How often the handler may run and fail, 1 to 100. Default 3. */
  readonly attempts?: number | undefined
  /** How often a run may vanish with its worker (a crash, a lost lease) before the operation fails, 0 to 100. Default 10. */
  readonly lostAttempts?: number | undefined
  readonly backoff?: Partial<Backoff> | undefined
  /** How long one attempt may run, up to 20 days. Default 15 minutes. */
  readonly timeout?: Duration | undefined
  /** How long the first attempt may take to begin, from the acceptance or from the end of its delay, before the operation fails. Default: for ever. */
  readonly startDeadline?: Duration | undefined
  /**
   * How long the whole operation may take, from the acceptance or from the end of its delay, before it fails: its time in
   * the queue, its attempts, and all waits, up to 10 years. Default: for ever.
   */
  readonly deadline?: Duration | undefined
  /** How long the record and the result are kept after the end, up to 10 years. Default 7 days. */
  readonly retention?: Duration | undefined
  /** The largest request body in bytes, 1 to 100 MiB. Default 1 MiB. */
  readonly bodyLimit?: number | undefined
  /** How many attempts of this type one worker runs at once, 1 to 10,000. Default: as many as the worker runs in all. */
  readonly concurrency?: number | undefined
  /** Those with a higher priority are claimed first: a whole number from -100 to 100. Default 0. */
  readonly priority?: number | undefined
  /** Whether a request without `Idempotency-Key` is refused. Default false. */
  readonly requireIdempotencyKey?: boolean | undefined
  /** Whether the event stream sends clients what handlers log. Default false. */
  readonly exposeLogs?: boolean | undefined
  /** Whether clients may send a `Webhook-Url`, which receives a webhook when the operation finishes. Default false. */
  readonly allowWebhooks?: boolean | undefined
  /** The most operations that may wait to begin, 1 to 10,000; past that, requests are refused with 503. Default: no limit. */
  readonly backlogLimit?: number | undefined
  /** The most unfinished operations of one principal, 1 to 10,000; past that, its requests are refused with 429. Default: no limit. */
  readonly inFlightLimit?: number | undefined
  /**
   * Whether a caller other than the owner may see what the handler asks for, and send the event. `caller` is what
   * `principal` returned. Default: the owner alone.
   */
  readonly mayAnswer?: ((caller: string, event: EventTarget) => boolean | Promise<boolean>) | undefined
  /** How many requests one principal may make in a time, counted by each process; past that, they are refused with 429. Default: no limit. */
  readonly rateLimit?: RateLimit | undefined
  /**
   * Names and values that operators find an operation by, made of its input; clients see them too. At most 8, with names
   * of at most 32 characters; values are cut to 128. Default: none.
   */
  readonly tags?: Tagger<OutputOf<Input>> | undefined
  /**
   * JSON Pointers (RFC 6901) to what operators are not shown of the input, the output and recorded steps, such as `/card`;
   * `*` stands for every member of an object or an array. Default: none.
   */
  readonly redact?: readonly string[] | undefined
  /** Whether operators' searches look into the input too. Default false. */
  readonly searchInput?: boolean | undefined
  /** Whether agents can call it as a tool, where the server has the option `mcp`, and how it is offered to them. Default false. */
  readonly tool?: boolean | ToolOptions | undefined
}

/** A number of requests in a period: at most 1,000,000 in at most a day. */
export interface RateLimit {
  readonly requests: number
  readonly per: Duration
}

/** The policy of an operation type with every default filled in; durations in milliseconds. */
export interface Policy {
  readonly attempts: number
  readonly lostAttempts: number
  readonly backoff: { readonly initial: number; readonly factor: number; readonly max: number; readonly jitter: number }
  readonly timeout: number
  readonly startDeadline: number | undefined
  readonly deadline: number | undefined
  readonly retention: number
  readonly bodyLimit: number
  readonly concurrency: number | undefined
  readonly priority: number
  readonly requireIdempotencyKey: boolean
  readonly exposeLogs: boolean
  readonly allowWebhooks: boolean
  readonly backlogLimit: number | undefined
  readonly inFlightLimit: number | undefined
  readonly rateLimit: { readonly requests: number; readonly perMs: number } | undefined
  readonly mayAnswer: ((caller: string, event: EventTarget) => boolean | Promise<boolean>) | undefined
  readonly redact: readonly string[]
  readonly searchInput: boolean
}

/** A declared kind of operation; see {@link defineOperation}. */
export interface OperationType<
  Name extends string = string,
  Input = unknown,
  Output = unknown,
  Key extends string = string,
> {
  readonly name: Name
  readonly input: Input | undefined
  readonly output: Output | undefined
  readonly resultKey: Key
  readonly policy: Policy
  /** Makes tags of an input that its schema has checked; undefined where there are none. */
  readonly tags: ((input: unknown) => TagValues) | undefined
  /** How it is offered to agents; undefined where it is not. */
  readonly tool: Tool | undefined
}

/** Any operation type, whatever its schemas. */
export type AnyOperationType = OperationType<string, unknown, unknown, string>

/** What the client of the operation type sends. */
export type OperationInput<T> = T extends OperationType<string, infer Input, unknown, string> ? InputOf<Input> : never

/** What the result of the operation type holds under its result key. */
export type OperationOutput<T> =
  T extends OperationType<string, unknown, infer Output, string> ? OutputOf<Output> : never

/** The document at the result URL of a completed operation of the type. */
export type OperationResult<T> =
  T extends OperationType<string, unknown, infer Output, infer Key>
    ? { readonly id: string; readonly status: 'completed' } & { readonly [K in Key]: OutputOf<Output> }
    : never

const OPTIONS: Checks<OperationTypeOptions<string, unknown, unknown, string>> = {
  name: UNCHECKED,
  input: UNCHECKED,
  output: UNCHECKED,
  resultKey: UNCHECKED,
  attempts: UNCHECKED,
  lostAttempts: UNCHECKED,
  backoff: OBJECT,
  timeout: UNCHECKED,
  startDeadline: UNCHECKED,
  deadline: UNCHECKED,
  retention: UNCHECKED,
  bodyLimit: UNCHECKED,
  concurrency: UNCHECKED,
  priority: UNCHECKED,
  requireIdempotencyKey: UNCHECKED,
  exposeLogs: UNCHECKED,
  allowWebhooks: UNCHECKED,
  backlogLimit: UNCHECKED,
  inFlightLimit: UNCHECKED,
  rateLimit: OBJECT,
  tags: UNCHECKED,
  redact: UNCHECKED,
  searchInput: UNCHECKED,
  tool: UNCHECKED,
  mayAnswer: FUNCTION,
}
const RENAMED: RenamedOptions<typeof OPTIONS> = { shareLogs: 'exposeLogs', webhooks: 'allowWebhooks' }
const BACKOFF: Checks<Backoff> = { initial: UNCHECKED, factor: UNCHECKED, max: UNCHECKED, jitter: UNCHECKED }
const RATE_LIMIT: Checks<RateLimit> = { requests: UNCHECKED, per: UNCHECKED }
const DAY = 24 * 60 * MINUTE
const MIB = 1024 * 1024

/**
 * Declares an operation type.
 *
 * @throws {TypeError} for an unknown option, or one of the wrong type or out of range; the message names it
 *
 * @example
 * const reports = defineOperation({ name: 'reports', input: Order, attempts: 5, timeout: '30m' })
 */
export function defineOperation<
  const Name extends string,
  const Input = unknown,
  const Output = unknown,
  const Key extends string = 'result',
>(init: OperationTypeOptions<Name, Input, Output, Key>): OperationType<Name, Input, Output, Key> {
  const where = `defineOperation(${JSON.stringify(init?.name) ?? ''})`
  checkOptions(where, init, OPTIONS, RENAMED)
  if (typeof init.name !== 'string' || !/^[a-z][a-z0-9-]{0,63}$/.test(init.name)) {
    throw new TypeError(`${where}: a name is lower-case letters, digits and "-", a letter first, at most 64.`)
  }
  const resultKey = init.resultKey ?? ('result' as Key)
  if (typeof resultKey !== 'string')
    throw new TypeError(`${where}: resultKey must be a string, not ${String(resultKey)}.`)
  if (['id', 'status', 'error', '__proto__', ''].includes(resultKey)) {
    throw new TypeError(`${where}: resultKey cannot be ${JSON.stringify(resultKey)}, which the result document needs.`)
  }
  for (const side of ['input', 'output'] as const) {
    const schema: unknown = init[side]
    if (schema !== undefined && !isSchemaLike(schema)) {
      throw new TypeError(`${where}: ${side} must be a Standard Schema (such as Zod's) or a JSON Schema object.`)
    }
  }
  return Object.freeze({
    name: init.name,
    input: init.input,
    output: init.output,
    resultKey,
    policy: readPolicy(init, where),
    tags: readTagger(init.tags, where),
    tool: readTool(init.tool, init.name, where),
  })
}

function isSchemaLike(schema: unknown): boolean {
  return (typeof schema === 'object' && schema !== null) || typeof schema === 'function'
}

function readPolicy(init: Omit<OperationTypeOptions<string, unknown, unknown, string>, 'tags'>, where: string): Policy {
  const whole = (name: keyof typeof init, byDefault: number, min: number, max: number) =>
    numberIn(where, name, init[name] ?? byDefault, { min, max, whole: true })
  const limit = (name: keyof typeof init) => (init[name] === undefined ? undefined : whole(name, 1, 1, 10_000))
  const flag = (name: keyof typeof init) => readFlag(where, name, init[name] ?? false)
  const duration = (name: string, value: Duration, max: number) => durationMs(`${where}: ${name}`, value, { max })
  const within = (name: 'startDeadline' | 'deadline') =>
    init[name] === undefined ? undefined : duration(name, init[name], LONGEST_MS)
  if (init.backoff !== undefined) checkOptions(`${where}: backoff`, init.backoff, BACKOFF)
  const { initial = SECOND, factor = 2, max = MINUTE, jitter = 0.5 } = init.backoff ?? {}
  return Object.freeze({
    attempts: whole('attempts', 3, 1, 100),
    lostAttempts: whole('lostAttempts', 10, 0, 100),
    backoff: Object.freeze({
      initial: duration('backoff.initial', initial, DAY),
      factor: numberIn(where, 'backoff.factor', factor, { min: 1, max: 100 }),
      max: duration('backoff.max', max, 30 * DAY),
      jitter: numberIn(where, 'backoff.jitter', jitter, { min: 0, max: 1 }),
    }),
    timeout: duration('timeout', init.timeout ?? 15 * MINUTE, LONGEST_TIMER_MS),
    startDeadline: within('startDeadline'),
    deadline: within('deadline'),
    retention: duration('retention', init.retention ?? 7 * DAY, LONGEST_MS),
    bodyLimit: whole('bodyLimit', MIB, 1, 100 * MIB),
    concurrency: limit('concurrency'),
    priority: whole('priority', 0, -100, 100),
    requireIdempotencyKey: flag('requireIdempotencyKey'),
    exposeLogs: flag('exposeLogs'),
    allowWebhooks: flag('allowWebhooks'),
    backlogLimit: limit('backlogLimit'),
    inFlightLimit: limit('inFlightLimit'),
    rateLimit: init.rateLimit === undefined ? undefined : readRateLimit(init.rateLimit, where),
    mayAnswer: init.mayAnswer,
    redact: readPointers(init.redact ?? [], where),
    searchInput: flag('searchInput'),
  })
}

function readTagger(tags: unknown, where: string): OperationType['tags'] {
  if (tags !== undefined && typeof tags !== 'function') throw new TypeError(`${where}: tags must be a function.`)
  return tags as OperationType['tags']
}

function readPointers(pointers: readonly string[], where: string): readonly string[] {
  const isPointer = (it: unknown) => typeof it === 'string' && /^(?:\/(?:[^~]|~[01])*)+$/.test(it)
  if (Array.isArray(pointers) && pointers.every(isPointer)) return Object.freeze([...pointers])
  throw new TypeError(`${where}: redact must be JSON Pointers, such as ["/card"].`)
}

function readFlag(where: string, name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${where}: ${name} must be true or false.`)
  return value
}

function readRateLimit(limit: RateLimit, where: string): Policy['rateLimit'] {
  checkOptions(`${where}: rateLimit`, limit, RATE_LIMIT)
  const { requests, per } = limit
  return Object.freeze({
    requests: numberIn(where, 'rateLimit.requests', requests, { min: 1, max: 1_000_000, whole: true }),
    perMs: durationMs(`${where}: rateLimit.per`, per, { min: 1, max: DAY }),
  })
}

function numberIn(
  where: string,
  name: string,
  value: unknown,
  range: { min: number; max: number; whole?: boolean },
): number {
  const fits = typeof value === 'number' && value >= range.min && value <= range.max
  if (fits && (!range.whole || Number.isInteger(value))) return value
  const kind = range.whole ? 'a whole number' : 'a number'
  throw new TypeError(`${where}: ${name} must be ${kind} from ${range.min} to ${range.max}, not ${String(value)}.`)
}

/**
 * The time in milliseconds to wait before the next attempt, after `failed` of them have failed
 * (1 or more). With a jitter of j it lies between (1 - j) and 1 times the exponential value.
 */
export function backoffMs(policy: Policy, failed: number, random: () => number = Math.random): number {
  const { initial, factor, max, jitter } = policy.backoff
  const full = Math.min(initial * factor ** (failed - 1), max)
  return Math.round(full * (1 - jitter * random()))
}

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
   * Gives the URL to which a system that cannot log in, such as a payment provider, sends the event of this name: a POST of
   * one JSON value. It cannot be guessed, is the same in every attempt, and gives no other right: once the event has come or its time is over, it
   * refuses further ones. The composition that runs the handler needs `publicUrl`.
   *
   * @param name the name of the wait
   */
  callbackUrl(name: string): Promise<string>
}

/** What {@link OperationTypeOptions.mayAnswer} is asked about. */
interface EventTarget {
  /** The id of the operation. */
  readonly id: string
  readonly owner: string
  /** The name of the event. */
  readonly name: string
}

/** What a handler says of an event that it waits for. */
export interface EventOptions<S = unknown> {
  /** What the value must be: a JSON Schema, or a Standard Schema that can be written as one, at most 16 KiB. Default: any JSON value. */
  readonly schema?: S | undefined
  /** How long it waits, up to 10 years. Default: for ever. */
  readonly timeout?: Duration | undefined
}

/** What a handler says of a question. */
export interface AskOptions<S = unknown> extends EventOptions<S> {
  /** The question, for people: 1 to 2,000 characters. */
  readonly message: string
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
