/** The caller of a request, as the option `principal` names it. A request without a caller is refused. */

import { type Checks, FUNCTION, STRING } from '../model/options.ts'
import { ProblemError, problemError } from '../model/problem.ts'
import type { Logger } from '../util/logger.ts'
import { errorResponse, type HttpResponse } from './message.ts'

/** How callers are identified. */
export interface CallerOptions<Request> {
  /**
   * Names the caller: the owner of what is submitted, and the only one who can read, list, wait for and cancel it. If
   * it returns nothing, the request is refused with 401. If it throws a `ProblemError`, that is the answer. An error
   * whose `statusCode` or `status` is 401 or 403 is answered with that status. A fault (a `TypeError` and the like, a
   * system error, or another status) is answered with 500, and every other error, such as one of a token verifier, with
   * 401. It is called before the body of the request is read. Default: all callers count as one, and knowing an
   * operation's URL is enough.
   */
  readonly principal?: ((request: Request) => Principal | Promise<Principal>) | undefined
  /** What `WWW-Authenticate` says in answers with 401 (RFC 9110, 11.6.1): the scheme, and its parameters. Default `Bearer`. */
  readonly challenge?: string | undefined
}

/** Returns a string that names the caller, or nothing. */
export type Principal = string | null | undefined

export const CALLER_OPTIONS: Checks<CallerOptions<never>> = { principal: FUNCTION, challenge: STRING }

/**
 * Finds the name of the caller, or gives the response that refuses the request. Its challenge is that of the route, if
 * the route has one.
 */
export type Identify<Request> = (request: Request, challenge?: string) => Promise<string | HttpResponse>

/**
 * Makes the function that calls `principal`; undefined without the option, when all callers count as one.
 *
 * @example
 * const identify = createIdentify({ principal: (request: Request) => request.headers.get('x-user') }, composition.logger)
 */
export function createIdentify<Request>(
  { principal, challenge: byDefault = 'Bearer' }: CallerOptions<Request>,
  logger: Logger,
): Identify<Request> | undefined {
  if (principal === undefined) return undefined
  return async (request, challenge = byDefault) => {
    try {
      const owner: unknown = await principal(request)
      if (typeof owner === 'string' && owner !== '' && isText(owner)) return owner
      if (owner) logger.warn({ type: typeof owner }, NOT_A_NAME)
      return refusal(problemError('unauthenticated'), challenge)
    } catch (error) {
      return refusal(toProblem(error, logger), challenge)
    }
  }
}

const NOT_A_NAME =
  'principal returned something that is not a string, or contains a NUL character or half of a surrogate pair; the request is refused'

/** Not every store can hold other strings, and of a name that it cannot hold it would only say that it failed. */
function isText(owner: string): boolean {
  return owner.isWellFormed() && !owner.includes('\0')
}

/** The answer to a request whose caller is refused. */
export function refusal(error: ProblemError, challenge: string): HttpResponse {
  const answer = errorResponse(error)
  // RFC 9110, 15.5.2: an answer with 401 must name a way to authenticate.
  return answer.status === 401 ? { ...answer, headers: { ...answer.headers, 'WWW-Authenticate': challenge } } : answer
}

/** Turns an error of `principal` into the problem for the caller. */
export function toProblem(error: unknown, logger: Logger): ProblemError {
  const said = error instanceof ProblemError ? error.problem.status : statusOf(error)
  if (said >= 500 || (said === 0 && isFault(error))) {
    logger.error({ err: error }, 'principal met an error')
    return error instanceof ProblemError ? error : problemError('internal-error')
  }
  if (error instanceof ProblemError) return error
  // If the verifier is set up wrongly, this log entry says why every request is refused.
  logger.warn({ err: error }, 'principal refused a request')
  return problemError(said === 403 ? 'forbidden' : 'unauthenticated')
}

/** The status of an error, as authentication plugins set it. A status that does not concern the caller becomes 500. */
function statusOf(error: unknown): number {
  const { statusCode, status = statusCode } = Object(error) as {
    readonly statusCode?: unknown
    readonly status?: unknown
  }
  if (typeof status !== 'number') return 0
  return status === 401 || status === 403 ? status : 500
}

/**
 * Whether an error concerns the program or the network and not the credentials: `fetch` throws a TypeError if a server
 * is unreachable.
 */
function isFault(error: unknown): boolean {
  const ofTheLanguage = [TypeError, ReferenceError, RangeError, AggregateError, DOMException]
  return ofTheLanguage.some(kind => error instanceof kind) || 'syscall' in Object(error)
}
