/**
 * Operations that are submitted by a timetable. Each tick is a delayed operation of an internal type, whose idempotency
 * key is the schedule and the time: any number of processes may submit it, and it exists once. It is claimed like any
 * other operation. It submits the next tick, and then the operation of the schedule, whose idempotency key is made in
 * the same way.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { Cron } from 'croner'
import { type Handler, handler, type Job } from '../model/handler.ts'
import { type AnyOperationType, defineOperation } from '../model/operation-type.ts'
import { type Checks, checkOptions, oneOf, required, STRING, UNCHECKED } from '../model/options.ts'
import { ProblemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { toSubmission } from '../model/submit-request.ts'
import type { Operations } from '../service/operations.ts'
import type { Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import type { Loop } from '../util/loop.ts'
import { internalWorker } from '../worker/internal-worker.ts'
import type { Worker } from '../worker/worker.ts'

/** One schedule; see {@link Schedules}. */
export interface ScheduleOptions {
  /** Lower-case letters, digits and `-`, a letter first, at most 50. It must stay the same as long as the schedule lives. */
  readonly name: string
  /** What is submitted: one of the operation types of the composition. */
  readonly operation: AnyOperationType
  /**
   * The timetable: five fields of cron (minute, hour, day of the month, month, day of the week), or six with seconds
   * first.
   */
  readonly cron: string
  /** The time zone of the fields, by its IANA name such as `Europe/Berlin`. Default `UTC`. */
  readonly timezone?: string | undefined
  /** The input, or a function that makes the input from the time of the tick. Default null. */
  readonly input?: string | number | boolean | object | null | ((tick: Date) => unknown) | undefined
  /** The owner of what is submitted. Default: the empty string. */
  readonly owner?: string | undefined
  /**
   * Which ticks are submitted late if no process ran at their time, or the schedule was paused: `none`, the `latest`
   * one, or `all` of them, at most the first 1,000. Default `latest`.
   */
  readonly catchUp?: 'none' | 'latest' | 'all' | undefined
  /** Whether a tick is skipped while an operation of an earlier one is unfinished: `skip`, or `allow`. Default `allow`. */
  readonly overlap?: 'allow' | 'skip' | undefined
}

const TICKS = 'schedule-'

/** Whether an operation is the tick of a schedule. */
export function isTick({ type }: { readonly type: string }): boolean {
  return type.startsWith(TICKS)
}

const NAME = /^[a-z][a-z0-9-]{0,49}$/
const OPTIONS: Checks<ScheduleOptions> = {
  name: required({
    expected: 'lower-case letters, digits and "-", a letter first, at most 50',
    test: name => typeof name === 'string' && NAME.test(name),
  }),
  operation: required(UNCHECKED),
  cron: required(STRING),
  timezone: STRING,
  input: UNCHECKED,
  owner: STRING,
  catchUp: oneOf('none', 'latest', 'all'),
  overlap: oneOf('allow', 'skip'),
}

/** What schedules work with. */
export interface SchedulesContext {
  /** Claims from it skip paused types. */
  readonly store: Store
  readonly operations: Operations
  readonly logger: Logger
  /** The store's clock as this process estimates it, in milliseconds since the epoch. */
  readonly now: () => number
}

interface Schedule extends ScheduleOptions {
  /** The operation type of its ticks. */
  readonly ticks: AnyOperationType
  readonly timetable: Cron
}

/** A tick that is late by more than this was missed. In milliseconds. */
const LATE_MS = 60_000
/** The shortest time between two ticks, in milliseconds. */
const SECOND = 1000
/** The most missed ticks that are submitted late. */
const MOST_MISSED = 1000

export class Schedules {
  readonly #context: SchedulesContext
  readonly #schedules: readonly Schedule[]
  readonly #worker: Worker

  /** @throws {TypeError} for a schedule that cannot be right; the message names it */
  constructor(options: readonly ScheduleOptions[], context: SchedulesContext) {
    this.#context = context
    this.#schedules = options.map(schedule => readSchedule(schedule, context.operations.types))
    const names = this.#schedules.map(({ name }) => name)
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) throw new TypeError(`schedules: two are named "${twice}".`)
    const { store, logger } = context
    const handlers = this.#schedules.map(schedule => this.#handler(schedule))
    this.#worker = internalWorker({ name: 'schedules', store, logger, handlers, concurrency: 8 })
  }

  /** The operation types of the ticks. An operator pauses and resumes a schedule by its type. */
  get types(): readonly AnyOperationType[] {
    return this.#schedules.map(({ ticks }) => ticks)
  }

  get loops(): readonly Loop[] {
    return this.#worker.loops
  }

  /** Submits the next tick of each schedule, unless another process has done so, and begins to work. */
  async start(): Promise<void> {
    await Promise.all(this.#schedules.map(schedule => this.#arm(schedule, this.#context.now())))
    await this.#worker.start()
  }

  async stop(): Promise<void> {
    await this.#worker.stop()
  }

  #handler(schedule: Schedule): Handler {
    return handler(schedule.ticks, async (input, job) => await this.#tick(schedule, Number(input), job))
  }

  async #tick(schedule: Schedule, at: number, job: Job): Promise<{ readonly submitted: number }> {
    const { store, now } = this.#context
    const begun = (await store.read(job.id))?.attemptStartedAt ?? now()
    // The next tick is submitted first: an error in this one must not end the schedule.
    await this.#arm(schedule, Math.max(at, begun))
    let submitted = 0
    for (const tick of await dueTicks(schedule, at, begun)) {
      if (await this.#submit(schedule, tick)) submitted++
    }
    return { submitted }
  }

  /** Submits the first tick after a time, as an operation that is due then. */
  async #arm({ name, ticks, timetable }: Schedule, after: number): Promise<void> {
    const at = nextAfter(timetable, after)
    if (at === Number.POSITIVE_INFINITY) return
    const delay = Math.max(0, at - this.#context.now())
    const key = keyOf(name, at)
    await this.#context.store.accept(toSubmission(ticks, { input: at, delay }, key))
  }

  /** False if the tick is skipped or was submitted before. */
  async #submit({ name, operation, input, owner = '', overlap }: Schedule, at: number): Promise<boolean> {
    const { operations } = this.#context
    if (overlap === 'skip' && (await this.#isUnfinished(operation, owner, name))) return false
    const value: unknown = isFunction(input) ? input(new Date(at)) : input
    try {
      const request = { input: value ?? null, owner, idempotencyKey: keyOf(name, at) }
      return !(await operations.submit(operation, request)).replayed
    } catch (error) {
      // The key was used with another input, such as one that holds the present time. So another process has submitted
      // the tick.
      if (error instanceof ProblemError && error.problem.code === 'idempotency-key-reused') return false
      throw error
    }
  }

  async #isUnfinished(type: AnyOperationType, owner: string, name: string): Promise<boolean> {
    const query = { type: type.name, owner, limit: 1000 }
    const found = await Promise.all([
      this.#context.store.list({ ...query, status: 'pending' }),
      this.#context.store.list({ ...query, status: 'running' }),
    ])
    const prefix = keyOf(name)
    return found.flat().some(({ status, idempotencyKey }) => !isFinal(status) && idempotencyKey?.startsWith(prefix))
  }
}

function isFunction(input: unknown): input is (tick: Date) => unknown {
  return typeof input === 'function'
}

/** The ticks to submit, from the one that was due until now. */
async function dueTicks(schedule: Schedule, armed: number, now: number): Promise<readonly number[]> {
  const { timetable, catchUp = 'latest' } = schedule
  // An earlier version of the program has submitted this tick by another timetable.
  if (nextAfter(timetable, armed - 1) !== armed) return []
  if (catchUp === 'all') return await allTicks(timetable, armed, now)
  const latest = latestTick(timetable, armed, now)
  return catchUp === 'latest' || now - latest < LATE_MS ? [latest] : []
}

/** The first ticks from one until a time. Each takes up to milliseconds to compute, so other work runs in between. */
async function allTicks(timetable: Cron, first: number, until: number): Promise<readonly number[]> {
  const ticks: number[] = []
  for (let tick = first; (tick <= until || tick === first) && ticks.length < MOST_MISSED; ) {
    ticks.push(tick)
    tick = nextAfter(timetable, tick)
    await turn()
  }
  return ticks
}

/** The last tick from one until a time. It is found by halving the time, since there may be millions in between. */
function latestTick(timetable: Cron, first: number, until: number): number {
  let [last, end] = [first, until]
  while (end - last > SECOND) {
    const middle = Math.floor((last + end) / 2)
    const tick = nextAfter(timetable, middle)
    if (tick <= until) last = tick
    else end = middle
  }
  const next = nextAfter(timetable, last)
  return next <= until ? next : last
}

function nextAfter(timetable: Cron, at: number): number {
  return timetable.nextRun(new Date(at))?.getTime() ?? Number.POSITIVE_INFINITY
}

function keyOf(name: string, at?: number): string {
  return `schedule:${name}:${at === undefined ? '' : new Date(at).toISOString()}`
}

function readSchedule(options: ScheduleOptions, types: ReadonlyMap<string, AnyOperationType>): Schedule {
  const where = `schedules: ${JSON.stringify(options?.name) ?? ''}`
  checkOptions(where, options, OPTIONS)
  const { name, operation, cron, timezone = 'UTC' } = options
  if (types.get(operation.name) !== operation) {
    throw new TypeError(`${where}: operation must be one of the operation types of "operations".`)
  }
  const ticks = defineOperation({ name: TICKS + name, attempts: 100, lostAttempts: 100, retention: '1d' })
  return { ...options, ticks, timetable: readCron(where, cron, timezone) }
}

function readCron(where: string, cron: string, timezone: string): Cron {
  try {
    const timetable = new Cron(cron, { timezone, paused: true })
    timetable.nextRun()
    return timetable
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`${where}: cron "${cron}" in the time zone "${timezone}" cannot be read. ${why}`, { cause })
  }
}
