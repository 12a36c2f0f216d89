/**
 * The one way to the service: every call has a limit of time, is repeated as long as the service asks
 * for patience, sees what this process has seen before, and tells what it cost.
 *
 * Calls may be repeated because every write of the store is guarded by an id or an ETag, and
 * marked, so that a write whose answer was lost is recognised.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ServerClock } from './clock.ts'
import type { CosmosAnswer, CosmosHeaders } from './container.ts'

/** What a call must hand on to the SDK. */
export interface CallOptions {
  readonly abortSignal: AbortSignal
  readonly sessionToken?: string
}

export interface CallsOptions {
  /** How long one call may take, its repetitions included, in milliseconds. */
  readonly timeoutMs: number
  /** Told of the request units of each answer, and of what was called. */
  readonly onCharge?: (charge: number, call: string) => void
}

/** One try gets this part of the time, so that a connection that has died silently leaves time for another. */
const TRY_PART = 1 / 3
const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/** 410: a partition moves. 408, 500, 503: it is not known whether the write was made. */
const PATIENCE: ReadonlySet<unknown> = new Set([408, 410, 429, 449, 500, 503])
/** With 404: the replica has not yet seen what the session has. */
const READ_SESSION_NOT_AVAILABLE = 1002

export class CosmosCalls {
  readonly clock = new ServerClock()
  readonly #options: CallsOptions
  readonly #session = new Session()

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** Calls for one item, or for the container. */
  async item<Resource>(
    name: string,
    call: (options: CallOptions) => Promise<CosmosAnswer<Resource>>,
  ): Promise<CosmosAnswer<Resource>> {
    return await this.#patiently(name, async options => {
      const asked = performance.now()
      try {
        const answer = await call(options)
        this.#heard(name, answer.headers, asked)
        if (answer.substatus === READ_SESSION_NOT_AVAILABLE) throw new StaleReplica()
        return answer
      } catch (error) {
        if (hasHeaders(error)) this.#heard(name, error.headers, asked)
        throw error
      }
    })
  }

  /** Calls for pages; `charge` is to be told what each cost. */
  async pages<T>(
    name: string,
    call: (options: CallOptions, charge: (units: number) => void) => Promise<T>,
  ): Promise<T> {
    return await this.#patiently(name, options => call(options, units => this.#options.onCharge?.(units, name)))
  }

  async #patiently<T>(name: string, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const until = performance.now() + this.#options.timeoutMs
    for (let tries = 0; ; tries++) {
      try {
        return await this.#once(name, call)
      } catch (error) {
        const wait = waitAfter(error, tries)
        if (wait === undefined || performance.now() + wait >= until) throw error
        await sleep(wait)
      }
    }
  }

  async #once<T>(name: string, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      reject(new LateAnswer(name))
      controller.abort()
    }, this.#options.timeoutMs * TRY_PART)
    try {
      // The SDK sleeps between its own repetitions without an ear for the signal: hence the race.
      return await Promise.race([call({ abortSignal: controller.signal, ...this.#session.options }), late])
    } finally {
      clearTimeout(timer)
    }
  }

  #heard(name: string, headers: CosmosHeaders, asked: number): void {
    this.clock.heard(headers.date, asked)
    this.#session.heard(headers['x-ms-session-token'])
    const charge = Number(headers['x-ms-request-charge'])
    if (charge > 0) this.#options.onCharge?.(charge, name)
  }
}

/**
 * What this process has seen of each partition. The SDK sends session tokens only where its client was made with
 * the consistency "Session"; here they are sent always, which a stronger account ignores.
 */
class Session {
  readonly #tokens = new Map<string, { token: string; sequence: number }>()

  get options(): { sessionToken?: string } {
    if (this.#tokens.size === 0) return {}
    return { sessionToken: [...this.#tokens].map(([range, { token }]) => `${range}:${token}`).join(',') }
  }

  /** @param header `range:version#sequence#…`, of one partition or of several */
  heard(header: unknown): void {
    if (typeof header !== 'string') return
    for (const part of header.split(',')) {
      const [range, token] = part.split(':')
      const sequence = Number(token?.split('#')[1])
      if (range === undefined || token === undefined || Number.isNaN(sequence)) continue
      if (sequence > (this.#tokens.get(range)?.sequence ?? -1)) this.#tokens.set(range, { token, sequence })
    }
  }
}

class StaleReplica extends Error {
  readonly code = 503
}

class LateAnswer extends Error {
  readonly code = 408

  constructor(call: string) {
    super(`Cosmos DB did not answer in time (${call}).`)
  }
}

/** The status that an error of the SDK stands for; undefined where it is another's. */
export function statusOf(error: unknown): number | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? code : undefined
}

/** How long to wait before the call is made again, in milliseconds; undefined where that would not help. */
function waitAfter(error: unknown, tries: number): number | undefined {
  if (!(error instanceof Error) || !(PATIENCE.has(statusOf(error)) || isNetwork(error))) return undefined
  const backoff = Math.min(FIRST_WAIT_MS * 2 ** tries, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2)
  const hint = 'retryAfterInMs' in error ? Number(error.retryAfterInMs) : 0
  // The hint is for everyone who was refused: spread a little, they do not come back at one moment.
  return hint > 0 ? hint * (1 + Math.random() / 4) : backoff
}

/** Errors of connections have a code that is a word. */
function isNetwork(error: Error): boolean {
  return error.name === 'AbortError' || ('code' in error && typeof error.code === 'string')
}

function hasHeaders(error: unknown): error is Error & { headers: CosmosHeaders } {
  return error instanceof Error && 'headers' in error && typeof error.headers === 'object' && error.headers !== null
}
