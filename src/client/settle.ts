import { waitError } from './errors.ts'
import type { Answer } from './status.ts'

/**
 * Returns an answer that is the result.
 *
 * @param statusUrl empty if the answer is the one to the first request
 * @param own whether its status code is the operation's; else only the status in its body can say that it failed
 * @throws {WaitError} any other answer
 */
export function settle(answer: Answer, statusUrl = '', own = false): Answer {
  const { response, body, outcome = 'completed' } = answer
  const { ok, status } = response
  const hasFailed = outcome !== 'completed' && (!ok || 'error' in body || (statusUrl && !own))
  if (ok && !hasFailed) return answer
  const isGone = statusUrl && (status === 404 || status === 410)
  const code = isGone ? 'gone' : own && status !== 401 && status !== 403 ? 'failed' : 'refused'
  throw waitError(hasFailed ? outcome : code, statusUrl, answer)
}
