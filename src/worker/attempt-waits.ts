/**
 * The waits of one attempt. A wait that is over gives what was recorded; one that is not ends the attempt as suspended,
 * once the handler does nothing but wait.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Duration, durationMs, LONGEST_MS } from '../model/duration.ts'
import type { AskModelOptions, AskOptions, EventOptions } from '../model/handler.ts'
import { problemError } from '../model/problem.ts'
import { jsonSchemaOf } from '../model/standard-json-schema.ts'
import { validate } from '../model/validation.ts'
import { WaitTimeoutError } from '../model/wait-timeout-error.ts'
import {
  CALLBACK_STEP,
  isEventName,
  isName,
  type Wait,
  type WaitEnd,
  type WaitKind,
  type WaitRequest,
  type Waits,
  waitStep,
} from '../model/waits.ts'
import type { Family } from './runners/runner.ts'
import type { Steps } from './steps.ts'
import { UniqueNames } from './unique-names.ts'

/**
 * A sleep shorter than this does not suspend the attempt: to start a new attempt takes about as long. In milliseconds.
 */
const HELD_MS = 1000
/** The most bytes of the schema of an event, as JSON. */
const MAX_SCHEMA_BYTES = 16 * 1024
/** The most characters of a question. */
const MAX_MESSAGE = 2000
/** The most characters of a question to a model. */
const MAX_PROMPT = 20_000
/** How long the answer of a model may be, in tokens, where the handler does not say. */
const MAX_TOKENS = 1000
const MOST_TOKENS = 1_000_000

/** What the waits of an attempt need. */
export interface WaitsOptions {
  /** The waits in the record when the operation was claimed. */
  readonly before: Waits | null
  /** Whether the operation is a retry, which has the ends of another operation's waits among its steps. */
  readonly isRetry: boolean
  /** When it was claimed, by the store's clock, in milliseconds since the epoch. */
  readonly claimedAt: number
  readonly steps: Steps
  readonly signal: AbortSignal
  /** Reads which children have not ended. */
  readonly family: () => Promise<Family>
  readonly id: string
  /** The URL under which clients reach the API; null if it is not set. */
  readonly publicUrl: string | null
  /** Called once, when the handler does nothing but wait for these. */
  readonly suspend: (waits: readonly WaitRequest[]) => void
}

/** What a question adds to a wait. */
type Question = Pick<WaitRequest, 'message' | 'model'>

/** A wait that is not over. */
interface OpenWait {
  readonly request: WaitRequest
  readonly children?: ChildrenWait
}

/** A wait for children, which is checked once more before the attempt ends. */
interface ChildrenWait {
  readonly ids: readonly string[]
  /** When the last of them ended, where all have. */
  readonly endedAt: () => Promise<number | undefined>
  readonly tell: (end: WaitEnd) => void
  readonly fail: (error: unknown) => void
}

/** The end of a wait, and who is waiting for it. */
interface Told {
  readonly end: WaitEnd
  readonly tell: (end: WaitEnd) => void
}

export class AttemptWaits {
  readonly #options: WaitsOptions
  readonly #names = new UniqueNames()
  #open: readonly OpenWait[] = []
  /** Waits that are over, but not yet reported to the handler. */
  #over: readonly Told[] = []
  /** Short sleeps under way. */
  #held = 0
  /** Waits that are still being checked for whether they are over. */
  #lookUps = 0
  #isScheduled = false
  /** The children that had not ended when it was read last. */
  #family: Promise<Family> | undefined

  constructor(options: WaitsOptions) {
    this.#options = options
    options.steps.onEnd = () => this.#goOn()
  }

  async sleep(name: unknown, duration: unknown): Promise<void> {
    const own = this.#take(name)
    const withinMs =
      duration instanceof Date ? msUntil(duration) : durationMs('duration', duration, { max: LONGEST_MS })
    const before = this.#before('time', own)
    if (before === undefined && withinMs <= HELD_MS) {
      if ((await this.#recorded(own)) === undefined) await this.#hold(withinMs)
      return
    }
    await this.#endOf({ kind: 'time', name: own, withinMs })
  }

  async event(name: unknown, options: EventOptions = {}): Promise<unknown> {
    return await this.#answer('event', name, options)
  }

  async ask(name: unknown, options: Partial<AskOptions> = {}): Promise<unknown> {
    const { message } = options
    checkText('job.ask: message', message, MAX_MESSAGE)
    return await this.#answer('input', name, options, { message })
  }

  async askModel(name: unknown, options: Partial<AskModelOptions> = {}): Promise<string> {
    const { prompt, maxTokens = MAX_TOKENS, timeout } = options
    checkText('job.askModel: prompt', prompt, MAX_PROMPT)
    if (!Number.isInteger(maxTokens) || maxTokens < 1 || maxTokens > MOST_TOKENS) {
      throw new TypeError(`job.askModel: maxTokens must be a whole number from 1 to ${MOST_TOKENS}.`)
    }
    const text = { schema: { type: 'string' }, timeout }
    return String(await this.#answer('input', name, text, { message: prompt, model: { maxTokens } }))
  }

  async callbackUrl(name: unknown): Promise<string> {
    const { id, publicUrl, steps } = this.#options
    if (publicUrl === null) {
      throw new Error('job.callbackUrl: set "publicUrl", the URL of the API, where the worker is made.')
    }
    checkEventName(name)
    const step = CALLBACK_STEP + name
    const text = (await steps.recorded()).get(step)
    const token = text === undefined ? randomBytes(24).toString('base64url') : (JSON.parse(text) as string)
    if (text === undefined) await steps.record(step, JSON.stringify(token))
    return `${publicUrl}/operations/${id}/callbacks/${token}`
  }

  /** Waits until all of these children have ended. */
  async children(name: string, ids: readonly string[], endedAt: ChildrenWait['endedAt']): Promise<void> {
    if (this.#options.steps.isInside) throw insideStep(name)
    const { promise, resolve: tell, reject: fail } = Promise.withResolvers<WaitEnd>()
    const children = { ids, endedAt, tell, fail }
    const at = await this.during(async () => await this.#endOfChildren(children))
    if (at === undefined)
      this.#open = [...this.#open, { request: { kind: 'children', name, withinMs: null }, children }]
    else this.#over = [...this.#over, { end: { at }, tell }]
    await promise
  }

  /** While the work goes on, the attempt is not suspended. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#lookUps++
    try {
      return await work()
    } finally {
      this.#lookUps--
      this.#goOn()
    }
  }

  /** There may be more children than were read. */
  forgetFamily(): void {
    this.#family = undefined
  }

  async #endOfChildren({ ids, endedAt }: ChildrenWait): Promise<number | undefined> {
    const unfinished = new Set((await this.#readFamily()).unfinished)
    return ids.some(id => unfinished.has(id)) ? undefined : await endedAt()
  }

  async #readFamily(): Promise<Family> {
    const reading = this.#family ?? this.#options.family()
    this.#family = reading
    try {
      return await reading
    } catch (error) {
      if (this.#family === reading) this.#family = undefined
      throw error
    }
  }

  async #answer(kind: WaitKind, name: unknown, options: EventOptions, question: Question = {}): Promise<unknown> {
    checkEventName(name)
    const own = this.#take(name)
    const schema = options.schema === undefined ? undefined : writtenSchema(options.schema)
    // A schema that cannot be compiled fails here, and not later, when an answer arrives.
    await validate(schema, null)
    const withinMs = timeoutOf(options.timeout)
    const ended = await this.#endOf({
      kind,
      name: own,
      withinMs,
      ...question,
      ...(schema !== undefined && { schema }),
    })
    if (!('value' in ended)) throw new WaitTimeoutError(own)
    const checked = await validate(options.schema, ended.value)
    if (checked.errors === undefined) return checked.value
    throw problemError('invalid-event', `It is named "${own}".`, { extensions: { errors: checked.errors } })
  }

  /** How the wait has ended. If it has not ended, the promise stays pending, and the attempt is suspended. */
  async #endOf(request: WaitRequest): Promise<WaitEnd> {
    const end = await this.#lookUp(request)
    if (end === undefined) this.#open = [...this.#open, { request }]
    const told = new Promise<WaitEnd>(tell => {
      if (end !== undefined) this.#over = [...this.#over, { end, tell }]
    })
    return await told
  }

  async #lookUp(request: WaitRequest): Promise<WaitEnd | undefined> {
    const end = await this.during(async () => (await this.#recorded(request.name)) ?? (await this.#timedOut(request)))
    if (end !== undefined) checkKind(request, end)
    return end
  }

  /** An operation that has never waited and received no event has no such steps, unless it is a retry. */
  async #recorded(name: string): Promise<WaitEnd | undefined> {
    const { before, isRetry } = this.#options
    if (before === null && !isRetry) return undefined
    const text = (await this.#options.steps.recorded()).get(waitStep(name))
    return text === undefined ? undefined : (JSON.parse(text) as WaitEnd)
  }

  /** The end is recorded as a step, since the next suspension replaces the waits of this one. */
  async #timedOut({ kind, name }: WaitRequest): Promise<WaitEnd | undefined> {
    const until = this.#before(kind, name)?.until ?? null
    if (until === null || until > this.#options.claimedAt) return undefined
    const end: WaitEnd = { at: until, ...(kind === 'time' && { kind }) }
    await this.#options.steps.record(waitStep(name), JSON.stringify(end))
    return end
  }

  #before(kind: WaitKind, name: string): Wait | undefined {
    return this.#options.before?.open.find(wait => wait.kind === kind && wait.name === name)
  }

  async #hold(ms: number): Promise<void> {
    this.#held++
    try {
      await sleep(ms, undefined, { signal: this.#options.signal })
    } catch {
      this.#options.signal.throwIfAborted()
    } finally {
      this.#held--
      this.#goOn()
    }
  }

  #take(name: unknown): string {
    checkName(name)
    if (this.#options.steps.isInside) throw insideStep(name)
    return this.#names.take(name)
  }

  /** After this turn of the event loop: a wait that has just ended may let the handler do something else. */
  #goOn(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (this.#lookUps > 0) return
      if (this.#over.length > 0) this.#tellNext()
      else if (this.#open.length > 0 && this.#isIdle) void this.#suspend()
    })
  }

  /** Reports waits in the order in which they ended: the wait that won a race wins it in every attempt. */
  #tellNext(): void {
    const [next, ...rest] = this.#over.toSorted((a, b) => a.end.at - b.end.at)
    this.#over = rest
    next?.tell(next.end)
    this.#goOn()
  }

  get #isIdle(): boolean {
    const { signal, steps } = this.#options
    return !steps.isRunning && this.#held === 0 && this.#lookUps === 0 && !signal.aborted
  }

  async #suspend(): Promise<void> {
    const children = this.#open.flatMap(wait => wait.children ?? [])
    if (children.length > 0) await this.#lookAgain(children)
    const reading = this.#family
    const family = await reading?.catch(() => undefined)
    // Meanwhile something may have ended, or the handler may have begun something else, such as further children.
    const isKnown = family !== undefined && this.#family === reading
    const isOutdated = !isKnown && this.#open.some(wait => wait.children !== undefined)
    if (this.#over.length > 0 || this.#open.length === 0 || !this.#isIdle || isOutdated) return this.#goOn()
    this.#options.suspend(this.#open.map(wait => toRequest(wait, family)))
  }

  /** Children may have ended since they were waited for. */
  async #lookAgain(waits: readonly ChildrenWait[]): Promise<void> {
    this.#lookUps++
    this.#family = undefined
    for (const wait of waits) {
      if (await this.#isOver(wait)) this.#open = this.#open.filter(({ children }) => children !== wait)
    }
    this.#lookUps--
  }

  /** Whether the children have ended. If that cannot be read, the wait fails, which is an end as well. */
  async #isOver(wait: ChildrenWait): Promise<boolean> {
    try {
      const at = await this.#endOfChildren(wait)
      if (at !== undefined) this.#over = [...this.#over, { end: { at }, tell: wait.tell }]
      return at !== undefined
    } catch (error) {
      wait.fail(error)
      return true
    }
  }
}

/** A wait for children is over when at most this number of them are unfinished. */
function toRequest({ request, children }: OpenWait, family: Family | undefined): WaitRequest {
  if (children === undefined || family === undefined) return request
  const awaited = new Set(children.ids)
  const { unfinished, told } = family
  return { ...request, left: unfinished.filter(id => !awaited.has(id)).length, told }
}

function insideStep(name: string): Error {
  return new Error(`The wait "${name}" was called within a step. Call it beside the step: a step runs to its end.`)
}

function checkName(name: unknown): asserts name is string {
  if (isName(name)) return
  throw new TypeError('A wait needs a name of 1 to 200 characters, without NUL and halves of surrogate pairs.')
}

function checkEventName(name: unknown): asserts name is string {
  if (isEventName(name)) return
  throw new TypeError('An event needs a name of 1 to 64 letters, digits, "_", "." and "-", a letter or digit first.')
}

/** A new version of the handler may use a name for another kind of wait, which the recorded end does not fit. */
function checkKind({ kind, name }: WaitRequest, end: WaitEnd): void {
  const was = 'value' in end ? 'an event' : end.kind === 'time' ? 'a sleep' : undefined
  const is = kind === 'time' ? 'a sleep' : 'an event'
  if (was === undefined || was === is) return
  throw new Error(`The wait "${name}" was ${was} in an earlier attempt, and is ${is} now. Give it a new name.`)
}

function checkText(what: string, text: unknown, max: number): asserts text is string {
  if (typeof text === 'string' && text !== '' && text.length <= max) return
  throw new TypeError(`${what} must be a string of 1 to ${max} characters.`)
}

function msUntil(date: Date): number {
  const ms = date.getTime() - Date.now()
  if (Number.isNaN(ms) || ms > LONGEST_MS)
    throw new TypeError('job.sleep: the date must be valid, and within 10 years.')
  return Math.max(0, ms)
}

function timeoutOf(timeout: Duration | undefined): number | null {
  return timeout === undefined ? null : durationMs('timeout', timeout, { max: LONGEST_MS })
}

/** The schema as clients see it. What they send is validated with it before the handler continues. */
function writtenSchema(schema: unknown): Readonly<Record<string, unknown>> {
  const written = jsonSchemaOf(schema, 'input')
  if (written === undefined) {
    throw new TypeError('schema must be a JSON Schema, or a Standard Schema that can be written as one (Zod from 4.2).')
  }
  if (Buffer.byteLength(JSON.stringify(written)) > MAX_SCHEMA_BYTES) {
    throw new TypeError(`schema must have at most ${MAX_SCHEMA_BYTES / 1024} KiB as JSON.`)
  }
  return written
}
