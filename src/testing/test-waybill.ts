/**
 * A whole Waybill in memory with a clock that the test controls, for tests of applications: retries and delays take no
 * time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Attempt, Operation } from '../model/operation.ts'
import type { AnyOperationType, OperationInput, OperationOutput } from '../model/operation-type.ts'
import {
  BLOB_STORE,
  type Checks,
  checkOptions,
  LIST,
  OBJECT,
  OPERATION_TYPES,
  required,
  UNCHECKED,
} from '../model/options.ts'
import { ProblemError, problem } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import type { SubmitRequest } from '../model/submit-request.ts'
import { NEVER_DUE } from '../model/waits.ts'
import { SESSION_TYPE } from '../operator/internal-types.ts'
import { isTick, type ScheduleOptions } from '../schedules/schedules.ts'
import { awaitsChildren, awaitsEvent } from '../service/events.ts'
import { PAUSES } from '../stores/paused-types.ts'
import { sqliteStore } from '../stores/sqlite/sqlite.ts'
import { BROWSE_LIMIT, type LogLine, type Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { composeWaybill, type Waybill } from '../waybill.ts'
import type { Handlers } from '../worker/handlers.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

/** Options of {@link testWaybill}. */
export interface TestWaybillOptions {
  /** The operation types under test. */
  readonly operations: readonly AnyOperationType[]
  /** Their handlers, as values. They run on the event loop of the test. Default: nothing runs. */
  readonly handlers?: Handlers | undefined
  /** Where results that are not JSON are stored. Default: a handler that returns one fails. */
  readonly blobs?: BlobStore | undefined
  /** Timetables. Their ticks come when the test moves the clock. Default: none. */
  readonly schedules?: readonly ScheduleOptions[] | undefined
  /** The clock. Default: one that starts at the beginning of 2025. */
  readonly clock?: ManualClock | undefined
  /** Default: nothing is logged. */
  readonly logger?: Logger | undefined
}

const OPTIONS: Checks<TestWaybillOptions> = {
  operations: required(OPERATION_TYPES),
  handlers: UNCHECKED,
  blobs: BLOB_STORE,
  schedules: LIST,
  clock: OBJECT,
  logger: OBJECT,
}

/** Which calls of the store can be made to fail: those that a request or a worker makes. */
const STORE_CALLS = ['accept', 'read', 'claim', 'renew', 'change', 'appendNote', 'readPayload', 'list'] as const
export type StoreCall = (typeof STORE_CALLS)[number]

/** An operation that a test has submitted. */
export interface TestOperation<Output> {
  readonly id: string
  /** The record as it is now. */
  read(): Promise<Operation>
  /**
   * The output, once it has completed. This method does not wait: call {@link TestWaybill.drain} first.
   *
   * @throws {ProblemError} with the problem of an operation that failed or was canceled
   * @throws {Error} for one that has not ended
   */
  result(): Promise<Output>
  /** The attempts that have ended, the oldest first. */
  attempts(): Promise<readonly Attempt[]>
  /** What handlers have logged. */
  logs(): Promise<readonly LogLine[]>
  /** What its steps have recorded, by their names. */
  steps(): Promise<Readonly<Record<string, unknown>>>
  /**
   * Ends the running attempt as the death of its process would: it counts as lost, the operation is ready again, and
   * writes of the old handler are refused.
   *
   * @throws {Error} when no attempt runs
   */
  loseAttempt(): Promise<void>
  /** Cancels it, as its owner does. */
  cancel(): Promise<void>
}

/** What {@link testWaybill} gives. */
export interface TestWaybill extends AsyncDisposable {
  /** The composition, for a server: `fetchHandler(lab.waybill)`. */
  readonly waybill: Waybill
  readonly clock: ManualClock
  /** Submits an operation, as a POST does. */
  submit<Type extends AnyOperationType>(
    type: Type,
    input: OperationInput<Type>,
    options?: Omit<SubmitRequest, 'input' | 'text' | 'transaction'>,
  ): Promise<TestOperation<OperationOutput<Type>>>
  /**
   * Resolves when every operation has ended, or waits for an event, for children that do, or for its type to be
   * resumed. If an operation only waits for a time, such as the next attempt or the end of a sleep, it moves the clock
   * there. For the timeout of an event, or the tick of a schedule, move the clock yourself. It waits forever for a
   * handler that never ends.
   *
   * @throws {Error} when an operation has not ended and there are no handlers
   */
  drain(): Promise<void>
  /** Makes the next calls of the store fail, as when a database is unreachable. Default: one call. */
  failStore(call: StoreCall, times?: number): void
  /** Ends what runs, and frees everything. */
  close(): Promise<void>
}

const QUIET: Logger = { info: () => {}, warn: () => {}, error: () => {} }
/** A handler that hangs must not delay the end of the test. */
const WORKER = { run: 'inline', pollInterval: 10, shutdownTimeout: 0, gracePeriod: 50 } as const
/** Makes what the clock has passed, such as a deadline, take effect at once. */
const SWEEP_MS = 50

/**
 * Starts a Waybill in memory whose clock only the test moves.
 *
 * @throws {TypeError} for options that cannot be right; the message names them
 *
 * @example
 * import processor from './processor.ts'
 *
 * await using lab = await testWaybill({ operations: [orders], handlers: processor })
 * const order = await lab.submit(orders, { customer: 'Ada', items: [{ name: 'Tea', quantity: 4 }] })
 * await lab.drain()
 * console.log((await order.read()).status)
 */
export async function testWaybill(options: TestWaybillOptions): Promise<TestWaybill> {
  checkOptions('testWaybill()', options, OPTIONS)
  const lab = new InMemoryWaybill(options)
  await lab.start()
  return lab
}

/** When it goes on, or its deadline ends it. What waits for its children is never due: they are among the others. */
function dueAt(operation: Operation, now: number): number {
  const { status, runAt, deadline } = operation
  if (status === 'running') return now
  return Math.min(runAt ?? now, awaitsChildren(operation) ? NEVER_DUE : (deadline ?? NEVER_DUE))
}

class InMemoryWaybill implements TestWaybill {
  readonly waybill: Waybill
  readonly clock: ManualClock
  readonly #store: Store
  readonly #hasHandlers: boolean
  readonly #failures = new Map<string, number>()

  constructor({ operations, handlers, blobs, schedules, clock = manualClock(), logger = QUIET }: TestWaybillOptions) {
    this.clock = clock
    this.#store = sqliteStore({ path: ':memory:', clock: clock.now, monotonicClock: clock.monotonic })
    const worker = handlers === undefined ? undefined : { handlers, ...WORKER }
    this.#hasHandlers = worker !== undefined
    const store = this.#failing(this.#store)
    const options = { operations, store, worker, blobs, logger, schedules, sweepInterval: SWEEP_MS }
    this.waybill = composeWaybill(options, clock.now)
  }

  async start(): Promise<void> {
    await this.waybill.start()
  }

  async submit<Type extends AnyOperationType>(
    type: Type,
    input: OperationInput<Type>,
    options: Omit<SubmitRequest, 'input' | 'text' | 'transaction'> = {},
  ): Promise<TestOperation<OperationOutput<Type>>> {
    const { operation } = await this.waybill.operations.submit(type, { ...options, input })
    return this.#operation(operation.id, operation.owner)
  }

  async drain(): Promise<void> {
    for (;;) {
      const now = this.clock.now()
      const all = await this.#unfinished()
      const unfinished = all.filter(operation => !this.#waitsForTest(operation, all, now))
      if (unfinished.length === 0) return
      if (!this.#hasHandlers)
        throw new Error('Operations wait for a handler: give testWaybill() the option "handlers".')
      const next = Math.min(...unfinished.map(operation => dueAt(operation, now)))
      if (next > now && next < NEVER_DUE) this.clock.advanceTo(next)
      await sleep(1)
    }
  }

  failStore(call: StoreCall, times = 1): void {
    if (!STORE_CALLS.includes(call)) {
      throw new TypeError(`failStore(): the call is one of ${STORE_CALLS.join(', ')}, not ${JSON.stringify(call)}.`)
    }
    this.#failures.set(call, times)
  }

  async close(): Promise<void> {
    await this.waybill.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Those of one moment: between two looks, one could be pending, then running, and be missed by both. */
  async #unfinished(): Promise<readonly Operation[]> {
    const { operations } = await this.#store.browse({ limit: BROWSE_LIMIT })
    return operations.filter(({ status, type }) => !isFinal(status) && type !== PAUSES.name)
  }

  /**
   * Whether a time alone does not have it go on: an event has to come, a type to be resumed, or the clock to be moved to a
   * tick or to the end of a session.
   */
  #waitsForTest(operation: Operation, all: readonly Operation[], now: number): boolean {
    const { id, type, status, runAt } = operation
    if (status === 'pending' && this.waybill.operator.paused().has(type)) return true
    if ((runAt ?? 0) <= now) return false
    if (isTick(operation) || type === SESSION_TYPE || awaitsEvent(operation)) return true
    const children = awaitsChildren(operation) ? all.filter(({ parent }) => parent === id) : []
    return children.length > 0 && children.every(child => this.#waitsForTest(child, all, now))
  }

  #operation<Output>(id: string, owner: string): TestOperation<Output> {
    const { operations } = this.waybill
    const read = () => operations.find(id, owner)
    return {
      id,
      read,
      result: async () => {
        const operation = await read()
        if (!isFinal(operation.status)) throw new Error(`The operation is ${operation.status}: call drain() first.`)
        if (operation.status !== 'completed') throw new ProblemError(operation.error ?? problem('operation-failed'))
        const output = await operations.output(operation)
        return (typeof output === 'string' ? JSON.parse(output) : output) as Output
      },
      attempts: async () => (await read()).history,
      logs: () => operations.logs(id, owner),
      steps: async () =>
        Object.fromEntries(
          [...(await this.#store.steps(id))].map(([name, value]) => [name, JSON.parse(value) as unknown]),
        ),
      loseAttempt: async () => this.#loseAttempt(await read()),
      cancel: async () => void (await operations.cancel(id, owner)),
    }
  }

  async #loseAttempt({ id, status, attempt }: Operation): Promise<void> {
    if (status !== 'running') throw new Error(`The operation is ${status}: no attempt runs that could be lost.`)
    await this.#store.change(id, { kind: 'abandon', attempt, reason: 'A test has ended its process.' })
  }

  /** The store, with the failures that the test has asked for. */
  #failing(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name)
        if (typeof method !== 'function') return method
        return (...given: unknown[]) => {
          const left = this.#failures.get(String(name)) ?? 0
          if (left === 0) return method.apply(target, given) as unknown
          this.#failures.set(String(name), left - 1)
          return Promise.reject(new Error(`The store does not answer to ${String(name)}(): failStore() was called.`))
        }
      },
    })
  }
}
