/**
 * The worker: claims pending operations for its free slots, has their handlers run, renews their leases, and records
 * how each attempt ends.
 */
import type { BlobStore } from '../blobs/blob-store.ts'
import { fingerprint } from '../model/json.ts'
import {
  type Attempt,
  type Change,
  type ClaimBy,
  countedAttempts,
  type Operation,
  type Outcome,
} from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problem } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { NEVER_DUE } from '../model/waits.ts'
import type { Metrics } from '../observability/metrics.ts'
import { SharedLook } from '../stores/shared-look.ts'
import type { Claim, Hint, OperationStore, WorkQueue } from '../stores/store.ts'
import { Followed } from '../util/followed.ts'
import { hostId } from '../util/host-id.ts'
import { IdMap } from '../util/id-map.ts'
import { guardLogger, type Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { PacedTask } from '../util/paced-task.ts'
import { sleepUnref } from '../util/sleep.ts'
import { TimeLimit } from '../util/time-limit.ts'
import { logEnd } from './attempt-ends.ts'
import { cancelIfOrphan } from './family.ts'
import { ResultBlobs } from './result-blobs.ts'
import type { Runner, RunResult, Task } from './runners/runner.ts'
import { type AttemptSettings, type Recorded, RunningAttempt } from './running-attempt.ts'
import { Slots } from './slots.ts'
import { WakeUps } from './wake-ups.ts'

/** What a {@link Worker} is made of. Durations in milliseconds. */
export interface WorkerSettings {
  readonly store: OperationStore & WorkQueue
  readonly types: readonly AnyOperationType[]
  readonly runner: Runner
  /** Where results that are not JSON are stored. Without it, an operation with such a result fails. */
  readonly blobs?: BlobStore | undefined
  /** How many attempts run at once. */
  readonly concurrency: number
  readonly leaseMs: number
  /** How long handlers may go on after they were told to stop for a cancel or a timeout. */
  readonly graceMs: number
  /** How long a shutdown waits for handlers before it hands their operations back. */
  readonly shutdownMs: number
  /** The longest time between two polls of the queue when no hint comes. */
  readonly pollIntervalMs: number
  readonly logger: Logger
  readonly metrics?: Metrics | undefined
  /** What its loops are named after. Default `work`. */
  readonly name?: string
  /** Where clients reach the API, for the URLs that handlers hand out. */
  readonly publicUrl?: string | undefined
  /** Whether it logs how each attempt ends. Default true. */
  readonly logEnds?: boolean
  /** Whether nearly all that it runs is submitted by its own process: it needs no hints of others. Default false. */
  readonly isOwn?: boolean
}

/** The name of a worker as the holder of leases: its machine, its process id, and a part that is its own. */
export function holderName(): string {
  return `${hostId}/${process.pid}/${Math.random().toString(36).slice(2, 10)}`
}

/** The shortest time between two checks for cancel requests, and the largest share of the time that they may take. */
const LOOK_AT_ALL = { everyMs: 100, share: 0.02 }
/** How long a shutdown keeps trying to hand back unfinished operations while the store does not answer. */
const HAND_BACK_MS = 5000
const NO_LOG: Logger = { info: () => {}, warn: () => {}, error: () => {} }

export class Worker {
  readonly #settings: WorkerSettings
  readonly #holder = holderName()
  readonly #types = new Map<string, AnyOperationType>()
  readonly #logger: Logger
  readonly #attempt: AttemptSettings
  readonly #runs = new IdMap<RunningAttempt>()
  readonly #followed = new Followed()
  readonly #claiming: Loop
  readonly #look: SharedLook
  /** The types that it claims. Workers of the same types claim from the same operations. */
  #lookedFor = ''
  readonly #renewing: Loop
  readonly #renewalLimit: TimeLimit
  readonly #blobs: ResultBlobs | undefined
  readonly #slots: Slots
  /** Hints that do not say what changed may be frequent, and renewals find cancel requests anyway. */
  readonly #lookAtAll = new PacedTask(() => this.#lookForCancels(this.#runs.values()), LOOK_AT_ALL)
  readonly #wakeUps = new WakeUps(() => this.#claiming.wake())
  #unwatch: () => void = () => {}
  #stopping = false
  #claimScheduled = false
  /** Whether the last claim took everything that was ready. If so, a free slot does not start a claim. */
  #hasEmptied = false
  readonly #takenByType = new Map<string, number>()
  #claimsMade = 0

  constructor(settings: WorkerSettings) {
    this.#settings = settings
    this.#logger = guardLogger(settings.logger)
    this.#blobs = settings.blobs && new ResultBlobs(settings.blobs, settings.store)
    this.#attempt = { ...settings, logger: this.#logger, blobs: this.#blobs }
    // A runner with limits of its own, such as a number of processes, is given no more than it can run at once.
    const ahead = settings.runner.room === undefined
    this.#slots = new Slots({ count: settings.concurrency, ahead, isRemote: settings.store.isRemote })
    const onError = (error: unknown, loop: string) =>
      this.#logger.warn({ err: error, loop }, `The worker's ${loop} loop failed; continuing`)
    // A renewal without an answer is repeated while the lease lasts.
    this.#renewalLimit = new TimeLimit(settings.leaseMs / 3, 'The store did not answer a renewal in time.')
    const name = settings.name ?? 'work'
    this.#claiming = new Loop({
      name: `${name}.claim`,
      everyMs: settings.pollIntervalMs,
      turn: () => this.#claim(),
      onError,
    })
    this.#look = new SharedLook(settings.store, this.#claiming)
    this.#renewing = new Loop({
      name: `${name}.renew`,
      everyMs: settings.leaseMs / 3,
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

  /** What an operator should know besides the state of the loops: outcomes that the store refuses. */
  get stuck(): readonly string[] {
    const isStuck = this.#runs.values().some(run => run.isStuck)
    return isStuck ? [`${this.#settings.name ?? 'work'}.record`] : []
  }

  /** The same by operation type. */
  get runningByType(): ReadonlyMap<string, number> {
    return this.#takenByType
  }

  /**
   * Makes the handlers ready and begins to claim.
   *
   * @throws when the handlers cannot be loaded, or serve none of the types
   */
  async start(): Promise<void> {
    await this.#load()
    if (this.#stopping) return
    if (this.#types.size === 0) {
      const names = this.#settings.types.map(type => type.name).join(', ')
      throw new Error(`The worker has a handler for none of its operation types (${names}).`)
    }
    const need = this.#settings.isOwn ? 'rarely' : { work: this.#lookedFor, holder: this.#holder }
    this.#unwatch = this.#settings.store.watch(hint => this.#hinted(hint), need)
    this.#look.start()
    this.#claiming.start()
    this.#renewing.start()
  }

  /**
   * Stops claiming, tells handlers to stop, waits for them up to `shutdownMs`, and hands back what is unfinished.
   * Resolves when nothing runs any more.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#unwatch()
    this.#look.stop()
    this.#lookAtAll.stop()
    this.#wakeUps.stop()
    await this.#claiming.stop()
    for (const run of this.#runs.values()) run.stop('ShutdownError')
    this.#slots.close()
    await Promise.race([this.#followed.ended(), sleepUnref(this.#settings.shutdownMs)])
    const until = performance.now() + HAND_BACK_MS
    const handedBack = this.#runs.values().map(run => {
      run.recordUntil(until)
      return this.#record(run, { kind: 'finish', attempt: run.lease.attempt, outcome: { kind: 'released' } })
    })
    await Promise.race([Promise.all(handedBack), sleepUnref(HAND_BACK_MS)])
    await this.#renewing.stop()
    await this.#settings.runner.close()
    await Promise.race([this.#followed.ended(), sleepUnref(HAND_BACK_MS)])
  }

  /**
   * Claims one operation by its id and runs it to its end. False if there is nothing to claim.
   *
   * @param execution the execution that this process is, as far as it knows
   * @throws when the outcome could not be recorded while the lease lasted
   */
  async runOnly(id: string, execution: Pick<ClaimBy, 'execution' | 'engine'>): Promise<boolean> {
    await this.#load()
    if (this.#stopping) return false
    this.#unwatch = this.#settings.store.watch(hint => this.#hinted(hint), { work: 'cancels' })
    this.#renewing.start()
    const run = this.#claimOne(id, execution)
    this.#followed.add(run)
    return await run
  }

  async #load(): Promise<void> {
    const served = new Set(await this.#settings.runner.start(() => this.#claiming.wake()))
    for (const type of this.#settings.types) {
      if (!served.has(type.name)) continue
      this.#types.set(type.name, type)
      this.#takenByType.set(type.name, 0)
    }
    this.#lookedFor = `claims ${fingerprint([...this.#types.keys()].sort())}`
  }

  async #claimOne(id: string, execution: Pick<ClaimBy, 'execution' | 'engine'>): Promise<boolean> {
    const asked = performance.now()
    const [claim] = await this.#settings.store.claim({ ...this.#claimBy, ...execution, from: { id } })
    if (claim === undefined) return false
    if (await this.#begin(claim, asked)) return true
    throw new Error(`The outcome of operation ${id} could not be recorded while its lease lasted.`)
  }

  get #claimBy(): { holder: string; leaseMs: number } {
    return { holder: this.#holder, leaseMs: this.#settings.leaseMs }
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
    const { room } = this.#slots
    const limit = Math.min(room, this.#settings.runner.room?.() ?? room)
    const types = this.#room()
    // Operations without a slot are claimed when the next slot is free.
    this.#hasEmptied = false
    if (limit <= 0 || types.length === 0) return
    const claims = await this.#settings.store.claim({ ...this.#claimBy, execution: null, from: { types, limit } })
    const isFull = claims.length === limit || types.some(it => countOf(it.type, claims) === it.limit)
    this.#hasEmptied = !isFull && types.length === this.#types.size
    this.#slots.noteClaim(asked, isFull)
    const foundNothing = claims.length === 0 && this.#hasEmptied
    this.#look.looked(this.#lookedFor, { foundNothing, isUrgent: !this.#settings.isOwn })
    for (const claim of inTurn(claims)) this.#followed.add(this.#begin(claim, asked))
    if (claims.length > 0) this.#claimsMade++
    if (isFull) this.#claiming.wake()
  }

  /** The types below their own concurrency limit. After each claim another one comes first, so that none starves. */
  #room(): { type: string; limit: number }[] {
    const { free, room } = this.#slots
    const share = Math.max(free, Math.ceil(room / this.#types.size))
    const all = [...this.#types.values()].map(({ name, policy: { concurrency } }) => {
      const limit = concurrency === undefined ? share : concurrency - (this.#takenByType.get(name) ?? 0)
      return { type: name, limit }
    })
    const first = this.#claimsMade % all.length
    return [...all.slice(first), ...all.slice(0, first)].filter(({ limit }) => limit > 0)
  }

  /** Runs an attempt to its end. False when its outcome could not be recorded. */
  async #begin({ operation, input }: Claim, asked: number): Promise<boolean> {
    const { id, attempt, traceparent } = operation
    const type = this.#types.get(operation.type)
    if (type === undefined) return await this.#refuse(operation)
    const run = new RunningAttempt({ id, attempt }, type, asked, this.#attempt)
    this.#runs.set(id, run)
    this.#followed.add(cancelIfOrphan(this.#settings.store, operation))
    // Operations that were claimed while the shutdown began are handed back like the rest.
    if (this.#stopping) run.stop('ShutdownError')
    // The attempt that runs now counts among the counted ones, and has not failed yet.
    const failedBefore = countedAttempts(operation) - 1
    const { owner, waits, deadline, attemptStartedAt } = operation
    const claimedAt = attemptStartedAt ?? operation.updatedAt
    const { publicUrl = null } = this.#settings
    const known = { id, attempt, type: operation.type, owner, failedBefore, claimedAt, deadline, waits, traceparent }
    const task = { ...known, isRetry: operation.retryOf !== null, publicUrl, input }
    const end = await this.#inSlot(run, task)
    return await this.#record(run, run.changeOf(end, failedBefore))
  }

  async #inSlot(run: RunningAttempt, task: Task): Promise<RunResult> {
    this.#take(run.type.name, 1)
    if (!(await this.#slots.enter())) {
      this.#take(run.type.name, -1)
      return { kind: 'released' }
    }
    try {
      const end = await run.run(this.#settings.runner, task)
      if (end.kind === 'unstarted') {
        this.#logger.warn(
          { operation: task.id, reason: end.reason },
          'A handler was not started; its operation is handed back',
        )
      }
      return end
    } finally {
      this.#take(run.type.name, -1)
      this.#slots.leave()
      // The slot is free before the outcome is durable, so that both are written by one transaction.
      this.#claimSoon()
    }
  }

  /** After this turn of the event loop, so that one claim fills the slots of all attempts that have ended in it. */
  #claimSoon(): void {
    if (this.#claimScheduled || this.#hasEmptied) return
    this.#claimScheduled = true
    setImmediate(() => {
      this.#claimScheduled = false
      this.#claiming.wake()
    })
  }

  #take(type: string, slots: 1 | -1): void {
    this.#takenByType.set(type, (this.#takenByType.get(type) ?? 0) + slots)
  }

  async #refuse(operation: Operation): Promise<boolean> {
    const outcome: Outcome = { kind: 'failed', problem: problem('no-handler', `It is named "${operation.type}".`) }
    await this.#settings.store.change(operation.id, { kind: 'finish', attempt: operation.attempt, outcome })
    return true
  }

  /** Records the end of an attempt. False when it could not be recorded. */
  async #record(run: RunningAttempt, change: Change): Promise<boolean> {
    const { id } = run.lease
    const wasRecording = run.isRecording
    const recorded = await run.record(change)
    if (this.#runs.get(id) === run) this.#runs.delete(id)
    if (!wasRecording) this.#ended(run, change, recorded)
    return recorded.kind !== 'unrecorded'
  }

  /** What follows when the end of an attempt is recorded, or never can be. */
  #ended(run: RunningAttempt, asked: Change, recorded: Recorded): void {
    if (recorded.kind === 'unrecorded') {
      this.#blobs?.release(run.lease)
      this.#logger.error({ operation: run.lease.id, attempt: run.lease.attempt }, 'Could not record an outcome')
      return
    }
    const change = recorded.kind === 'recorded' ? recorded.change : asked
    const outcome: Outcome = change.kind === 'finish' ? change.outcome : { kind: 'released' }
    this.#cleanUpBlobs(run, outcome, recorded.kind === 'recorded' ? recorded.operation : undefined)
    const ended = logEnd(this.#settings.logEnds === false ? NO_LOG : this.#logger, run, outcome, recorded)
    if (recorded.kind !== 'recorded') return
    this.#measure(recorded.operation, ended, outcome)
    if (recorded.operation.status === 'pending') this.#wakeFor(recorded.operation)
  }

  /** Nothing hints when a delay or a sleep ends: the next attempt would wait for the next poll. */
  #wakeFor({ runAt, updatedAt }: Operation): void {
    if (runAt !== null && runAt !== NEVER_DUE) this.#wakeUps.add(runAt - updatedAt)
  }

  #measure(after: Operation, attempt: Attempt | undefined, { kind }: Outcome): void {
    const { metrics } = this.#settings
    if (metrics === undefined || attempt === undefined) return
    try {
      if (attempt.outcome === 'lost') metrics.lost(1)
      const isRetried = kind === 'retry' && !isFinal(after.status)
      if (isRetried) metrics.retried(after.type)
      metrics.ran(after.type, isRetried ? 'retry' : attempt.outcome, attempt.finishedAt - attempt.startedAt)
      if (attempt.number === 1) metrics.waited(after.type, attempt.startedAt - after.createdAt)
    } catch (error) {
      this.#logger.warn({ operation: after.id, err: error }, 'Could not count an attempt in the metrics')
    }
  }

  async #renew(): Promise<void> {
    const { leaseMs, store } = this.#settings
    const runs = this.#runs.values()
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
      if (renewal.kind === 'held') run.confirm(asked)
      if (renewal.kind === 'lost') run.stop('LeaseLostError')
      if (renewal.kind === 'held' && renewal.cancelRequested) run.stop('CanceledError')
    })
  }

  async #lookForCancels(runs: readonly (RunningAttempt | undefined)[]): Promise<void> {
    for (const run of runs) {
      if (!run?.canStop) continue
      const operation = await this.#read(run.lease.id)
      if (operation?.cancelRequested) run.stop('CanceledError')
    }
  }

  /** A cancel request that cannot be read now is found by the next renewal. */
  async #read(id: string): Promise<Operation | undefined> {
    try {
      return await this.#settings.store.read(id)
    } catch {
      return undefined
    }
  }

  /** Only the shutdown waits for it. */
  #cleanUpBlobs({ lease }: RunningAttempt, outcome: Outcome, after: Operation | undefined): void {
    if (this.#blobs === undefined) return
    const cleaned = this.#blobs.cleanUp(lease, outcome, after).catch((error: unknown) => {
      this.#logger.warn(
        { operation: lease.id, err: error },
        'Could not delete a result that is not needed; it is deleted with its operation',
      )
    })
    this.#followed.add(cleaned)
  }
}

function countOf(type: string, claims: readonly Claim[]): number {
  return claims.filter(({ operation }) => operation.type === type).length
}

/** One operation of each type in turn, so that no type waits until another is finished. */
function inTurn(claims: readonly Claim[]): Claim[] {
  const queues = [...Map.groupBy(claims, ({ operation }) => operation.type).values()]
  const longest = Math.max(0, ...queues.map(queue => queue.length))
  return Array.from({ length: longest }, (_, at) => queues.flatMap(queue => queue.slice(at, at + 1))).flat()
}
