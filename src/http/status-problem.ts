/** The problem of an HTTP status that a hook or another plugin has chosen. */
import { STATUS_CODES } from 'node:http'
import { problem } from '../model/problem.ts'
import type { ProblemCode } from '../model/problem-kinds.ts'
import type { Problem } from '../model/protocol.ts'

/** The statuses that one kind of problem stands for, whatever the reason. */
const KINDS: Readonly<Partial<Record<number, ProblemCode>>> = {
  400: 'invalid-request',
  401: 'unauthenticated',
  403: 'forbidden',
  413: 'body-too-large',
  415: 'unsupported-media-type',
  429: 'too-many-requests',
  500: 'internal-error',
  503: 'unavailable',
}

/**
 * Makes the problem. A status without a kind gives a problem that only has the status (RFC 9457, 4.2.1).
 *
 * @param status 400 to 599
 * @param message the message of the error. It is sent to clients only below 500, since the message of a server fault
 * may contain secrets
 */
export function statusProblem(status: number, message: string): Problem {
  const code = KINDS[status]
  const detail = status < 500 && message !== '' ? message : undefined
  if (code !== undefined) return problem(code, detail)
  const title = STATUS_CODES[status] ?? 'The request was refused'
  return { type: 'about:blank', title, status, ...(detail !== undefined && { detail }) }
}
