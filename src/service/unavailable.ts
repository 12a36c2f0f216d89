/** How a store that does not answer, or fails, is reported to a caller. */
import { ProblemError, problemError } from '../model/problem.ts'

/**
 * Waits for what a store answers. The client cannot fix a store that fails: it may try again later.
 *
 * @throws {ProblemError} that of the store's own answer, or `unavailable`
 */
export async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ProblemError) throw error
    throw problemError('unavailable', undefined, { cause: error, retryAfter: 2000 })
  }
}
