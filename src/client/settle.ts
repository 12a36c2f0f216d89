import { waitError } from './errors.ts'
import type { Answer } from './status.ts'

/**
 * Returns an answer that is the result.
 *
 * @param statusUrl empty if the answer is the one to the first request
 * @param own whether its status code is the operation's; else only the status in its body can say that it failed
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
