/**
 * Estimates `Retry-After`, the position in the queue and the expected end of an operation, from how long operations of
 * its type took recently and from the queue before it.
 *
 * `Retry-After` is the time after which the operation has ended with a probability of {@link END_PROBABILITY}. Whatever
 * the distribution of durations, a client then polls about `1 / END_PROBABILITY` times in all, and more often as the
 * end approaches.
 */
import type { Operation } from '../model/operation.ts'
import { QUEUE_COUNT_LIMIT, type QueueStats, type WorkQueue } from '../stores/store.ts'
import { awaitsChildren, awaitsEvent } from './events.ts'

/** The estimate for an unfinished operation. */
export interface Estimate {
  /** When to poll again, in milliseconds from now. */
  readonly retryAfterMs: number
  /**
   * The position in the queue: 1 is next. Present only for an operation that waits in the queue, if those before it
   * were counted.
   */
  readonly queuePosition?: number
  /** The expected end, in milliseconds since the epoch. Present only if durations have been observed. */
  readonly completionAt?: number
  /** Milliseconds for which operations of the type have been ready without a worker claiming one. */
  readonly unclaimedMs: number
}

/** How long operations of a type take, in milliseconds. */
export interface Durations {
  /** Half of them take at most this long. */
  readonly median: number
  /** Nine of ten take at most this long. */
  readonly p90: number
}

/** The part of an estimate that depends on the operation. */
type Expected = Omit<Estimate, 'unclaimedMs'>

/** With this value a client polls five to six times on average, and sees the end within about a tenth of the duration. */
const END_PROBABILITY = 1 / 7.5
/** The longest Retry-After, so that a wrong estimate costs little. */
const MAX_RETRY_AFTER_MS = 5 * 60_000
/** Added for the start and the record of an attempt: a client that polls just before the end must poll once more. */
const OVERHEAD_MS = 50
/** How long a reading of the queue is reused, in milliseconds, if it took little time. */
const MAX_AGE_MS = 500
/** The largest share of the time that readings of a queue take. A reading that took long is reused for longer. */
const READING_SHARE = 0.02
/** The longest time for which a reading is reused for that reason, in milliseconds. */
const MAX_PACED_AGE_MS = 5000
/** How many operations that are newer than a reading get a place after it. */
const MAX_NEWCOMERS = 1000

/** A reading of the queue, prepared for many estimates. */
export class QueueModel {
  readonly #positions: ReadonlyMap<string, number>
  readonly #depth: number
  readonly #running: number
  /** In milliseconds, ascending. */
  readonly #durations: readonly number[]
  readonly #mean: number
  readonly #readAt: number
  /**
   * Operations that were accepted after the queue was read: from id to their order among each other, from 1. Only the
   * first {@link MAX_NEWCOMERS} are kept.
   */
  readonly #newcomers = new Map<string, number>()
  /** How many such operations have been seen. */
  #newcomerCount = 0

  /**
   * @param readAt when the queue was read, in milliseconds since the epoch
   * @param unclaimedMs for how long no operation of the queue has been claimed
   */
  constructor(view: QueueStats, readAt: number, unclaimedMs = 0) {
    this.#readAt = readAt
    this.unclaimedMs = unclaimedMs
    this.oldestAt = view.oldestAt
    this.#positions = new Map(view.ready.map((id, index) => [id, index + 1]))
    this.#depth = view.depth
    this.#running = view.running
    this.#durations = view.durations.toSorted((a, b) => a - b)
    this.#mean = mean(view.durations)
  }

  /** When the oldest ready operation was accepted, in milliseconds since the epoch. */
  readonly oldestAt: number | null

  /** Milliseconds for which operations have been ready without a worker claiming one. */
  readonly unclaimedMs: number

  /** The number of ready operations. */
  get depth(): number {
    return this.#depth
  }

  /** When the next operation is expected to end, in milliseconds from now. */
  get nextEndMs(): number {
    return this.#mean / Math.max(1, this.#running)
  }

  /**
   * How long operations took recently, from the start of their last attempt to their end; undefined where none has
   * ended.
   */
  get durations(): Durations | undefined {
    if (this.#durations.length === 0) return undefined
    return { median: quantile(this.#durations, 0.5), p90: quantile(this.#durations, 0.9) }
  }

  /** @param now milliseconds since the epoch */
  estimate(operation: Operation, now: number): Estimate {
    const expected = operation.status === 'running' ? this.#ofRunning(operation, now) : this.#ofPending(operation, now)
    return { ...expected, unclaimedMs: this.unclaimedMs }
  }

  #ofRunning(operation: Operation, now: number): Expected {
    const elapsed = Math.max(0, now - (operation.attemptStartedAt ?? now))
    const reported = reportedLeft(operation, elapsed)
    if (reported !== undefined) return estimateOf(now, reported, reported)
    const left = this.#durations.filter(ms => ms > elapsed).map(ms => ms - elapsed)
    // It runs longer than all that were observed: the delay grows with the time that it has taken.
    if (left.length === 0) return { retryAfterMs: clamp(elapsed * END_PROBABILITY) }
    return estimateOf(now, quantile(left, END_PROBABILITY), quantile(left, 0.5))
  }

  #ofPending(operation: Operation, now: number): Expected {
    // The longer the event takes, the less often a client polls.
    if (awaitsEvent(operation)) {
      return { retryAfterMs: clamp(Math.max(0, now - operation.updatedAt) * END_PROBABILITY) }
    }
    // The end of its children cannot be estimated. The longer they take, the less often a client polls.
    if (awaitsChildren(operation)) {
      return { retryAfterMs: clamp(Math.max(0, now - operation.createdAt) * END_PROBABILITY) }
    }
    const delayed = operation.runAt !== null
    const place = delayed ? 1 : this.#placeOf(operation)
    const position = delayed || place > QUEUE_COUNT_LIMIT ? {} : { queuePosition: place }
    const wait = delayed ? Math.max(0, (operation.runAt ?? now) - now) : this.#waitMs(place - 1)
    if (this.#durations.length === 0) {
      const waited = Math.max(0, now - operation.createdAt)
      return { retryAfterMs: clamp(Math.max(wait, waited * END_PROBABILITY)), ...position }
    }
    const soonest = wait + quantile(this.#durations, END_PROBABILITY)
    const likely = wait + quantile(this.#durations, 0.5)
    const expected = estimateOf(now, soonest, likely)
    if (delayed) return expected
    // The place is of the time of the reading, and so is the end: it stays the same until the queue is read again.
    const since = Math.min(now, this.#readAt)
    return { ...expected, completionAt: Math.max(now, since + Math.round(likely)), ...position }
  }

  /**
   * The place in the queue, from 1. An operation that is newer than the reading comes after all operations of the
   * reading.
   */
  #placeOf({ id, createdAt }: Operation): number {
    const shown = this.#positions.get(id)
    if (shown !== undefined) return shown
    if (createdAt < this.#readAt) return this.#depth + 1
    const known = this.#newcomers.get(id)
    if (known !== undefined) return this.#depth + known
    this.#newcomerCount++
    // An operation that is not kept is counted again at each poll, until the queue is read again, which is soon.
    if (this.#newcomerCount <= MAX_NEWCOMERS) this.#newcomers.set(id, this.#newcomerCount)
    return this.#depth + this.#newcomerCount
  }

  /** Assumes that slots become free one after the other, and that an idle slot takes the next operation at once. */
  #waitMs(ahead: number): number {
    if (this.#running === 0 && ahead === 0) return 0
    return ((ahead + 0.5) / Math.max(1, this.#running)) * this.#mean
  }
}

/** How long it will still run, from the progress that its handler reports. */
function reportedLeft(operation: Operation, elapsed: number): number | undefined {
  const fraction = operation.progress?.fraction ?? 0
  if (fraction < 0.05) return undefined
  const took = Math.max(0, operation.updatedAt - (operation.attemptStartedAt ?? operation.updatedAt))
  const left = took / fraction - elapsed
  return left > 0 ? left : undefined
}

function estimateOf(now: number, soonest: number, likely: number): Expected {
  return { retryAfterMs: clamp(soonest + OVERHEAD_MS), completionAt: now + Math.round(likely) }
}

/**
 * The quantile of ascending values. If there are too few values, the quantile of an exponential distribution with their
 * mean.
 */
function quantile(ascending: readonly number[], part: number): number {
  const rank = Math.floor(part * (ascending.length + 1))
  return rank >= 1 ? (ascending[rank - 1] ?? 0) : -Math.log(1 - part) * mean(ascending)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}

/** Retry-After is in whole seconds, at least 1. */
function clamp(ms: number): number {
  return Math.min(Math.max(Math.round(ms), 1000), MAX_RETRY_AFTER_MS)
}

/** A reading of a queue that may be under way. */
interface Reading {
  readonly model: Promise<QueueModel>
  /** When it began, by the monotonic clock. */
  readonly readAt: number
  /** The model, once it has been read. */
  read: QueueModel | undefined
  /** How long it is reused at least, in milliseconds. */
  pacedMs: number
}

/**
 * Reads the queues and makes estimates. Each reading is shared for {@link MAX_AGE_MS}, and for longer by a slow store
 * or machine, so that polls cost the store almost nothing.
 */
export class Estimator {
  readonly #store: Pick<WorkQueue, 'queueStats'>
  readonly #models = new Map<string, Reading>()
  /**
   * For each type, an operation that was ready while none ran, and since when this was observed, by the monotonic
   * clock.
   */
  readonly #unclaimed = new Map<string, { readonly id: string; readonly since: number }>()

  constructor(store: Pick<WorkQueue, 'queueStats'>) {
    this.#store = store
  }

  async estimate(operation: Operation): Promise<Estimate> {
    return (await this.readQueue(operation.type)).estimate(operation, Date.now())
  }

  /** The same, if a reading can be reused; undefined if the queue must be read for it. */
  estimateAtOnce(operation: Operation): Estimate | undefined {
    return this.#fresh(operation.type, MAX_AGE_MS)?.read?.estimate(operation, Date.now())
  }

  /** Reads the queue of a type, or reuses a reading that is at most this old, or older if readings take long. */
  readQueue(type: string, maxAgeMs = MAX_AGE_MS): Promise<QueueModel> {
    const known = this.#fresh(type, maxAgeMs)
    if (known !== undefined) return known.model
    const readAt = Date.now()
    const began = performance.now()
    const model = this.#store.queueStats(type).then(view => new QueueModel(view, readAt, this.#unclaimedMs(type, view)))
    const reading: Reading = { model, readAt: began, read: undefined, pacedMs: 0 }
    this.#models.set(type, reading)
    model.then(
      read => {
        reading.read = read
        reading.pacedMs = Math.min((performance.now() - reading.readAt) / READING_SHARE, MAX_PACED_AGE_MS)
      },
      // A failed read is not reused: it must not fail the next requests.
      () => this.#models.delete(type),
    )
    return model
  }

  #fresh(type: string, maxAgeMs: number): Reading | undefined {
    const known = this.#models.get(type)
    if (known === undefined) return undefined
    return performance.now() - known.readAt < Math.max(maxAgeMs, known.pacedMs) ? known : undefined
  }

  /** If the same operation is still ready and none runs, no worker has claimed anything in the meantime. */
  #unclaimedMs(type: string, { ready, running }: QueueStats): number {
    const [first] = ready
    if (first === undefined || running > 0) {
      this.#unclaimed.delete(type)
      return 0
    }
    const known = this.#unclaimed.get(type)
    if (known !== undefined && ready.includes(known.id)) return performance.now() - known.since
    this.#unclaimed.set(type, { id: first, since: performance.now() })
    return 0
  }
}
