/** Reports a store that fails or does not answer as the problem `unavailable`. */
import { ProblemError, problemError } from '../model/problem.ts'

/**
 * Waits for the answer of a store. A client cannot fix a store that fails; it can only try again later.
 *
 * @throws {ProblemError} a `ProblemError` of the store itself, else `unavailable`
 */
export async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ProblemError) throw error
    throw problemError('unavailable', undefined, { cause: error, retryAfter: 2000 })
  }
}
