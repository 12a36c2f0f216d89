/** The caller of a request, as the option `principal` names it. A request without a caller is refused. */

import { type Checks, FUNCTION, STRING } from '../model/options.ts'
import { ProblemError, problemError } from '../model/problem.ts'
import type { Logger } from '../util/logger.ts'
import { errorResponse, type HttpResponse } from './message.ts'

/** How callers are told apart. */
export interface CallerOptions<Request> {
  /**
   * Names the caller: the owner of what is submitted, and the only one who can read, list, wait for and cancel it. Where it returns
   * nothing, the request is refused with 401; and where it throws: a `ProblemError` is the answer, an error whose
   * `statusCode` or `status` is 401 or 403 is answered with that, the marks of a fault (an error of the language or of the
   * system, or another status) with 500, and all else, such as what a verifier of tokens throws, with 401.
   * It is called before the body of the request is read.
   * Default: everyone is the same, and knowing an operation's URL is enough.
   */
  readonly principal?: ((request: Request) => Principal | Promise<Principal>) | undefined
  /** What `WWW-Authenticate` says in answers with 401 (RFC 9110, 11.6.1): the scheme, and its parameters. Default `Bearer`. */
  readonly challenge?: string | undefined
}

/** A string that names the caller, or nothing. */
export type Principal = string | null | undefined

export const CALLER_OPTIONS: Checks<CallerOptions<never>> = { principal: FUNCTION, challenge: STRING }

/** The name of the caller, or the response that refuses the request; its challenge is that of the route, where it has one. */
export type Identify<Request> = (request: Request, challenge?: string) => Promise<string | HttpResponse>

/**
 * Makes what asks `principal`; undefined where there is none, and everyone is the same.
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
      if (typeof owner === 'string' && owner !== '') return owner
      if (owner)
        logger.warn({ type: typeof owner }, 'principal returned something that is not a string; the request is refused')
      return refusal(problemError('unauthenticated'), challenge)
    } catch (error) {
      return refusal(toProblem(error, logger), challenge)
    }
  }
}

/** The answer to a request whose caller is refused. */
export function refusal(error: ProblemError, challenge: string): HttpResponse {
  const answer = errorResponse(error)
  // RFC 9110, 15.5.2: an answer with 401 must name a way to be known.
  return answer.status === 401 ? { ...answer, headers: { ...answer.headers, 'WWW-Authenticate': challenge } } : answer
}

/** What `principal` has thrown, as the problem that the caller gets. */
export function toProblem(error: unknown, logger: Logger): ProblemError {
  const said = error instanceof ProblemError ? error.problem.status : statusOf(error)
  if (said >= 500 || (said === 0 && isFault(error))) {
    logger.error({ err: error }, 'principal met an error')
    return error instanceof ProblemError ? error : problemError('internal-error')
  }
  if (error instanceof ProblemError) return error
  // With a verifier that is set up wrongly, the log says here why every request is refused.
  logger.warn({ err: error }, 'principal refused a request')
  return problemError(said === 403 ? 'forbidden' : 'unauthenticated')
}

/** The status that an error carries, as those of authentication plugins do: 500 for one that says nothing of the caller. */
function statusOf(error: unknown): number {
  const { statusCode, status = statusCode } = Object(error) as {
    readonly statusCode?: unknown
    readonly status?: unknown
  }
  if (typeof status !== 'number') return 0
  return status === 401 || status === 403 ? status : 500
}

/** Whether an error is about the program or the network and not about credentials: `fetch` throws a TypeError where a server is away. */
function isFault(error: unknown): boolean {
  const ofTheLanguage = [TypeError, ReferenceError, RangeError, AggregateError, DOMException]
  return ofTheLanguage.some(kind => error instanceof kind) || 'syscall' in Object(error)
}
