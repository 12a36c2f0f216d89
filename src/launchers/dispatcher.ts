/**
 * The dispatcher: hands pending operations to a launcher, stops the executions of what was
 * canceled, and notices executions that are gone while their operation is not finished. It ignores executions of other
 * engines: its launcher cannot see them, so "not found" would not mean "gone".
 */

import { timerMs } from '../model/duration.ts'
import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { readRetryAfterMs } from '../model/problem.ts'
import type { Metrics } from '../observability/metrics.ts'
import { inSpan } from '../observability/tracing.ts'
import { listAllActive } from '../stores/list-all-active.ts'
import type { ActiveOperation, Hint, OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { TimeLimit } from '../util/time-limit.ts'
import { type Launcher, LaunchRefused } from './launcher.ts'
import { StartRefusals } from './start-refusals.ts'

/** What a {@link Dispatcher} is made of. Durations in milliseconds. */
export interface DispatcherSettings {
  readonly store: OperationStore & WorkQueue
  readonly launcher: Launcher
  readonly types: readonly AnyOperationType[]
  /** How long an execution may take from its start to its claim before another one is started. */
  readonly claimTimeoutMs: number
  /** The longest time between two polls of the queue when no hint comes. */
  readonly pollIntervalMs: number
  /** The time between two checks of the executions. */
  readonly reconcileIntervalMs: number
  /** How many executions of the launcher's engine there may be at once, over all processes. Default: any number. */
  readonly maxExecutions?: number | undefined
  readonly logger: Logger
  readonly metrics?: Metrics | undefined
}

/** How many starts run at once, unless the launcher sets it. */
const PARALLEL_STARTS = 8
/** How many executions are checked at once. */
const PARALLEL_LOOKS = 8
/** How long an engine may take for an answer, in milliseconds. */
const ENGINE_TIMEOUT_MS = 60_000
/** How long a refused start waits if the launcher does not give a time, in milliseconds. */
const REFUSED_MS = 1000

/** The outcome of a start. */
type Start =
  | { readonly kind: 'started'; readonly execution: string | undefined }
  | { readonly kind: 'refused'; readonly refusal: LaunchRefused }
  | { readonly kind: 'unknown'; readonly message: string }

export class Dispatcher {
  readonly #settings: DispatcherSettings
  readonly #names: ReadonlySet<string>
  readonly #timeouts: ReadonlyMap<string, number>
  readonly #dispatching: Loop
  readonly #reconciling: Loop
  readonly #limit = new TimeLimit(ENGINE_TIMEOUT_MS, 'The engine did not answer in time.')
  #unwatch: () => void = () => {}
  #unwatchEnds: () => void = () => {}
  /** Nothing is started before this time of the monotonic clock. */
  #pausedUntil = 0
  #pauseTimer: NodeJS.Timeout | undefined
  readonly #stopAsked = new Set<string>()
  /** The starts under way. */
  readonly #starts = new Set<Promise<void>>()
  #turn = 0
  /** How many ends of executions the launcher has reported. */
  #ends = 0
  /** Whether the limit of executions was reached at the last check. */
  #full = false
  readonly #refusals: StartRefusals
  #executions: ReadonlyMap<string, number> = new Map()
  /** Where the next check of the executions begins. */
  #nextLook = 0

  constructor(settings: DispatcherSettings) {
    this.#settings = settings
    this.#refusals = new StartRefusals(settings)
    this.#names = new Set(settings.types.map(type => type.name))
    this.#timeouts = new Map(settings.types.map(type => [type.name, type.policy.timeout]))
    const onError = (error: unknown, loop: string) =>
      settings.logger.warn({ err: error, loop }, `The dispatcher's ${loop} loop failed; continuing`)
    this.#dispatching = new Loop({
      name: 'dispatch',
      everyMs: settings.pollIntervalMs,
      turn: () => this.#dispatch(),
      onError,
    })
    this.#reconciling = new Loop({
      name: 'reconcile',
      everyMs: settings.reconcileIntervalMs,
      turn: () => this.#reconcile(),
      onError,
    })
  }

  /** Whether the engine has refused every start for a while. */
  get isBlocked(): boolean {
    return this.#refusals.lasting
  }

  /** How many executions its engine had at the last check, over all processes, for each operation type. */
  get executionsByType(): ReadonlyMap<string, number> {
    return this.#executions
  }

  get loops(): readonly Loop[] {
    return [this.#dispatching, this.#reconciling]
  }

  start(): void {
    this.#unwatch = this.#settings.store.watch(hint => this.#hinted(hint), { work: 'launches' })
    this.#unwatchEnds = this.#watchEnds()
    void this.#open()
    this.#dispatching.start()
    this.#reconciling.start()
  }

  /** Ends that the launcher reports are hints: without them, the regular checks find the ends. */
  #watchEnds(): () => void {
    const { launcher, logger } = this.#settings
    try {
      return launcher.watchEnds?.(() => this.#ended()) ?? (() => {})
    } catch (error) {
      logger.warn({ err: error }, 'The launcher cannot watch executions; polling instead')
      return () => {}
    }
  }

  async #open(): Promise<void> {
    const { launcher, logger } = this.#settings
    try {
      await launcher.open?.()
    } catch (error) {
      logger.warn({ err: error }, 'The launcher could not prepare; continuing without')
    }
  }

  /** Starts nothing more. Executions continue: they need no dispatcher to finish. */
  async stop(): Promise<void> {
    this.#unwatch()
    clearTimeout(this.#pauseTimer)
    await Promise.all([this.#dispatching.stop(), this.#reconciling.stop()])
    const { launcher, logger } = this.#settings
    try {
      // The launcher is closed first, so that starts which still wait for their turn end at once.
      this.#unwatchEnds()
      await launcher.close?.()
    } catch (error) {
      logger.warn({ err: error }, 'The launcher could not be closed')
    }
    await Promise.all(this.#starts)
  }

  #hinted(hint: Hint): void {
    if (hint.kind === 'unknown' || (hint.kind === 'ready' && this.#names.has(hint.type))) this.#dispatching.wake()
    if (hint.kind === 'ended' && this.#full) this.#dispatching.wake()
    if (hint.kind === 'cancel') void this.#stopCanceled(hint.id).catch(() => this.#reconciling.wake())
  }

  async #dispatch(): Promise<void> {
    this.#refusals.check()
    if (performance.now() < this.#pausedUntil) return
    const { store, launcher, claimTimeoutMs: holdMs } = this.#settings
    const parallel = (launcher.parallelStarts ?? PARALLEL_STARTS) - this.#starts.size
    if (parallel <= 0) return
    const limit = Math.min(parallel, await this.#room())
    if (limit <= 0) return
    for (const operation of await store.reserveForLaunch({ types: this.#inTurn(), limit, holdMs }))
      this.#begin(operation)
  }

  /**
   * How many more executions may be started. Processes that check at the same moment may each start some, so the limit
   * may be exceeded for a moment, by at most the starts that each process runs at once.
   */
  async #room(): Promise<number> {
    const { store, maxExecutions } = this.#settings
    if (maxExecutions === undefined) return Number.POSITIVE_INFINITY
    const active = await listAllActive(store)
    const executions = active.filter(operation => operation.execution !== null && this.#isOurs(operation)).length
    const room = maxExecutions - executions - this.#starts.size
    this.#full = room <= 0
    return room
  }

  /** A slow start does not delay the others. */
  #begin(operation: Operation): void {
    const start = this.#launch(operation)
      .catch(error =>
        this.#settings.logger.warn({ operation: operation.id, err: error }, 'Could not record the outcome of a start'),
      )
      .finally(() => {
        this.#starts.delete(start)
        this.#dispatching.wake()
      })
    this.#starts.add(start)
  }

  /** The types, with another one first each time, so that none starves. */
  #inTurn(): string[] {
    const names = [...this.#names]
    const first = this.#turn++ % names.length
    return [...names.slice(first), ...names.slice(0, first)]
  }

  async #launch(operation: Operation): Promise<void> {
    // Starts without an answer, and executions that hang before their claim, count too: their end cannot be seen.
    if (operation.launches > operation.maxLost + 1) return await this.#giveUp(operation)
    const ends = this.#ends
    const start = await this.#start(operation)
    this.#settings.metrics?.launched(operation.type, start.kind)
    if (start.kind === 'started') await this.#started(operation, start.execution)
    if (start.kind === 'refused') await this.#refused(operation, start.refusal)
    if (start.kind === 'unknown') this.#refusals.refused({ reason: 'unavailable', message: start.message })
    // This execution may be the one that ended: before its name was recorded, no check could find it.
    if (this.#ends !== ends) this.#reconciling.wake()
  }

  async #start({ id, type, traceparent, attempt, launches: launch }: Operation): Promise<Start> {
    const { launcher, logger } = this.#settings
    const subject = { operation: type, id, parent: traceparent ?? undefined }
    const request = { operationId: id, type, timeoutMs: this.#timeouts.get(type) ?? 0, attempt, launch }
    try {
      const execution = await inSpan('dispatch', subject, () => this.#limit.within(launcher.start(request)))
      return { kind: 'started', execution }
    } catch (error) {
      if (error instanceof LaunchRefused) {
        logger.info({ operation: id, reason: error.message }, 'Could not start an execution; will retry')
        return { kind: 'refused', refusal: error }
      }
      // The start may have been made: the operation stays held back until its execution claims it, or the time is up.
      logger.warn({ operation: id, err: error }, 'Could not tell whether an execution was started')
      return { kind: 'unknown', message: String(error) }
    }
  }

  async #started({ id, launches: launch }: Operation, execution: string | undefined): Promise<void> {
    const { store, logger, launcher } = this.#settings
    this.#refusals.started()
    logger.info({ operation: id, execution }, 'An execution was started')
    if (execution === undefined) return
    await store.change(id, { kind: 'launched', launch, execution, engine: launcher.engine })
  }

  async #refused({ id, type, launches: launch }: Operation, refusal: LaunchRefused): Promise<void> {
    this.#refusals.refused(refusal)
    this.#settings.metrics?.launchRefused(type, refusal.reason)
    const delayMs = readRetryAfterMs(refusal.retryAfterMs) ?? REFUSED_MS
    this.#pause(delayMs)
    await this.#settings.store.change(id, { kind: 'launch-refused', launch, delayMs })
  }

  async #giveUp({ id, attempt, launches }: Operation): Promise<void> {
    const reason = `${launches - 1} executions were started, and none has claimed it.`
    await this.#settings.store.change(id, { kind: 'abandon', attempt, reason })
    this.#settings.logger.error({ operation: id, reason }, 'Starting no more executions for an operation')
  }

  /**
   * A refusal concerns the engine and not the operation: nothing else is started either, until the time is up or an
   * execution ends.
   */
  #pause(ms: number): void {
    const now = performance.now()
    this.#pausedUntil = Math.max(this.#pausedUntil, now + ms)
    clearTimeout(this.#pauseTimer)
    this.#pauseTimer = setTimeout(() => this.#dispatching.wake(), timerMs(this.#pausedUntil - now)).unref()
  }

  #ended(): void {
    this.#ends++
    this.#pausedUntil = 0
    this.#reconciling.wake()
    this.#dispatching.wake()
  }

  async #stopCanceled(id: string): Promise<void> {
    const operation = await this.#settings.store.read(id)
    if (operation === undefined || operation.execution === null || !this.#isOurs(operation)) return
    const { status, launches, cancelRequested } = operation
    // An execution that has not claimed yet would find nothing to do, so it need not start at all.
    const useless = status === 'canceled' && launches > 0
    if (cancelRequested && (status === 'running' || useless)) await this.#stop(operation.execution)
  }

  /**
   * An execution without a recorded engine is from an older version, or has claimed by itself: it may be of this
   * engine.
   */
  #isOurs({ type, engine }: Pick<ActiveOperation, 'type' | 'engine'>): boolean {
    return this.#names.has(type) && (engine === null || engine === this.#settings.launcher.engine)
  }

  async #stop(execution: string): Promise<void> {
    if (this.#stopAsked.has(execution)) return
    this.#stopAsked.add(execution)
    try {
      await this.#limit.within(this.#settings.launcher.stop(execution))
    } catch (error) {
      this.#stopAsked.delete(execution)
      throw error
    }
  }

  async #reconcile(): Promise<void> {
    const active = (await listAllActive(this.#settings.store)).filter(operation => this.#isOurs(operation))
    this.#executions = this.#count(active)
    // Begins with another one each time, so that all are checked even if checks are slow or hang.
    const first = active.length === 0 ? 0 : this.#nextLook++ % active.length
    const inTurn = [...active.slice(first), ...active.slice(0, first)]
    for (let at = 0; at < inTurn.length; at += PARALLEL_LOOKS) {
      await Promise.all(inTurn.slice(at, at + PARALLEL_LOOKS).map(operation => this.#look(operation)))
    }
    const held = new Set(active.map(({ execution }) => execution))
    for (const execution of this.#stopAsked) if (!held.has(execution)) this.#stopAsked.delete(execution)
  }

  /** The count for each type that it dispatches, including zero. */
  #count(active: readonly ActiveOperation[]): ReadonlyMap<string, number> {
    const counts = new Map([...this.#names].map(name => [name, 0]))
    for (const { type, execution } of active) if (execution !== null) counts.set(type, (counts.get(type) ?? 0) + 1)
    return counts
  }

  /** An execution that cannot be checked does not hold up the others. */
  async #look(operation: ActiveOperation): Promise<void> {
    try {
      await this.#check(operation)
    } catch (error) {
      const { id, execution } = operation
      this.#settings.logger.warn(
        { operation: id, execution, err: error },
        'Could not find out what happened to an execution',
      )
    }
  }

  async #check({ id, attempt, cancelRequested, execution }: ActiveOperation): Promise<void> {
    if (execution === null) return
    const { store, launcher, logger } = this.#settings
    const state = await this.#limit.within(launcher.inspect(execution))
    if (state.kind === 'alive') {
      return cancelRequested ? await this.#stop(execution) : undefined
    }
    const changed = await store.change(id, { kind: 'abandon', attempt, execution, reason: state.reason })
    if (changed === undefined) return
    logger.warn(
      { operation: id, execution, reason: state.reason },
      'An execution is gone, but its operation has not finished',
    )
    this.#dispatching.wake()
  }
}
