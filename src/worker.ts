/**
 * The worker: claims pending operations for its free slots, has their handlers run, holds and
 * renews their leases, and records how each attempt ends.
 */
import { type Host, StopError, type StopReason, stopped } from './attempt.ts'
import { BlobKeeper } from './blob-keeper.ts'
import type { BlobStore } from './blob-store.ts'
import { bytesOf } from './bytes.ts'
import { Loop } from './loop.ts'
import { machineName } from './machine.ts'
import type { Media } from './media.ts'
import type { Metrics } from './metrics.ts'
import { type Change, type ClaimBy, countedAttempts, type Operation, type Outcome } from './operation.ts'
import { type AnyOperationType, backoffMs } from './operation-type.ts'
import { PacedTask } from './paced-task.ts'
import { problem } from './problem.ts'
import { ProgressWriter } from './progress.ts'
import { isFinal } from './protocol.ts'
import type { RunEnd, Runner } from './runner.ts'
import type { Claim, Hint, Lease, Store } from './store.ts'
import { TimeLimit } from './time-limit.ts'

/** What a worker tells of what its operator should see. `error` is for faults, `warn` for what mends itself. */
export interface Logger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Options of a {@link Worker}. Durations in milliseconds. */
export interface WorkerOptions {
  readonly store: Store
  readonly types: readonly AnyOperationType[]
  readonly runner: Runner
  /** Where results are kept that are no JSON. Without it, an operation with such a result fails. */
  readonly blobs?: BlobStore | undefined
  /** How many attempts run at once. */
  readonly concurrency: number
  readonly leaseMs: number
  /** How long handlers may go on after they were told to stop for a cancel or a timeout. */
  readonly graceMs: number
  /** How long a shutdown waits for handlers before it hands their operations back. */
  readonly shutdownMs: number
  /** The longest time between two looks at the queue when no hint comes. */
  readonly scanMs: number
  readonly logger: Logger
  readonly metrics?: Metrics
  /** What its loops are named after. Default `work`. */
  readonly name?: string
}

/** The name of this process as the holder of leases: its machine, its process id, and what tells two workers in it apart. */
export function holderName(): string {
  return `${machineName}/${process.pid}/${Math.random().toString(36).slice(2, 10)}`
}

interface Run {
  readonly lease: Lease
  readonly type: AnyOperationType
  readonly controller: AbortController
  /** Aborted when the run has ended, whatever it was still keeping. */
  readonly over: AbortController
  /** By the monotonic clock: until then the lease is certainly ours. */
  confirmedUntil: number
  /** Stops the attempt while the lease is still ours, should no renewal be confirmed until then. */
  guard: NodeJS.Timeout
  timeout: NodeJS.Timeout
  progress: ProgressWriter
  /** The handler has ended, so there is nothing left to stop. */
  ended: boolean
  /** The store has answered to the outcome, be it that it came too late. */
  recorded: boolean
}

/** What is recorded when a run has ended: the outcome of its attempt, or that the attempt was lost through no fault of its own. */
type Ending = Outcome | (RunEnd & { kind: 'lost' })

/** How often the worker looks for cancel requests of all its attempts at most, and for which share of the time. */
const LOOK_AT_ALL = { everyMs: 100, share: 0.02 }

/** How long a shutdown goes on trying to hand back what is not done, should the store not answer. */
const HAND_BACK_MS = 5000

export class Worker {
  readonly #options: WorkerOptions
  readonly #holder = holderName()
  readonly #types = new Map<string, AnyOperationType>()
  readonly #runs = new Map<string, Run>()
  readonly #ends = new Set<Promise<void>>()
  readonly #claiming: Loop
  readonly #renewing: Loop
  readonly #renewalLimit: TimeLimit
  readonly #keeper: BlobKeeper | undefined
  /** Hints that do not say what changed may be frequent, and renewals find cancel requests in any case. */
  readonly #lookAtAll = new PacedTask(() => this.#lookForCancels([...this.#runs.values()]), LOOK_AT_ALL)
  #unwatch: () => void = () => {}
  #stopping = false
  #slotsTaken = 0
  #claimScheduled = false
  readonly #takenByType = new Map<string, number>()
  #claimsMade = 0
  /** How many runs in a row had no process to run in; the claims pause after each, so that a broken start is no hot loop. */
  #unstarted = 0
  /** By the monotonic clock: until then outcomes are tried to be recorded. */
  #recordUntil = Number.POSITIVE_INFINITY
  #pausedUntil = 0

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#keeper = options.blobs && new BlobKeeper(options.blobs, options.store)
    const onError = (error: unknown, loop: string) =>
      options.logger.warn({ err: error, loop }, `The worker's ${loop} loop failed and goes on`)
    // What does not answer is asked again, while the lease still lasts.
    this.#renewalLimit = new TimeLimit(options.leaseMs / 3, 'The store did not answer to a renewal in time.')
    const name = options.name ?? 'work'
    this.#claiming = new Loop({ name: `${name}.claim`, everyMs: options.scanMs, turn: () => this.#claim(), onError })
    this.#renewing = new Loop({
      name: `${name}.renew`,
      everyMs: options.leaseMs / 3,
      turn: () => this.#renew(),
      onError,
    })
  }

  /** The loops, for health checks. */
  get loops(): readonly Loop[] {
    return [this.#claiming, this.#renewing]
  }

  /** How many attempts run now. */
  get running(): number {
    return this.#runs.size
  }

  /**
   * Makes the handlers ready and begins to claim.
   *
   * @throws when the handlers cannot be loaded, or serve none of the types
   */
  async start(): Promise<void> {
    await this.#load()
    if (this.#types.size === 0) {
      const names = this.#options.types.map(type => type.name).join(', ')
      throw new Error(`The worker has a handler for none of its operation types (${names}).`)
    }
    this.#unwatch = this.#options.store.watch(hint => this.#hinted(hint))
    this.#claiming.start()
    this.#renewing.start()
  }

  /**
   * Claims no more, tells handlers to stop, waits for them up to `shutdownMs`, and hands back what
   * is not done. Resolves when nothing of it runs any more.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#unwatch()
    this.#lookAtAll.stop()
    await this.#claiming.stop()
    for (const run of this.#runs.values()) run.controller.abort(new StopError('ShutdownError'))
    await Promise.race([this.#allEnded(), sleepUnref(this.#options.shutdownMs)])
    this.#recordUntil = performance.now() + HAND_BACK_MS
    const handedBack = [...this.#runs.values()].map(run => this.#record(run, { kind: 'released' }))
    await Promise.race([Promise.all(handedBack), sleepUnref(HAND_BACK_MS)])
    await this.#renewing.stop()
    await this.#options.runner.close()
    await Promise.race([this.#allEnded(), sleepUnref(HAND_BACK_MS)])
  }

  /**
   * Claims one operation by its id and runs it to its end. False where there is nothing to claim.
   *
   * @param execution the execution that this process is, as far as it knows
   * @throws when the outcome could not be recorded while the lease lasted
   */
  async runOnly(id: string, execution: Pick<ClaimBy, 'execution' | 'engine'>): Promise<boolean> {
    await this.#load()
    if (this.#stopping) return false
    this.#unwatch = this.#options.store.watch(hint => this.#hinted(hint))
    this.#renewing.start()
    const run = this.#claimOne(id, execution)
    this.#follow(run)
    return await run
  }

  async #load(): Promise<void> {
    const served = new Set(await this.#options.runner.start())
    for (const type of this.#options.types) if (served.has(type.name)) this.#types.set(type.name, type)
  }

  async #claimOne(id: string, execution: Pick<ClaimBy, 'execution' | 'engine'>): Promise<boolean> {
    const asked = performance.now()
    const [claim] = await this.#options.store.claim({ ...this.#claimBy, ...execution, from: { id } })
    if (claim === undefined) return false
    if (await this.#begin(claim, asked)) return true
    throw new Error(`The outcome of operation ${id} could not be recorded while its lease lasted.`)
  }

  get #claimBy(): { holder: string; leaseMs: number } {
    return { holder: this.#holder, leaseMs: this.#options.leaseMs }
  }

  #hinted(hint: Hint): void {
    if (hint.kind === 'ready' && this.#types.has(hint.type)) this.#claiming.wake()
    if (hint.kind === 'cancel') void this.#lookForCancels([this.#runs.get(hint.id)])
    if (hint.kind !== 'unknown') return
    this.#claiming.wake()
    this.#lookAtAll.request()
  }

  async #claim(): Promise<void> {
    const asked = performance.now()
    const limit = this.#options.concurrency - this.#slotsTaken
    const types = this.#room()
    if (limit <= 0 || types.length === 0 || asked < this.#pausedUntil) return
    const claims = await this.#options.store.claim({ ...this.#claimBy, execution: null, from: { types, limit } })
    for (const claim of claims) this.#follow(this.#begin(claim, asked))
    if (claims.length === 0) return
    this.#claimsMade++
    this.#claiming.wake()
  }

  /** The types with room under their own concurrency, after each claim another one first, so that none starves. */
  #room(): { type: string; limit: number }[] {
    const all = [...this.#types.values()].map(({ name, policy }) => {
      const most = policy.concurrency ?? this.#options.concurrency
      return { type: name, limit: most - (this.#takenByType.get(name) ?? 0) }
    })
    const first = this.#claimsMade % all.length
    return [...all.slice(first), ...all.slice(0, first)].filter(({ limit }) => limit > 0)
  }

  #follow(run: Promise<unknown>): void {
    const end: Promise<void> = run.then(
      () => {},
      () => {},
    )
    this.#ends.add(end)
    void end.then(() => this.#ends.delete(end))
  }

  async #allEnded(): Promise<void> {
    while (this.#ends.size > 0) await Promise.allSettled([...this.#ends])
  }

  /** Runs an attempt to its end. False when its outcome could not be recorded. */
  async #begin({ operation, input }: Claim, asked: number): Promise<boolean> {
    const type = this.#types.get(operation.type)
    if (type === undefined) return await this.#refuse(operation)
    const lease: Lease = { id: operation.id, attempt: operation.attempt }
    const controller = new AbortController()
    const run: Run = {
      lease,
      type,
      controller,
      over: new AbortController(),
      confirmedUntil: 0,
      guard: setTimeout(() => {}, 0),
      ended: false,
      recorded: false,
      timeout: setTimeout(() => controller.abort(new StopError('TimeoutError')), type.policy.timeout),
      progress: new ProgressWriter(progress =>
        this.#options.store.change(lease.id, { kind: 'progress', attempt: lease.attempt, progress }),
      ),
    }
    this.#confirm(run, asked)
    this.#runs.set(lease.id, run)
    this.#take(type.name, 1)
    // What was claimed while the shutdown began is handed back like the rest.
    if (this.#stopping) this.#stop(run, 'ShutdownError')
    const { id, attempt, traceparent } = operation
    // The attempt that runs now counts among the counted ones, and has not failed yet.
    const failedBefore = countedAttempts(operation) - 1
    const end = await this.#options.runner.run(
      { id, attempt, type: operation.type, failedBefore, input, traceparent },
      {
        host: this.#host(run),
        signal: controller.signal,
        graceMs: reason => (reason === 'ShutdownError' ? this.#options.shutdownMs : this.#options.graceMs),
        onError: error => this.#tell(run, error),
      },
    )
    run.ended = true
    if (this.#keeper !== undefined) run.over.abort(new StopError('LeaseLostError'))
    clearTimeout(run.timeout)
    run.progress.stop()
    this.#take(type.name, -1)
    this.#pauseIfUnstarted(end)
    // The slot is free before the outcome is durable, so that both are written by one transaction.
    this.#claimSoon()
    await this.#record(run, this.#ending(run, end, failedBefore))
    return run.recorded
  }

  /** After this turn of the event loop, so that one claim fills the slots of all attempts that have ended in it. */
  #claimSoon(): void {
    if (this.#claimScheduled) return
    this.#claimScheduled = true
    setImmediate(() => {
      this.#claimScheduled = false
      this.#claiming.wake()
    })
  }

  #pauseIfUnstarted(end: RunEnd): void {
    this.#unstarted = end.kind === 'unstarted' ? this.#unstarted + 1 : 0
    if (this.#unstarted > 0) this.#pausedUntil = performance.now() + Math.min(100 * 2 ** this.#unstarted, 5000)
  }

  #take(type: string, slots: 1 | -1): void {
    this.#slotsTaken += slots
    this.#takenByType.set(type, (this.#takenByType.get(type) ?? 0) + slots)
  }

  async #refuse(operation: Operation): Promise<boolean> {
    const outcome: Outcome = { kind: 'failed', problem: problem('no-handler', `It is named "${operation.type}".`) }
    await this.#options.store.change(operation.id, { kind: 'finish', attempt: operation.attempt, outcome })
    return true
  }

  #ending(run: Run, end: RunEnd, failedBefore: number): Ending {
    const delayMs = backoffMs(run.type.policy, failedBefore + 1)
    switch (end.kind) {
      case 'crashed':
        return run.controller.signal.aborted
          ? stopped(run.controller.signal.reason, delayMs)
          : { kind: 'retry', problem: problem('worker-lost', end.reason), delayMs }
      case 'lost':
        return run.controller.signal.aborted ? stopped(run.controller.signal.reason, delayMs) : end
      case 'ended':
        return stopped(run.controller.signal.reason, delayMs)
      case 'unstarted':
        this.#options.logger.error({ operation: run.lease.id, reason: end.reason }, 'A handler could not be started')
        return { kind: 'released' }
      default:
        return end
    }
  }

  /** Records the outcome; while the store cannot be reached, tries again for as long as the lease is ours. */
  async #record(run: Run, ending: Ending): Promise<void> {
    const { id, attempt } = run.lease
    if (this.#runs.get(id) !== run) return
    for (let failures = 0; ; failures++) {
      try {
        const after = await this.#options.store.change(id, changeOf(ending, attempt))
        run.recorded = true
        this.#settle(run, ending, after)
        if (after !== undefined) this.#measure(after, ending)
        if (after?.status === 'pending') this.#wakeIn(ending)
        if (after === undefined)
          this.#options.logger.warn(
            { operation: id, attempt },
            'An outcome came too late: the attempt had lost its lease',
          )
        break
      } catch (error) {
        this.#options.logger.warn({ operation: id, attempt, err: error }, 'An outcome could not be recorded yet')
        if (performance.now() > Math.min(run.confirmedUntil, this.#recordUntil)) break
        await sleepUnref(Math.min(50 * 2 ** failures, 5000) * (0.5 + Math.random() / 2))
      }
    }
    this.#keeper?.forget(run.lease)
    if (this.#runs.get(id) === run) this.#runs.delete(id)
    clearTimeout(run.guard)
  }

  /** The lease was given, or renewed, by an answer to what was asked at that time. */
  #confirm(run: Run, asked: number): void {
    const { leaseMs } = this.#options
    run.confirmedUntil = asked + leaseMs
    clearTimeout(run.guard)
    // A timer of its own: neither a backoff of the loop nor a store that never answers may make it late.
    const left = run.confirmedUntil - leaseMs / 10 - performance.now()
    run.guard = setTimeout(() => this.#stop(run, 'LeaseLostError'), Math.max(0, left)).unref()
  }

  /** Nothing hints when a delay ends: without a timer the next attempt would wait for the scan. */
  #wakeIn(ending: Ending): void {
    if (ending.kind === 'retry') setTimeout(() => this.#claiming.wake(), ending.delayMs + 1).unref()
  }

  #measure(after: Operation, { kind }: Ending): void {
    const { metrics } = this.#options
    const began = after.attemptStartedAt ?? after.updatedAt
    if (kind === 'lost') metrics?.lost(1)
    metrics?.ran(after.type, kind, after.updatedAt - began)
    if (after.attempt === 1) metrics?.waited(after.type, began - after.createdAt)
    if (isFinal(after.status)) metrics?.finished(after.type, after.status)
  }

  async #renew(): Promise<void> {
    const { leaseMs, store } = this.#options
    const runs = [...this.#runs.values()]
    if (runs.length === 0) return
    const asked = performance.now()
    const answer = store.renew(
      runs.map(({ lease }) => lease),
      leaseMs,
    )
    const renewals = await this.#renewalLimit.within(answer)
    renewals.forEach((renewal, index) => {
      const run = runs[index]
      if (run === undefined || this.#runs.get(run.lease.id) !== run) return
      if (renewal.kind === 'held') this.#confirm(run, asked)
      else this.#stop(run, 'LeaseLostError')
      if (renewal.kind === 'held' && renewal.cancelRequested) this.#stop(run, 'CanceledError')
    })
  }

  async #lookForCancels(runs: readonly (Run | undefined)[]): Promise<void> {
    for (const run of runs) {
      if (run === undefined || run.ended || run.controller.signal.aborted) continue
      const operation = await this.#options.store.read(run.lease.id).catch(() => undefined)
      if (operation?.cancelRequested) this.#stop(run, 'CanceledError')
    }
  }

  #stop(run: Run, reason: StopReason): void {
    if (!run.controller.signal.aborted) run.controller.abort(new StopError(reason))
  }

  #host(run: Run): Host {
    const { store } = this.#options
    const keeper = this.#keeper
    return {
      ...(keeper && {
        keep: ({ body, type, filename }: Media) => {
          const signal = AbortSignal.any([run.controller.signal, run.over.signal])
          return keeper.keep(run.lease, { bytes: bytesOf(body), type, ...(filename && { filename }) }, signal)
        },
      }),
      progress: progress => run.progress.write(progress),
      log: (level, message) => {
        store.note(run.lease, { kind: 'log', level, message }).catch((error: unknown) => this.#tell(run, error))
      },
      steps: () => store.steps(run.lease.id),
      recordStep: async (name, value) => {
        if (!(await store.note(run.lease, { kind: 'step', name, value }))) throw new StopError('LeaseLostError')
      },
    }
  }

  /** Nobody waits for it, but the shutdown. */
  #settle({ lease }: Run, ending: Ending, after: Operation | undefined): void {
    if (this.#keeper === undefined) return
    // A lost attempt has recorded no result either.
    const outcome: Outcome = ending.kind === 'lost' ? { kind: 'released' } : ending
    const settled = this.#keeper.settle(lease, outcome, after).catch((error: unknown) => {
      this.#options.logger.warn({ operation: lease.id, err: error }, 'What is left of a result goes with its operation')
    })
    this.#follow(settled)
  }

  #tell(run: Run, error: unknown): void {
    const { id, attempt } = run.lease
    this.#options.logger.error({ operation: id, attempt, err: error }, 'An attempt met an error')
  }
}

function changeOf(ending: Ending, attempt: number): Change {
  if (ending.kind === 'lost') return { kind: 'abandon', attempt, reason: ending.reason }
  return { kind: 'finish', attempt, outcome: ending }
}

function sleepUnref(ms: number): Promise<void> {
  return new Promise(resolve => void setTimeout(resolve, ms).unref())
}
