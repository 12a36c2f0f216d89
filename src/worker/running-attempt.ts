/**
 * One attempt that runs: its signal, its timeout, its lease, its progress, logs and steps, and the recording of its
 * end. It always ends, whatever fails.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { streamBytes } from '../blobs/byte-streams.ts'
import type { Change, Operation, Outcome } from '../model/operation.ts'
import { type AnyOperationType, backoffMs } from '../model/operation-type.ts'
import { problem } from '../model/problem.ts'
import { hasEndedAttempt } from '../model/state-machine.ts'
import type { Lease, OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { retry } from '../util/retry-call.ts'
import { sleepUnref } from '../util/sleep.ts'
import { outcomeOfStop } from './attempt.ts'
import { describeError } from './attempt-error.ts'
import { readChildEnds, readFamily, submitChildren } from './family.ts'
import type { ResultBlobs } from './result-blobs.ts'
import {
  type Host,
  type Runner,
  type RunResult,
  StopError,
  type StopReason,
  stopReason,
  type Task,
} from './runners/runner.ts'

/** What all attempts of a worker share. Durations in milliseconds. */
export interface AttemptSettings {
  readonly store: OperationStore & Pick<WorkQueue, 'renew'>
  /** Stores results that are not JSON; undefined without a blob store. */
  readonly blobs: ResultBlobs | undefined
  readonly logger: Logger
  readonly leaseMs: number
  readonly graceMs: number
  readonly shutdownMs: number
}

/** What happened to the end of an attempt. */
export type Recorded =
  /** It was recorded: the operation afterwards, and the change that counts. */
  | { readonly kind: 'recorded'; readonly operation: Operation; readonly change: Change }
  /** The attempt had already lost its lease. */
  | { readonly kind: 'late' }
  /** The store could not be reached while the lease lasted, or refused everything. */
  | { readonly kind: 'unrecorded' }

/** How often a store that answers renewals may refuse an outcome before a plain failure is recorded instead. */
const MAX_REFUSALS = 8
/** After this many refusals the attempt counts as stuck. */
const STUCK_AFTER = 3
/** How often a store that answers renewals may refuse a step before the attempt gets the error. */
const MAX_STEP_REFUSALS = 3
/** The longest wait between two tries to record an outcome or a step, in milliseconds. */
const MAX_BACKOFF_MS = 5000
/** How long the outcome waits for the last log lines, in milliseconds. */
const NOTES_MS = 2000

export class RunningAttempt {
  readonly lease: Lease
  readonly type: AnyOperationType
  readonly #asked: number
  readonly #settings: AttemptSettings
  readonly #controller = new AbortController()
  /** The handler has returned. */
  #isOver = false
  /** Aborted when the handler has returned: its unfinished uploads are not needed. Few attempts use this signal. */
  #over: AbortController | undefined
  /** Log lines and steps that are being written. */
  readonly #notes = new Set<Promise<unknown>>()
  /** Until this time, by the monotonic clock, the lease is certainly ours. */
  #confirmedUntil = 0
  /** Stops the attempt while the lease is still ours, if no renewal is confirmed before. */
  #guard: NodeJS.Timeout | undefined
  #recording: Promise<Recorded> | undefined
  /** Until this time, by the monotonic clock, recording the outcome is retried. */
  #recordUntil = Number.POSITIVE_INFINITY
  #refusals = 0

  /** @param asked when the lease was asked for, by the monotonic clock */
  constructor(lease: Lease, type: AnyOperationType, asked: number, settings: AttemptSettings) {
    this.lease = lease
    this.type = type
    this.#asked = asked
    this.#settings = settings
    this.confirm(asked)
  }

  /** Whether there is a handler to stop. */
  get canStop(): boolean {
    return !this.#isOver && !this.#controller.signal.aborted
  }

  /** Whether the store refuses its outcome, though it answers otherwise. */
  get isStuck(): boolean {
    return this.#refusals >= STUCK_AFTER
  }

  /** Whether its end is being recorded, or was. */
  get isRecording(): boolean {
    return this.#recording !== undefined
  }

  /** Notes that the lease was granted or renewed by the answer to a request made at that time. */
  confirm(asked: number): void {
    const { leaseMs } = this.#settings
    this.#confirmedUntil = asked + leaseMs
    clearTimeout(this.#guard)
    // A separate timer: neither a backoff of the loop nor a store that never answers may delay it.
    const left = this.#confirmedUntil - leaseMs / 10 - performance.now()
    this.#guard = setTimeout(() => this.stop('LeaseLostError'), Math.max(0, left)).unref()
  }

  /** Tells the handler to stop. The first reason is kept. */
  stop(reason: StopReason): void {
    if (!this.#controller.signal.aborted) this.#controller.abort(new StopError(reason))
  }

  /** Has the runner run it. Never rejects, and ends within the timeout, the grace time and a lease, whatever the runner does. */
  async run(runner: Runner, task: Task): Promise<RunResult> {
    const { signal } = this.#controller
    const timeout = this.#stopInTime(task)
    const overdue = this.#overdue()
    try {
      const { graceMs, shutdownMs, logger } = this.#settings
      const context = {
        host: this.#host(),
        signal,
        graceMs: (reason: StopReason) => (reason === 'ShutdownError' ? shutdownMs : graceMs),
        onError: (error: unknown) => logger.error({ ...this.#fields, err: error }, 'An attempt met an error'),
      }
      return await Promise.race([runner.run(task, context), overdue.reached])
    } catch (error) {
      this.#settings.logger.error({ ...this.#fields, err: error }, 'A runner failed to run an attempt')
      return { kind: 'retry', problem: problem('internal-error'), delayMs: 0, error: describeError(error) }
    } finally {
      clearTimeout(timeout)
      overdue.clear()
      this.#isOver = true
      this.#over?.abort(new StopError('LeaseLostError'))
    }
  }

  /** The change that a run's end amounts to. */
  changeOf(end: RunResult, failedBefore: number): Change {
    const { attempt } = this.lease
    if (end.kind === 'lost' && !this.#controller.signal.aborted) return { kind: 'abandon', attempt, reason: end.reason }
    return { kind: 'finish', attempt, outcome: this.#outcomeOf(end, failedBefore) }
  }

  /**
   * Records its end, once: of several calls the first one counts. While the store cannot be reached it tries again for
   * as long as the lease is ours. Never rejects.
   */
  async record(change: Change): Promise<Recorded> {
    this.#recording ??= this.#record(change).finally(() => clearTimeout(this.#guard))
    return await this.#recording
  }

  /** Sets when recording is given up, by the monotonic clock. */
  recordUntil(time: number): void {
    this.#recordUntil = time
  }

  get #fields(): { operation: string; type: string; attempt: number } {
    return { operation: this.lease.id, type: this.type.name, attempt: this.lease.attempt }
  }

  #outcomeOf(end: RunResult, failedBefore: number): Outcome {
    const { aborted, reason } = this.#controller.signal
    const delayMs = backoffMs(this.type.policy, failedBefore + 1)
    switch (end.kind) {
      case 'crashed':
        if (aborted) return outcomeOfStop(reason, delayMs)
        return {
          kind: 'retry',
          problem: problem('worker-lost', end.reason),
          delayMs,
          ...(end.error && { error: end.error }),
        }
      case 'ended':
      case 'lost':
        return outcomeOfStop(reason, delayMs)
      case 'unstarted':
        return { kind: 'released' }
      default:
        return end
    }
  }

  /** Stops it at the end of its timeout, or at the deadline of its operation if that comes first. */
  #stopInTime({ claimedAt, deadline }: Task): NodeJS.Timeout {
    const { timeout } = this.type.policy
    // The store's clock tells how much time was left at the claim, and the monotonic clock how much has passed since.
    const left = deadline === null ? timeout : this.#asked + deadline - claimedAt - performance.now()
    const reason = left < timeout ? 'DeadlineError' : 'TimeoutError'
    return setTimeout(() => this.stop(reason), Math.max(0, Math.min(left, timeout)))
  }

  /** A runner that does not end what it was told to stop would hold its slot and its lease forever. */
  #overdue(): { reached: Promise<RunResult>; clear: () => void } {
    const { signal } = this.#controller
    const { promise, resolve } = Promise.withResolvers<RunResult>()
    let timer: NodeJS.Timeout | undefined
    const begin = () => {
      const { graceMs, shutdownMs, leaseMs } = this.#settings
      const ms = (stopReason(signal) === 'ShutdownError' ? shutdownMs : graceMs) + leaseMs
      timer = setTimeout(() => resolve({ kind: 'ended' }), ms)
    }
    if (signal.aborted) begin()
    else signal.addEventListener('abort', begin, { once: true })
    const clear = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', begin)
    }
    return { reached: promise, clear }
  }

  async #record(first: Change): Promise<Recorded> {
    await this.#settleNotes()
    let change = first
    for (let failures = 0; ; failures++) {
      const recorded = await this.#write(change).catch((error: unknown) => ({ kind: 'failed', error }) as const)
      if (recorded.kind !== 'failed') return recorded
      const { error } = recorded
      this.#warn(error, 'Could not record an outcome; will retry')
      if (performance.now() > Math.min(this.#confirmedUntil, this.#recordUntil)) return { kind: 'unrecorded' }
      const isRefused = (await this.#storeAnswers()) && ++this.#refusals % MAX_REFUSALS === 0
      // The store answers, and refuses even a plain failure: the lease runs out, and the sweeper takes over.
      if (isRefused && change !== first) return { kind: 'unrecorded' }
      if (isRefused) [change, failures] = [this.#replacement(error), 0]
      await sleepUnref(backoff(failures))
    }
  }

  async #write(change: Change): Promise<Recorded> {
    const { store } = this.#settings
    const { id, attempt } = this.lease
    const operation = await store.change(id, change)
    if (operation !== undefined) return { kind: 'recorded', operation, change }
    // An outcome whose first answer was lost is refused when it is sent again: the record has it.
    const found = await store.read(id)
    const isOurs = found !== undefined && hasEndedAttempt(found, attempt, change.kind)
    return isOurs ? { kind: 'recorded', operation: found, change } : { kind: 'late' }
  }

  /**
   * Whether the store can write the record at all. If so, it refuses only what was asked for. While another transaction
   * has locked the record, it refuses everything.
   */
  async #storeAnswers(): Promise<boolean> {
    const asked = performance.now()
    try {
      const [renewal] = await this.#settings.store.renew([this.lease], this.#settings.leaseMs)
      if (renewal?.kind === 'held') this.confirm(asked)
      return renewal?.kind !== 'busy'
    } catch {
      return false
    }
  }

  /** A plain failure, which any store can write. */
  #replacement(error: unknown): Change {
    this.#settings.logger.error(
      { ...this.#fields, err: error },
      'The store refuses an outcome; a failure takes its place',
    )
    const detail = 'Its outcome could not be stored.'
    const outcome: Outcome = {
      kind: 'failed',
      problem: problem('internal-error', detail),
      error: describeError(error),
    }
    return { kind: 'finish', attempt: this.lease.attempt, outcome }
  }

  /** The last log lines are written first: the store refuses them once the outcome is recorded. */
  async #settleNotes(): Promise<void> {
    if (this.#notes.size > 0) await Promise.race([Promise.allSettled(this.#notes), sleepUnref(NOTES_MS)])
  }

  #host(): Host {
    const { store, blobs } = this.#settings
    const { id, attempt } = this.lease
    return {
      upload:
        blobs &&
        (async ({ body, type, filename }) => {
          const signal = this.#untilOver()
          return await blobs.upload(this.lease, { bytes: streamBytes(body), type, filename }, signal)
        }),
      progress: progress => {
        // Progress that cannot be written is dropped; the next value or the outcome replaces it.
        const change = { kind: 'progress', attempt, progress } as const
        void settled(async () => await store.change(id, change))
      },
      log: (level, message) => {
        const line = { kind: 'log', level, message } as const
        const written = settled(
          async () => await store.appendNote(this.lease, line),
          error => {
            this.#warn(error, 'Could not store a log line of an attempt')
          },
        )
        this.#notes.add(written)
        void written.then(() => this.#notes.delete(written))
      },
      steps: async () => await this.#insist(async () => await store.steps(id)),
      submit: async children => {
        const ids = await this.#insist(async () => await submitChildren(store, this.lease, children))
        if (ids === undefined) throw new StopError('LeaseLostError')
        return ids
      },
      family: async () => await this.#insist(async () => await readFamily(store, id)),
      childOutput: async child => await this.#insist(async () => await store.readPayload(child, 'output')),
      childEnds: async ids => await this.#insist(async () => await readChildEnds(store, ids)),
      recordStep: async (name, value) => {
        const step = { kind: 'step', name, value } as const
        if (!(await this.#insist(async () => await store.appendNote(this.lease, step))))
          throw new StopError('LeaseLostError')
      },
    }
  }

  /**
   * Repeats a call while the store cannot be reached: the next attempt would repeat work that is done but not recorded.
   *
   * @throws once the attempt is told to stop, as when its lease runs out; or the error of a store that refuses this
   * call alone
   */
  async #insist<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    const signal = this.#untilOver()
    let refusals = 0
    return await retry(call, async (error, failures) => {
      this.#warn(error, 'Could not read or record the steps or children of an attempt; will retry')
      if (signal.aborted || ((await this.#storeAnswers()) && ++refusals === MAX_STEP_REFUSALS)) throw error
      await sleep(backoff(failures - 1), undefined, { ref: false, signal }).catch(() => {
        throw signal.reason
      })
    })
  }

  /** Aborted when the attempt is told to stop, or the handler has returned. */
  #untilOver(): AbortSignal {
    this.#over ??= new AbortController()
    if (this.#isOver) this.#over.abort(new StopError('LeaseLostError'))
    return AbortSignal.any([this.#controller.signal, this.#over.signal])
  }

  #warn(error: unknown, message: string): void {
    this.#settings.logger.warn({ ...this.#fields, err: error }, message)
  }
}

/** Resolves when the work has ended, even if it fails. */
async function settled(work: () => Promise<unknown>, onError: (error: unknown) => void = () => {}): Promise<void> {
  try {
    await work()
  } catch (error) {
    onError(error)
  }
}

/** Milliseconds to the next try. */
function backoff(failures: number): number {
  return Math.min(50 * 2 ** failures, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2)
}
