/**
 * Admission: whether a request may become an operation now, decided before anything is written.
 * A limit that is not set costs nothing. Limits are held as nearly as one process can see: what
 * others accept in the same moment is not counted yet.
 */
import type { Estimator, QueueModel } from './estimate.ts'
import type { AnyOperationType } from './operation-type.ts'
import { problemError } from './problem.ts'
import type { Store } from './store.ts'

interface Bucket {
  tokens: number
  /** By the monotonic clock. */
  filledAt: number
}

/** A queue that was seen full is looked at again after so many milliseconds: it may have emptied. */
const FULL_MS = 50

/** Of more principals than this, those who asked longest ago are forgotten: their buckets are full again. */
const MAX_BUCKETS = 10_000

export class Admission {
  readonly #store: Store
  readonly #estimator: Estimator
  readonly #buckets = new Map<string, Bucket>()
  /** Let through by this process and not written yet. */
  readonly #underWay = new Map<string, number>()
  /** By type: what was written since its queue was read. */
  readonly #written = new Map<string, { readonly model: QueueModel; count: number }>()

  constructor(store: Store, estimator: Estimator) {
    this.#store = store
    this.#estimator = estimator
  }

  /**
   * Lets one submission through.
   *
   * @returns what is to be called when the submission has been written, or has failed
   * @throws {ProblemError} `too-many-requests` (429) or `unavailable` (503), with the time after which it is worth asking again
   */
  async admit(type: AnyOperationType, owner: string): Promise<() => void> {
    const { rateLimit, inFlightLimit, backlogLimit } = type.policy
    if (rateLimit !== undefined) this.#takeToken(`${type.name}/${owner}`, rateLimit)
    const leaveInFlight = inFlightLimit === undefined ? undefined : this.#enter(`${type.name}/${owner}`)
    const leaveBacklog = backlogLimit === undefined ? undefined : this.#enter(type.name)
    const leave = () => {
      leaveInFlight?.()
      leaveBacklog?.()
    }
    try {
      if (inFlightLimit !== undefined) await this.#checkInFlight(type, owner, inFlightLimit)
      if (backlogLimit !== undefined) await this.#checkBacklog(type, backlogLimit)
    } catch (error) {
      leave()
      throw error
    }
    return () => {
      leave()
      const written = this.#written.get(type.name)
      if (written !== undefined) written.count++
    }
  }

  #takeToken(key: string, { requests, perMs }: { requests: number; perMs: number }): void {
    const now = performance.now()
    const bucket = this.#buckets.get(key) ?? { tokens: requests, filledAt: now }
    bucket.tokens = Math.min(requests, bucket.tokens + ((now - bucket.filledAt) / perMs) * requests)
    bucket.filledAt = now
    // Put back at the end, so that the first one in the map is the one that asked longest ago.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    const oldest = this.#buckets.keys().next().value
    if (this.#buckets.size > MAX_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest)
    if (bucket.tokens < 1) {
      const retryAfterMs = ((1 - bucket.tokens) / requests) * perMs
      throw problemError('too-many-requests', `At most ${requests} are taken in ${perMs / 1000} s.`, { retryAfterMs })
    }
    bucket.tokens--
  }

  async #checkInFlight(type: AnyOperationType, owner: string, limit: number): Promise<void> {
    const others = (this.#underWay.get(`${type.name}/${owner}`) ?? 1) - 1
    const unfinished = await this.#store.unfinished(type.name, owner, limit)
    if (unfinished + others < limit) return
    const { nextEndMs } = await this.#estimator.model(type.name)
    throw problemError('too-many-requests', `${limit} operations of yours are not finished, which is the limit.`, {
      retryAfterMs: nextEndMs,
    })
  }

  async #checkBacklog(type: AnyOperationType, limit: number): Promise<void> {
    const others = (this.#underWay.get(type.name) ?? 1) - 1
    const hasRoom = (model: QueueModel) => model.depth + others + this.#writtenSince(type.name, model) < limit
    if (hasRoom(await this.#estimator.model(type.name))) return
    const model = await this.#estimator.model(type.name, FULL_MS)
    if (hasRoom(model)) return
    throw problemError('unavailable', `${limit} operations wait already, which is the limit.`, {
      retryAfterMs: model.nextEndMs,
    })
  }

  #writtenSince(type: string, model: QueueModel): number {
    const known = this.#written.get(type)
    if (known?.model === model) return known.count
    this.#written.set(type, { model, count: 0 })
    return 0
  }

  #enter(key: string): () => void {
    this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1)
    return () => {
      const left = (this.#underWay.get(key) ?? 1) - 1
      if (left === 0) this.#underWay.delete(key)
      else this.#underWay.set(key, left)
    }
  }
}
