import { waitError } from './errors.ts'
import type { Answer } from './status.ts'

/**
 * Returns an answer that is the result.
 *
 * @param statusUrl empty if the answer is the one to the first request
 * @param own whether the status code is the outcome of the operation; if not, only the status in the body can say that
 * the operation failed
 * @throws {WaitError} any other answer
 */
export function settle(answer: Answer, statusUrl: string, own?: boolean): Answer {
  const { response, body, outcome = 'completed' } = answer
  const { ok, status } = response
  const hasFailed = outcome !== 'completed' && (!ok || 'error' in body || (statusUrl && !own))
  if (ok && !hasFailed) return answer
  const isGone = statusUrl && /404|410/.test(`${status}`)
  const code = isGone ? 'gone' : own && !/40[13]/.test(`${status}`) ? 'failed' : 'refused'
  throw waitError(hasFailed ? outcome : code, statusUrl, answer)
}
