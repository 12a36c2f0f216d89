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
import { type Checks, checkOptions, FUNCTION, OBJECT, type RenamedOptions, UNCHECKED } from './options.ts'
import type { Tagger, TagValues } from './tags.ts'
import { readTool, type Tool, type ToolOptions } from './tool.ts'

/** The part of Standard Schema 1 that is used: Zod 4, Valibot and ArkType offer it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
  }
}

/** The outcome when a Standard Schema checks a value. */
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
export type InputOf<S> = S extends StandardSchema<infer Input, unknown> ? Input : StaticOf<S>

/** The type a value of the schema has once it is parsed. */
export type OutputOf<S> = S extends StandardSchema<unknown, infer Output> ? Output : StaticOf<S>

type StaticOf<S> = unknown extends S ? unknown : S extends object ? Static<S> : unknown

/** How long to wait before the next attempt: `initial · factor^n`, at most `max`, less a random part. */
export interface Backoff {
  /** The wait before the second attempt. Default 1 s. */
  readonly initial: Duration
  /** The factor by which each further wait is longer, 1 or more. Default 2. */
  readonly factor: number
  /** The longest wait. Default 1 minute. */
  readonly max: Duration
  /** The part of the wait that is random, from 0 to 1. Default 0.5. */
  readonly jitter: number
}

/** Options of {@link defineOperation}. Every option but `name` has a default. */
export interface OperationTypeOptions<Name extends string, Input, Output, Key extends string> {
  /** The name, which is also the path segment: 1 to 64 lower-case letters, digits and `-`, beginning with a letter. */
  readonly name: Name
  /** What the client sends. Default: any JSON value. */
  readonly input?: Input | undefined
  /** What the handler returns. Default: any JSON value. */
  readonly output?: Output | undefined
  /** The member of the result document that holds the output. Default `result`. */
  readonly resultKey?: Key | undefined
  /** How many failed attempts end the operation as failed, 1 to 100. Default 3. */
  readonly attempts?: number | undefined
  /**
   * How many attempts may be lost with their worker (a crash, an expired lease) before the operation fails, 0 to 100.
   * Default 10.
   */
  readonly lostAttempts?: number | undefined
  readonly backoff?: Partial<Backoff> | undefined
  /** How long one attempt may run, up to 20 days. Default 15 minutes. */
  readonly timeout?: Duration | undefined
  /** How long the first attempt may take to begin, from the acceptance or from the end of its delay, before the operation fails. Default: forever. */
  readonly startDeadline?: Duration | undefined
  /**
   * How long the whole operation may take, from the acceptance or from the end of its delay, before it fails: its time in
   * the queue, its attempts, and all waits, up to 10 years. Default: forever.
   */
  readonly deadline?: Duration | undefined
  /** How long the record and the result are kept after the end, up to 10 years. Default 7 days. */
  readonly retention?: Duration | undefined
  /** The largest request body in bytes, 1 to 100 MiB. Default 1 MiB. */
  readonly bodyLimit?: number | undefined
  /** How many attempts of this type one worker runs at once, 1 to 10,000. Default: as many as the worker runs in all. */
  readonly concurrency?: number | undefined
  /**
   * The priority, a whole number from -100 to 100. Operations of types with a higher one are claimed first. Default 0.
   */
  readonly priority?: number | undefined
  /** Whether a request without `Idempotency-Key` is refused. Default false. */
  readonly requireIdempotencyKey?: boolean | undefined
  /** Whether the event stream sends the log lines of handlers to clients. Default false. */
  readonly exposeLogs?: boolean | undefined
  /** Whether clients may send a `Webhook-Url`, which receives a webhook when the operation finishes. Default false. */
  readonly allowWebhooks?: boolean | undefined
  /** The most operations that may wait to begin, 1 to 10,000; past that, requests are refused with 503. Default: no limit. */
  readonly backlogLimit?: number | undefined
  /** The most unfinished operations of one principal, 1 to 10,000; past that, its requests are refused with 429. Default: no limit. */
  readonly inFlightLimit?: number | undefined
  /**
   * Whether a caller other than the owner may see what the handler waits for, and send the event. `caller` is what
   * `principal` returned. Default: the owner alone.
   */
  readonly mayAnswer?: ((caller: string, event: EventTarget) => boolean | Promise<boolean>) | undefined
  /**
   * How many requests one principal may make in a period, counted by each process on its own; past that, its requests
   * are refused with 429. Default: no limit.
   */
  readonly rateLimit?: RateLimit | undefined
  /**
   * Makes tags of the input: names and values by which operators find the operation. Clients see them too. At most 8,
   * with names of at most 32 characters; values are cut to 128. Default: none.
   */
  readonly tags?: Tagger<OutputOf<Input>> | undefined
  /**
   * JSON Pointers (RFC 6901), such as `/card`, to parts of the input, the output and recorded steps that are hidden
   * from operators. `*` stands for every member of an object or an array. Default: none.
   */
  readonly redact?: readonly string[] | undefined
  /** Whether operators' searches cover the input too. Default false. */
  readonly searchInput?: boolean | undefined
  /**
   * Whether agents can call the type as a tool, if the server has the option `mcp`, and how the tool is described to
   * them. Default false.
   */
  readonly tool?: boolean | ToolOptions<OutputOf<Output>> | undefined
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
  /** Makes the tags of an input that its schema has checked; undefined if the type has no tags. */
  readonly tags: ((input: unknown) => TagValues) | undefined
  /** The tool for agents; undefined if the type is not offered as one. */
  readonly tool: Tool | undefined
  /** Only for a type that `batchOf` has declared: the type of its items. */
  readonly batchOf?: AnyOperationType | undefined
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

/** The event that {@link OperationTypeOptions.mayAnswer} decides about. */
interface EventTarget {
  /** The id of the operation. */
  readonly id: string
  readonly owner: string
  /** The name of the event. */
  readonly name: string
}
