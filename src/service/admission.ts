/**
 * Admission: whether a request may become an operation now. How often a caller may ask is counted here, in each process
 * for itself. How many operations there may be is decided by the store where it writes the operation, see
 * {@link OperationStore.accept}; here its refusal becomes an answer. A limit that is not set costs nothing.
 */

import type { SubmissionLimits } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { type ProblemError, problemError } from '../model/problem.ts'
import { TokenBucket } from '../util/token-bucket.ts'
import type { Estimator } from './estimator.ts'

/** Of more callers than this, those that asked longest ago are forgotten: their buckets are full again. */
const MAX_BUCKETS = 10_000
/** A queue that was seen full is read again after this many milliseconds. */
const FULL_MS = 50
/** What a caller is asked to wait where the queue cannot be read, in milliseconds. */
const UNKNOWN_MS = 1000

export class Admission {
  readonly #estimator: Estimator
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(estimator: Estimator) {
    this.#estimator = estimator
  }

  /**
   * Counts one request of a caller against the rate limit of the type.
   *
   * @throws {ProblemError} `too-many-requests`, with the time after which the next request is taken
   */
  countRequest({ name, policy: { rateLimit } }: AnyOperationType, owner: string): void {
    if (rateLimit === undefined) return
    const { requests, perMs } = rateLimit
    const retryAfterMs = this.#bucketOf(`${name}/${owner}`, rateLimit).take()
    if (retryAfterMs === 0) return
    throw problemError('too-many-requests', `At most ${requests} are taken in ${perMs / 1000} s.`, { retryAfterMs })
  }

  /**
   * Describes the refusal of a submission.
   *
   * @param read whether the queue may be read for Retry-After. Not within a transaction of the caller: that has a
   * connection of the pool already, and must not wait for another
   */
  async refusal(type: AnyOperationType, limit: keyof SubmissionLimits, read: boolean): Promise<ProblemError> {
    const model = read ? await this.#estimator.model(type.name, FULL_MS).catch(() => undefined) : undefined
    const retryAfterMs = model?.nextEndMs ?? UNKNOWN_MS
    const { inFlightLimit, backlogLimit } = type.policy
    if (limit === 'backlog') {
      return problemError('unavailable', `${backlogLimit} operations wait already, which is the limit.`, {
        retryAfterMs,
      })
    }
    const detail = `${inFlightLimit} operations of yours are not finished, which is the limit.`
    return problemError('too-many-requests', detail, { retryAfterMs })
  }

  #bucketOf(key: string, { requests, perMs }: { requests: number; perMs: number }): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket({ burst: requests, perSecond: (requests / perMs) * 1000 })
    // Put back at the end: the first bucket of the map is the one that was used longest ago.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    const oldest = this.#buckets.keys().next().value
    if (this.#buckets.size > MAX_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest)
    return bucket
  }
}

/** The limits that a type sets, for its submissions; undefined where it sets none. */
export function limitsOf({ inFlightLimit, backlogLimit }: AnyOperationType['policy']): SubmissionLimits | undefined {
  if (inFlightLimit === undefined && backlogLimit === undefined) return undefined
  return { inFlight: inFlightLimit, backlog: backlogLimit }
}
