/**
 * Has the client send each start once. The SDK re-sends it on 429, 408, 5xx and a reset connection, and a start
 * that was made and badly answered is then made again. Its options switch that off for the whole client alone;
 * a step of its pipeline, inside of its retries, can for one call.
 */
import { parseRetryAfter } from '../../model/protocol.ts'
import type { Answer, ContainerAppsClient, Policy } from './container-apps-client.ts'

/** A start was sent, and not answered with success. Being no `RestError`, it passes the SDK's retries. */
export class StartFailed extends Error {
  override readonly name = 'StartFailed'
  /** Undefined where no answer came. */
  readonly status: number | undefined
  /** When it may be tried again, where the answer says. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, options: ErrorOptions & { status?: number; retryAfterMs?: number | undefined }) {
    super(message, options)
    this.status = options.status
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The least and the most wait after a refused start, in milliseconds. */
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
    // 401 is the pipeline's own: it may ask for another token, and nothing was started.
    if (answer.status < 400 || answer.status === 401) return answer
    throw new StartFailed(`The start was answered with ${answer.status}: ${answer.bodyAsText?.slice(0, 500)}`, {
      status: answer.status,
      retryAfterMs: retryAfterOf(answer),
    })
  },
}

/** Puts the step into a client's pipeline. Once is enough, and more do no harm. */
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

/** An answer that asks for no wait, or for one of days, is not taken at its word. */
function bounded(ms: number): number {
  return Math.min(Math.max(ms, LEAST_RETRY_MS), MOST_RETRY_MS)
}
