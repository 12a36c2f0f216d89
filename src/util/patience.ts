/**
 * Repeats calls that fail for a transient reason: a service that is busy or restarting, a network error, no free
 * connection.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { retry } from './retry-call.ts'

/** The pauses between two tries, in milliseconds: twice as long each time, up to the longest. */
const PAUSE_MS = { first: 250, longest: 2000 } as const

/** Codes of transient errors of systems and networks. */
const TRANSIENT_CODES = new Set<unknown>([
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  // PostgreSQL: conflicting transactions, no free connection, a lock, starting or shutting down.
  '40001',
  '40P01',
  '53300',
  '55P03',
  '57P01',
  '57P02',
  '57P03',
  // HTTP. Cosmos DB: a partition is moving, or two writes conflict.
  408,
  410,
  429,
  449,
  500,
  502,
  503,
  504,
])

/** PostgreSQL's class of connection errors. */
const CONNECTION_CODE = /^08...$/
const TRANSIENT_MESSAGE = /\b(?:did not answer|timed? ?out|timeout|database is locked|connection terminated)\b/i

/** Options of {@link patiently}. */
export interface PatienceOptions {
  /** How long to keep trying, in milliseconds. */
  readonly patienceMs: number
  /** Called with each failure that is followed by another try. */
  readonly onRetry: (error: unknown) => void
}

/**
 * Repeats a call until it succeeds.
 *
 * @throws the last error when the time is up, or the first error that is not transient
 */
export async function patiently<T>(call: () => Promise<T>, { patienceMs, onRetry }: PatienceOptions): Promise<T> {
  const until = performance.now() + patienceMs
  let pauseMs: number = PAUSE_MS.first
  return await retry(call, async error => {
    if (!isTransient(error) || performance.now() + pauseMs >= until) throw error
    onRetry(error)
    await sleep(pauseMs)
    pauseMs = Math.min(pauseMs * 2, PAUSE_MS.longest)
  })
}

/** Whether the error, or its cause, is transient. */
function isTransient(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 5) return false
  const { code, name, message, cause, errors } = error as Readonly<Record<string, unknown>>
  if (TRANSIENT_CODES.has(code) || name === 'NoTokenError') return true
  if (typeof code === 'string' && CONNECTION_CODE.test(code)) return true
  if (typeof message === 'string' && TRANSIENT_MESSAGE.test(message)) return true
  return [cause, ...(Array.isArray(errors) ? errors : [])].some(it => isTransient(it, depth + 1))
}
