/** Opens a store that may not answer yet: an execution may start before its network, its identity or a free connection is there. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../util/logger.ts'

/** The pauses between two tries, in milliseconds: twice as long each time, up to the longest. */
const PAUSE_MS = { first: 250, longest: 2000 } as const

/** Codes of errors of systems and networks that go by themselves. */
const TRANSIENT_CODES = new Set<unknown>([
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  // PostgreSQL: no free connection, starting or shutting down.
  '53300',
  '57P01',
  '57P03',
  // HTTP.
  408,
  429,
  500,
  502,
  503,
  504,
])

export interface OpenPatientlyOptions {
  /** How long it is tried, in milliseconds. */
  readonly startupMs: number
  readonly logger: Logger
}

/**
 * Opens what may not be reachable yet.
 *
 * @throws the last error when the time is up, or the first one that does not go by itself
 */
export async function openPatiently(
  open: () => Promise<void>,
  { startupMs, logger }: OpenPatientlyOptions,
): Promise<void> {
  const until = performance.now() + startupMs
  for (let pauseMs: number = PAUSE_MS.first; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS.longest)) {
    try {
      await open()
      return
    } catch (error) {
      if (!isTransient(error) || performance.now() + pauseMs >= until) throw error
      logger.warn({ err: error }, 'The store cannot be opened yet; will retry')
      await sleep(pauseMs)
    }
  }
}

/** Whether the error, or what caused it, goes by itself. */
function isTransient(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 5) return false
  const { code, name, message, cause, errors } = error as Readonly<Record<string, unknown>>
  if (TRANSIENT_CODES.has(code) || name === 'NoTokenError') return true
  if (typeof message === 'string' && /\b(?:did not answer|timed? ?out|timeout)\b/i.test(message)) return true
  return [cause, ...(Array.isArray(errors) ? errors : [])].some(it => isTransient(it, depth + 1))
}
