/**
 * Makes the client send each start only once. The SDK retries on 429, 408, 5xx and a reset connection, so a start that
 * was made but badly answered would be made twice. The options of the SDK can turn retries off only for the whole
 * client; a policy inside its retries can do it for one call.
 */
import { parseRetryAfter } from '../../model/protocol.ts'
import type { Answer, ContainerAppsClient, Policy } from './container-apps-client.ts'

/** A start was sent and not answered with success. The SDK does not retry this error, since it is not a `RestError`. */
export class StartFailed extends Error {
  override readonly name = 'StartFailed'
  /** Undefined where no answer came. */
  readonly status: number | undefined
  /** When it may be retried, if the answer says so. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, options: ErrorOptions & { status?: number; retryAfterMs?: number | undefined }) {
    super(message, options)
    this.status = options.status
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The shortest and the longest wait after a refused start, in milliseconds. */
const LEAST_RETRY_MS = 1000
const MOST_RETRY_MS = 600_000

const START = /\/providers\/Microsoft\.App\/jobs\/[^/?]+\/start(\?|$)/i

const startOnce: Policy = {
  name: 'waybillStartOnce',
  sendRequest: async (request, next) => {
    if (request.method !== 'POST' || !START.test(request.url)) return await next(request)
    const answer = await next(request).catch(cause => {
      throw new StartFailed(`The start got no answer: ${cause}`, { cause })
    })
    // The pipeline itself handles 401: it may request another token, and nothing was started.
    if (answer.status < 400 || answer.status === 401) return answer
    throw new StartFailed(`The start was answered with ${answer.status}: ${answer.bodyAsText?.slice(0, 500)}`, {
      status: answer.status,
      retryAfterMs: retryAfterOf(answer),
    })
  },
}

/** Adds the policy to a client's pipeline. To add it several times does no harm. */
export function sendStartsOnce({ pipeline }: ContainerAppsClient): void {
  pipeline.removePolicy({ name: startOnce.name })
  // After signing, so that an error without this step says that nothing was sent.
  pipeline.addPolicy(startOnce, { afterPhase: 'Sign' })
}

function retryAfterOf({ headers }: Answer): number | undefined {
  for (const name of ['retry-after-ms', 'x-ms-retry-after-ms']) {
    const value = headers.get(name)
    if (value !== undefined && /^\d{1,9}$/.test(value)) return bounded(Number(value))
  }
  const ms = parseRetryAfter(headers.get('retry-after'), headers.get('date'))
  return ms === undefined ? undefined : bounded(ms)
}

/** A `Retry-After` of 0 or of days is replaced by the nearest bound. */
function bounded(ms: number): number {
  return Math.min(Math.max(ms, LEAST_RETRY_MS), MOST_RETRY_MS)
}
