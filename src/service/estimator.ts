/**
 * When asking again is worth it: `Retry-After`, the position in the queue and the expected end,
 * from how long operations of the type took lately and from the queue before this one.
 *
 * A client is asked to come back when the operation has ended with a probability of
 * {@link WORTH_ASKING}. Whatever the durations are like, it then asks about `1 / WORTH_ASKING` times in
 * all, and more closely the nearer an end is.
 */
import type { Operation } from '../model/operation.ts'
import { QUEUE_COUNT_LIMIT, type QueueStats, type WorkQueue } from '../stores/store.ts'

/** What is expected of an unfinished operation. */
export interface Estimate {
  /** Milliseconds after which asking again is worth it. */
  readonly retryAfterMs: number
  /** 1 is next; only of one that waits in the queue, and only where those before it were counted. */
  readonly queuePosition?: number
  /** Milliseconds since the epoch; only where something has been observed. */
  readonly completionAt?: number
  /** Milliseconds for which operations of the type have been ready without a worker claiming one. */
  readonly unclaimedMs: number
}

/** What is expected of an operation itself. */
type Expected = Omit<Estimate, 'unclaimedMs'>

/** A client asks between five and six times on the average, and learns of the end within about a tenth of the duration. */
const WORTH_ASKING = 1 / 7.5
/** No client is asked to stay away for longer than this, so that a wrong estimate costs little. */
const LONGEST_MS = 5 * 60_000
/** A client that asks just before the end asks once more: what starting and recording take is put on top. */
const OVERHEAD_MS = 50
/** How long a view of the queue is used before it is read again. */
const VIEW_MS = 500

/** A view of the queue, prepared for many estimates. */
export class QueueModel {
  readonly #positions: ReadonlyMap<string, number>
  readonly #depth: number
  readonly #running: number
  /** Ascending. */
  readonly #durations: readonly number[]
  readonly #mean: number
  readonly #readAt: number
  /** Those that were accepted after the view was read, by the order in which they were asked for. */
  readonly #newcomers = new Map<string, number>()

  /**
   * @param readAt when the view was read, in milliseconds since the epoch
   * @param unclaimedMs for how long nothing of the queue has been claimed
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

  /** When the oldest ready one was accepted, in milliseconds since the epoch. */
  readonly oldestAt: number | null

  /** Milliseconds for which operations have been ready without a worker claiming one. */
  readonly unclaimedMs: number

  /** How many are ready. */
  get depth(): number {
    return this.#depth
  }

  /** In how many milliseconds the next operation should end. */
  get nextEndMs(): number {
    return this.#mean / Math.max(1, this.#running)
  }

  /** @param now milliseconds since the epoch */
  estimate(operation: Operation, now: number): Estimate {
    const expected = operation.status === 'running' ? this.#ofRunning(operation, now) : this.#ofPending(operation, now)
    return { ...expected, unclaimedMs: this.unclaimedMs }
  }

  #ofRunning(operation: Operation, now: number): Expected {
    const elapsed = Math.max(0, now - (operation.attemptStartedAt ?? now))
    const reported = reportedLeft(operation, elapsed)
    if (reported !== undefined) return expecting(now, reported, reported)
    const left = this.#durations.filter(ms => ms > elapsed).map(ms => ms - elapsed)
    // Past all that was observed, or with nothing observed, it is taken to last as long again as a part of what it has.
    if (left.length === 0) return { retryAfterMs: clamp(elapsed * WORTH_ASKING) }
    return expecting(now, quantile(left, WORTH_ASKING), quantile(left, 0.5))
  }

  #ofPending(operation: Operation, now: number): Expected {
    const delayed = operation.runAt !== null
    const place = delayed ? 1 : this.#placeOf(operation)
    const position = delayed || place > QUEUE_COUNT_LIMIT ? {} : { queuePosition: place }
    const wait = delayed ? Math.max(0, (operation.runAt ?? now) - now) : this.#waitMs(place - 1)
    if (this.#durations.length === 0) {
      const waited = Math.max(0, now - operation.createdAt)
      return { retryAfterMs: clamp(Math.max(wait, waited * WORTH_ASKING)), ...position }
    }
    const soonest = wait + quantile(this.#durations, WORTH_ASKING)
    return { ...expecting(now, soonest, wait + quantile(this.#durations, 0.5)), ...position }
  }

  /** Its place in the queue, from 1. What the view does not show is behind all that it counts. */
  #placeOf({ id, createdAt }: Operation): number {
    const shown = this.#positions.get(id)
    if (shown !== undefined) return shown
    if (createdAt < this.#readAt) return this.#depth + 1
    const place = this.#newcomers.get(id) ?? this.#newcomers.size + 1
    this.#newcomers.set(id, place)
    return this.#depth + place
  }

  /** Slots become free one after the other; an idle one takes the next at once. */
  #waitMs(ahead: number): number {
    if (this.#running === 0 && ahead === 0) return 0
    return ((ahead + 0.5) / Math.max(1, this.#running)) * this.#mean
  }
}

/** How long it will still run by its handler's own account. */
function reportedLeft(operation: Operation, elapsed: number): number | undefined {
  const fraction = operation.progress?.fraction ?? 0
  if (fraction < 0.05) return undefined
  const took = Math.max(0, operation.updatedAt - (operation.attemptStartedAt ?? operation.updatedAt))
  const left = took / fraction - elapsed
  return left > 0 ? left : undefined
}

function expecting(now: number, soonest: number, likely: number): Expected {
  return { retryAfterMs: clamp(soonest + OVERHEAD_MS), completionAt: now + Math.round(likely) }
}

/** The value that a part of the ascending values does not exceed; of too few to tell, as if they were exponential. */
function quantile(ascending: readonly number[], part: number): number {
  const rank = Math.floor(part * (ascending.length + 1))
  return rank >= 1 ? (ascending[rank - 1] ?? 0) : -Math.log(1 - part) * mean(ascending)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}

/** A client is told whole seconds, so anything below one is one. */
function clamp(ms: number): number {
  return Math.min(Math.max(Math.round(ms), 1000), LONGEST_MS)
}

/** Reads views of the queue, each used for {@link VIEW_MS} by all who ask, so that polls cost the store next to nothing. */
export class Estimator {
  readonly #store: Pick<WorkQueue, 'queueStats'>
  readonly #models = new Map<string, { model: Promise<QueueModel>; readAt: number }>()
  /** By type: an operation that was ready while none ran, and since when, by the monotonic clock. */
  readonly #unclaimed = new Map<string, { readonly id: string; readonly since: number }>()

  constructor(store: Pick<WorkQueue, 'queueStats'>) {
    this.#store = store
  }

  async of(operation: Operation): Promise<Estimate> {
    return (await this.model(operation.type)).estimate(operation, Date.now())
  }

  /** The queue of a type as it was within the last milliseconds, by default {@link VIEW_MS}. */
  model(type: string, maxAgeMs = VIEW_MS): Promise<QueueModel> {
    const known = this.#models.get(type)
    const now = performance.now()
    if (known !== undefined && now - known.readAt < maxAgeMs) return known.model
    const readAt = Date.now()
    const model = this.#store.queueStats(type).then(view => new QueueModel(view, readAt, this.#unclaimedMs(type, view)))
    this.#models.set(type, { model, readAt: now })
    // A view that could not be read must not be what the next half second is answered with.
    model.catch(() => this.#models.delete(type))
    return model
  }

  /** What was seen ready before and is ready now, with nothing running, was not claimed meanwhile. */
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
