/**
 * Decides whether a request may become an operation now. The rate limit of a caller is counted here, in each process on
 * its own. The store decides how many operations there may be, where it writes them: see {@link OperationStore.accept}.
 * This file turns its refusal into an answer. A limit that is not set costs nothing.
 */

import type { AnyOperationType } from '../model/operation-type.ts'
import { type ProblemError, problemError } from '../model/problem.ts'
import type { SubmissionLimits } from '../model/submission.ts'
import { TokenBucket } from '../util/token-bucket.ts'
import type { Estimator } from './estimator.ts'

/**
 * How many callers are remembered. Beyond that, the callers that called longest ago are forgotten, so their buckets are
 * full again.
 */
const MAX_BUCKETS = 10_000
/** How long a reading of a full queue is reused, in milliseconds. */
const FULL_QUEUE_MAX_AGE_MS = 50
/** The Retry-After where the queue cannot be read, in milliseconds. */
const DEFAULT_RETRY_AFTER_MS = 1000

export class Admission {
  readonly #estimator: Estimator
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(estimator: Estimator) {
    this.#estimator = estimator
  }

  /**
   * Counts one request of a caller against the rate limit of the type.
   *
   * @throws {ProblemError} `too-many-requests`, with the time after which the next request is accepted
   */
  countRequest({ name, policy: { rateLimit } }: AnyOperationType, owner: string): void {
    if (rateLimit === undefined) return
    const { requests, perMs } = rateLimit
    const retryAfterMs = this.#bucketOf(`${name}/${owner}`, rateLimit).take()
    if (retryAfterMs === 0) return
    throw problemError('too-many-requests', `At most ${requests} requests are accepted in ${perMs / 1000} s.`, {
      retryAfter: retryAfterMs,
    })
  }

  /**
   * Makes the problem that answers a refused submission.
   *
   * @param read whether the queue may be read for Retry-After. Not within a transaction of the caller: it holds a
   * connection of the pool already, and waiting for a second one could block forever
   */
  async describeRefusal(type: AnyOperationType, limit: keyof SubmissionLimits, read: boolean): Promise<ProblemError> {
    const model = read
      ? await this.#estimator.readQueue(type.name, FULL_QUEUE_MAX_AGE_MS).catch(() => undefined)
      : undefined
    const retryAfterMs = model?.nextEndMs ?? DEFAULT_RETRY_AFTER_MS
    const { inFlightLimit, backlogLimit } = type.policy
    if (limit === 'backlog') {
      return problemError('unavailable', `${backlogLimit} operations are waiting already, which is the limit.`, {
        retryAfter: retryAfterMs,
      })
    }
    const detail = `You have ${inFlightLimit} unfinished operations, which is the limit.`
    return problemError('too-many-requests', detail, { retryAfter: retryAfterMs })
  }

  #bucketOf(key: string, { requests, perMs }: { requests: number; perMs: number }): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket({ burst: requests, perSecond: (requests / perMs) * 1000 })
    // The bucket is added again at the end of the map, so that the first one is the one that was used longest ago.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    const oldest = this.#buckets.keys().next().value
    if (this.#buckets.size > MAX_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest)
    return bucket
  }
}
