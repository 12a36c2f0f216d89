/**
 * Puts the rooms together: a store, the operation types, and what runs the work, as one object to start, use and stop.
 * It has no HTTP of its own: `servers/` puts it on the wire.
 */
import { batchWorker } from './batches/batches.ts'
import type { BlobStore } from './blobs/blob-store.ts'
import { REFUSAL_REASONS } from './launchers/launcher.ts'
import {
  AUTOSCALE_OPTIONS,
  type AutoscaleOptions,
  makeAutoscaler,
  RENAMED_AUTOSCALE_OPTIONS,
} from './launchers/make-autoscaler.ts'
import {
  DISPATCHER_OPTIONS,
  type DispatcherOptions,
  makeDispatcher,
  RENAMED_DISPATCHER_OPTIONS,
} from './launchers/make-dispatcher.ts'
import { type Duration, durationMs, toMs } from './model/duration.ts'
import type { Operation } from './model/operation.ts'
import type { AnyOperationType } from './model/operation-type.ts'
import {
  BLOB_STORE,
  type Checks,
  checkOptions,
  duration,
  FUNCTION,
  integer,
  LIST,
  LOGGER,
  OBJECT,
  OPERATION_TYPES,
  type RenamedOptions,
  required,
  STORE,
} from './model/options.ts'
import { Metrics } from './observability/metrics.ts'
import type { Operator } from './operator/operator.ts'
import { StoreOperator } from './operator/store-operator.ts'
import { toView } from './operator/to-view.ts'
import type { OperationView } from './operator/views.ts'
import { type ScheduleOptions, Schedules } from './schedules/schedules.ts'
import { type DirectCalls, directCalls } from './service/direct.ts'
import { Operations } from './service/operations.ts'
import { observed, type StoreObserver } from './stores/observed.ts'
import { hooksObserver, type OperationHooks } from './stores/operation-hooks.ts'
import { PausedTypes } from './stores/paused-types.ts'
import type { Store } from './stores/store.ts'
import { withTimeout } from './stores/with-timeout.ts'
import { guardLogger, type Logger, stderrLogger } from './util/logger.ts'
import type { Loop } from './util/loop.ts'
import { runSteps, type StartStep, StartTimeoutError } from './util/start-steps.ts'
import { stayAlive } from './util/stay-alive.ts'
import { Webhooks } from './webhooks/webhooks.ts'
import type { WebhooksOptions } from './webhooks/webhooks-options.ts'
import { FamilyOutbox } from './worker/family-outbox.ts'
import { makeWorker, RENAMED_WORKER_OPTIONS, WORKER_OPTIONS, type WorkerOptions } from './worker/make-worker.ts'
import { Sweeper } from './worker/sweeper.ts'

export type { AutoscaleOptions, DispatcherOptions, WorkerOptions }

/** Options of {@link createWaybill}. */
export interface WaybillOptions {
  /** The operation types that it accepts, made by `defineOperation()`. */
  readonly operations: readonly AnyOperationType[]
  /** Where operations are stored. Opened by `start`, closed by `stop`. */
  readonly store: Store
  /**
   * Where results that are not JSON are stored, as long as their operations. Opened and closed with the store. Default:
   * an operation with such a result fails.
   */
  readonly blobs?: BlobStore | undefined
  /** Runs handlers in this process. Without it and without a dispatcher, other processes must run them. */
  readonly worker?: WorkerOptions | undefined
  /** Starts one execution for each operation on another engine. */
  readonly dispatcher?: DispatcherOptions | undefined
  /** Requests executions on another engine that drain the backlog. */
  readonly autoscale?: AutoscaleOptions | undefined
  /** Accepts webhooks from clients and delivers them from this process. Default: requests with a webhook are refused. */
  readonly webhooks?: WebhooksOptions | undefined
  /**
   * Submits operations by timetables, each tick once however many processes have the same schedule. An operator pauses a
   * schedule by its type `schedule-` and its name.
   */
  readonly schedules?: readonly ScheduleOptions[] | undefined
  /** Default: errors and warnings go to standard error as JSON lines. */
  readonly logger?: Logger | undefined
  /**
   * Called with each operation that this process accepts, except in a transaction of yours. All three hooks delay
   * nothing, and an error that they throw is logged. They are called only for what this process records, and a process
   * that dies may miss a call; webhooks miss none.
   */
  readonly onAccepted?: ((operation: OperationView) => unknown) | undefined
  /**
   * Called with each operation whose end this process records: completed, failed or canceled. This includes operations
   * that its sweeps end because they have passed a deadline or were lost too often.
   */
  readonly onFinished?: ((operation: OperationView) => unknown) | undefined
  /** Called with each operation whose failure this process records. */
  readonly onFailed?: ((operation: OperationView) => unknown) | undefined
  /** How long one call of the store may take, from 10 ms. Default 10 s. */
  readonly storeTimeout?: Duration | undefined
  /** How many requests may wait for a change at once, 0 to 1,000,000. Further ones are answered immediately. Default 10,000. */
  readonly maxWaitingRequests?: number | undefined
  /** The time between two sweeps, which end expired operations and delete old ones, from 50 ms. Default 5 s. */
  readonly sweepInterval?: Duration | undefined
}

/** Options of {@link Waybill.start}. */
export interface StartOptions {
  /** How long the start may take before it fails, from 1 ms; the error names what did not end. Default: no limit. */
  readonly timeout?: Duration | undefined
  /** How to raise the limit: the last sentence of that error. */
  readonly timeoutHint?: string | undefined
}

/** What the options of a composition must be. */
export const WAYBILL_OPTIONS: Checks<WaybillOptions> = {
  operations: required(OPERATION_TYPES),
  store: required(STORE),
  blobs: BLOB_STORE,
  worker: OBJECT,
  dispatcher: OBJECT,
  autoscale: OBJECT,
  webhooks: OBJECT,
  schedules: LIST,
  logger: LOGGER,
  onAccepted: FUNCTION,
  onFinished: FUNCTION,
  onFailed: FUNCTION,
  storeTimeout: duration({ min: 10 }),
  maxWaitingRequests: integer(0, 1_000_000),
  sweepInterval: duration({ min: 50 }),
}

export const RENAMED_WAYBILL_OPTIONS: RenamedOptions<WaybillOptions> = {
  waiters: 'maxWaitingRequests',
  sweep: 'sweepInterval',
  wakeup: 'autoscale',
}

/** What {@link createWaybill} makes. */
export interface Waybill extends DirectCalls {
  readonly operations: Operations
  /** Looks at the operations of all owners, and acts on them. */
  readonly operator: Operator
  readonly store: Store
  readonly logger: Logger
  readonly metrics: Metrics
  /** Checks webhook URLs, lists deliveries and redelivers; undefined without the option. */
  readonly webhooks: Webhooks | undefined
  /** Where results that are not JSON are stored; undefined without the option. */
  readonly blobs: BlobStore | undefined
  /**
   * Opens the store and starts the work. The process stays alive until `stop()`. When it fails, everything it started is
   * stopped again. A second call waits for the first one. A Waybill that was stopped does not start again.
   *
   * @throws what the store, the handlers or a launcher failed with, or an error named `StartTimeoutError`
   */
  start(options?: StartOptions): Promise<void>
  /**
   * Begins a shutdown: accepts and claims no more operations, stops handlers, and hands operations that they do not
   * finish in time back to the queue. The store stays open for requests in progress. Resolves when no work runs any more.
   */
  drain(): Promise<void>
  /** Drains, then closes the store. Call it when no request is in progress any more. */
  stop(): Promise<void>
  /** How many attempts run in this process now. */
  running(): number
  /** The names of background loops that hang, and `work.record` while the store refuses outcomes. Empty when all is well. */
  stalled(): readonly string[]
}

/**
 * Creates a Waybill from a store, operation types and, optionally, a worker, a dispatcher or webhooks. Nothing connects
 * until `start()`.
 *
 * @throws {TypeError} for an unknown or impossible option; the message names it
 * @example
 * const waybill = createWaybill({ operations: [orders], store, worker: { handlers: './processor.ts' } })
 * await waybill.start()
 * const { operation } = await waybill.operations.submit(orders, { input: { customer: 'Ada', items: [] } })
 * await waybill.stop()
 */
export function createWaybill(options: WaybillOptions): Waybill {
  return composeWaybill(options, Date.now)
}

/** The same with a clock, in milliseconds since the epoch: that of the store. */
export function composeWaybill(options: WaybillOptions, now: () => number): Waybill {
  checkWaybillOptions(options)
  const { operations: types, blobs } = options
  const logger = guardLogger(options.logger ?? stderrLogger)
  const timed = withTimeout(options.store, toMs(options.storeTimeout ?? '10s'))
  const declared = new Set(types.map(({ name }) => name))
  const families = new FamilyOutbox(logger)
  const hooks = hooksObserver(hooksOf(options), declared, error => {
    logger.error({ err: error }, 'A hook of the composition failed')
  })
  const counts = countsObserver(declared, () => metrics)
  const store = observed(timed, hooks === undefined ? [families, counts] : [families, counts, hooks])
  const metrics = new Metrics(
    {
      queues: () => operations.queues(),
      waiting: () => operations.waiting,
      running: () => worker?.runningByType ?? new Map(),
      executions: () => dispatcher?.executionsByType ?? new Map(),
      paused: () => new Map(types.map(({ name }) => [name, pauses.types.has(name)])),
    },
    types.map(({ name }) => name),
    options.dispatcher && REFUSAL_REASONS,
  )
  const pauses = new PausedTypes(store, (error, loop) => {
    logger.warn({ err: error, loop }, 'Could not read the paused operation types; will retry')
  })
  const whyWaiting = (type: string) => {
    if (pauses.types.has(type)) return 'Its operation type is paused.'
    if (dispatcher?.isBlocked) return 'No execution can be started at present; Waybill keeps trying.'
    return undefined
  }
  const operations = new Operations({
    store,
    types,
    blobs,
    metrics,
    maxWaitingRequests: options.maxWaitingRequests ?? 10_000,
    whyWaiting,
  })
  const [batchTypes, ownTypes] = [types.filter(isBatch), types.filter(type => !isBatch(type))]
  const shared = { store: pauses.without(store), types: ownTypes, blobs, logger, metrics }
  const worker = options.worker && makeWorker(options.worker, shared)
  const dispatcher = options.dispatcher && makeDispatcher(options.dispatcher, shared)
  const autoscaler = options.autoscale && makeAutoscaler(options.autoscale, shared)
  const sweeper = new Sweeper({ store, blobs, logger, metrics, everyMs: toMs(options.sweepInterval ?? '5s') })
  const webhooks = options.webhooks && new Webhooks(options.webhooks, { store, operations, logger })
  const schedules =
    options.schedules && new Schedules(options.schedules, { store: shared.store, operations, logger, now })
  const batches = batchTypes.length === 0 ? undefined : batchWorker(batchTypes, types, shared)
  const scheduled = schedules?.types ?? []
  const operator = new StoreOperator({ store, operations, webhooks, logger, pauses, schedules: scheduled })
  const parts = present([
    ['the sweeper', sweeper],
    ['the reports of children', families],
    ['the paused types', pauses],
    ['the handlers to load', worker],
    ['the dispatcher', dispatcher],
    ['the autoscaler', autoscaler],
    ['the webhooks', webhooks],
    ['the operator', operator],
    ['the schedules', schedules],
    ['the batches', batches],
  ])
  return {
    ...directCalls(operations),
    operations,
    operator,
    store,
    logger,
    metrics,
    webhooks,
    blobs,
    ...lifeOf({ store, blobs, operations, parts }),
    running: () => worker?.running ?? 0,
    stalled: () => {
      const loops = parts.flatMap(({ part }) => part.loops)
      return [...loops.flatMap(loop => (loop.healthy ? [] : [loop.name])), ...(worker?.stuck ?? [])]
    },
  }
}

/** What works in the background from the start of a composition to its end. */
interface BackgroundPart {
  readonly loops: readonly Loop[]
  start(store: Store): unknown
  stop(): Promise<void>
}

/** The parts of the composition in the order of their start, each with the words for what the start waits for. */
function present(all: readonly (readonly [awaits: string, part: BackgroundPart | undefined])[]) {
  return all.flatMap(([awaits, part]) => (part === undefined ? [] : [{ awaits, part }]))
}

interface Living {
  readonly store: Store
  readonly blobs: BlobStore | undefined
  readonly operations: Operations
  readonly parts: ReturnType<typeof present>
}

/** How a composition starts, drains and stops. */
function lifeOf({ store, blobs, operations, parts }: Living): Pick<Waybill, 'start' | 'drain' | 'stop'> {
  let drained: Promise<void> | undefined
  const stopWork = async () => {
    operations.drain()
    await Promise.all(parts.map(({ part }) => part.stop()))
  }
  const drain = () => {
    drained ??= stopWork()
    return drained
  }
  let started: Promise<void> | undefined
  let release = () => {}
  const stop = async () => {
    try {
      await drain()
      await Promise.all([store.close(), blobs?.close?.()])
    } finally {
      release()
    }
  }
  const begin = async ({ timeout, timeoutHint }: StartOptions) => {
    const timeoutMs = timeout === undefined ? undefined : durationMs('timeout', timeout, { min: 1 })
    const steps: readonly StartStep[] = [
      { awaits: 'the store to open', run: () => store.open() },
      { awaits: 'the blob store to open', run: () => blobs?.open?.() },
      ...parts.map(({ awaits, part }) => ({ awaits, run: () => part.start(store) })),
    ]
    // The timers of the parts hold nothing: a process that only works would end as soon as it waits for work.
    release = stayAlive()
    try {
      await runSteps(steps, () => drained !== undefined, { timeoutMs, timeoutHint })
    } catch (error) {
      // Also where a stop came meanwhile: a part may have begun its work after it was stopped.
      drained = stopWork()
      const stopped = stop()
      // A part that hung at the start may also hang at the stop.
      if (error instanceof StartTimeoutError) {
        release()
        stopped.catch(() => {})
      } else await stopped
      throw error
    }
  }
  const start: Waybill['start'] = async (options = {}) => {
    if (drained !== undefined) throw new Error('Waybill was stopped. Create another one to start again.')
    started ??= begin(options)
    await started
  }
  return { start, drain, stop }
}

function checkWaybillOptions(options: WaybillOptions): void {
  checkOptions('createWaybill()', options, WAYBILL_OPTIONS, RENAMED_WAYBILL_OPTIONS)
  const { worker, dispatcher, autoscale } = options
  if (worker !== undefined) checkOptions('worker', worker, WORKER_OPTIONS, RENAMED_WORKER_OPTIONS)
  if (dispatcher !== undefined) checkOptions('dispatcher', dispatcher, DISPATCHER_OPTIONS, RENAMED_DISPATCHER_OPTIONS)
  if (autoscale !== undefined) checkOptions('autoscale', autoscale, AUTOSCALE_OPTIONS, RENAMED_AUTOSCALE_OPTIONS)
}

/** Counts what is accepted and what ends, of the declared types. */
function countsObserver(declared: ReadonlySet<string>, metrics: () => Metrics): StoreObserver {
  return {
    accepted: ({ type }) => {
      if (declared.has(type)) metrics().accepted(type)
    },
    ended: ({ type, status }) => {
      if (declared.has(type)) metrics().finished(type, status)
    },
  }
}

/** Hooks get the same view of an operation as operators. */
function hooksOf({ onAccepted, onFinished, onFailed }: WaybillOptions): OperationHooks {
  const viewed = (hook: ((operation: OperationView) => unknown) | undefined) =>
    hook && ((operation: Operation) => hook(toView(operation)))
  return { onAccepted: viewed(onAccepted), onFinished: viewed(onFinished), onFailed: viewed(onFailed) }
}

/** The composition itself runs the operations of this type. */
function isBatch({ batchOf }: AnyOperationType): boolean {
  return batchOf !== undefined
}
