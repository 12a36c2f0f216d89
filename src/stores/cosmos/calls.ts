/**
 * The one way to the service: every call has a limit of time, is repeated as long as the service asks
 * for patience, sees what this process has seen before, and tells what it cost.
 *
 * Calls may be repeated because every write of the store is guarded by an id or an ETag, and
 * marked, so that a write whose answer was lost is recognised.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ServerClock } from './clock.ts'
import type { CosmosAnswer, CosmosDiagnostics, CosmosHeaders } from './container.ts'
import { Session, type Tokens } from './session.ts'

/** What a call must hand on to the SDK. */
export interface CallOptions {
  readonly abortSignal: AbortSignal
  readonly sessionToken?: string
}

export interface CallsOptions {
  /** How long one call may take, its repetitions included, in milliseconds. */
  readonly timeoutMs: number
  /** Called with the request units of each response, and the name of the call. */
  readonly onCharge?: ((charge: number, call: string) => void) | undefined
}

/** One try gets this part of the time, so that a connection that has died silently leaves time for another. */
const TRY_PART = 1 / 3
const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/** 410: a partition moves. 408, 500, 503: it is not known whether the write was made. */
const PATIENCE: ReadonlySet<unknown> = new Set([408, 410, 429, 449, 500, 503])
/** With 404: the replica has not yet seen what the session has. */
const READ_SESSION_NOT_AVAILABLE = 1002
const SESSION_TOKEN = 'x-ms-session-token'

type Call<T> = (options: CallOptions, seen: Tokens) => Promise<T>

/** What a page says beside its results. */
export interface Page {
  readonly requestCharge: number
  readonly diagnostics?: CosmosDiagnostics
}

export class CosmosCalls {
  readonly clock = new ServerClock()
  /** Called when an answer names a partition that was not known. */
  onNewPartition: () => void = () => {}
  readonly #options: CallsOptions
  readonly #session = new Session()

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** The calls that concern one item, or the container. */
  async item<Resource>(
    name: string,
    call: (options: CallOptions) => Promise<CosmosAnswer<Resource>>,
  ): Promise<CosmosAnswer<Resource>> {
    return await this.#patiently(name, async (options, seen) => {
      const asked = performance.now()
      try {
        const answer = await call(options)
        this.#heard(name, answer.headers, asked)
        // Only reads reach replicas that lag; a write that was made must not be repeated.
        if (name === 'read' && isStale(answer, seen)) throw new StaleReplica()
        return answer
      } catch (error) {
        if (hasHeaders(error)) this.#heard(name, error.headers, asked)
        throw error
      }
    })
  }

  /** The calls that return pages; `check` is called with each of them, `onLate` where the service did not answer in time. */
  async pages<T>(
    name: string,
    call: (options: CallOptions, check: (page: Page) => void) => Promise<T>,
    onLate: () => void,
  ): Promise<T> {
    const check = ({ requestCharge, diagnostics }: Page) => {
      this.#options.onCharge?.(requestCharge, name)
      if (hasDroppedToken(diagnostics)) throw new StaleReplica()
    }
    return await this.#patiently(name, async options => {
      try {
        return await call(options, check)
      } catch (error) {
        if (options.abortSignal.aborted) onLate()
        throw error
      }
    })
  }

  async #patiently<T>(name: string, call: Call<T>): Promise<T> {
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

  async #once<T>(name: string, call: Call<T>): Promise<T> {
    const { header, tokens } = this.#session
    const session = header === '' ? {} : { sessionToken: header }
    const controller = new AbortController()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      reject(new LateAnswer(name))
      controller.abort()
    }, this.#options.timeoutMs * TRY_PART)
    try {
      // The SDK sleeps between its own repetitions without an ear for the signal: so the two race.
      return await Promise.race([call({ abortSignal: controller.signal, ...session }, tokens), late])
    } finally {
      clearTimeout(timer)
    }
  }

  #heard(name: string, headers: CosmosHeaders, asked: number): void {
    this.clock.heard(headers.date, asked)
    if (this.#session.heard(headers[SESSION_TOKEN])) this.onNewPartition()
    const charge = Number(headers['x-ms-request-charge'])
    if (charge > 0) this.#options.onCharge?.(charge, name)
  }
}

class StaleReplica extends Error {
  readonly code = 503

  constructor() {
    super('The replicas of Cosmos DB that were read have not yet received what this process has seen.')
  }
}

/** Whether a read was answered by a replica that lags behind what was asked for. */
function isStale({ substatus, headers, diagnostics }: CosmosAnswer<unknown>, seen: Tokens): boolean {
  if (substatus === READ_SESSION_NOT_AVAILABLE || hasDroppedToken(diagnostics)) return true
  return Session.isOlder(headers[SESSION_TOKEN], seen)
}

/**
 * Whether the SDK has repeated the request without its session token, as it does after a 404 with the substatus 1002.
 * It repeats no other 404.
 */
function hasDroppedToken(diagnostics: CosmosDiagnostics | undefined): boolean {
  const attempts = diagnostics?.clientSideRequestStatistics.retryDiagnostics.failedAttempts ?? []
  return attempts.some(({ statusCode }) => statusCode === 404)
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
