/**
 * All calls of the service go through this file. Each call has a time limit, is repeated while the service reports a
 * transient error, sees everything that this process has seen before, and reports its cost.
 *
 * Calls may be repeated because every write of the store is guarded by an id or an ETag, and has a mark by which a
 * write whose answer was lost is recognized.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { retry } from '../../util/retry-call.ts'
import { ServerClock } from './clock.ts'
import type { CosmosAnswer, CosmosDiagnostics, CosmosHeaders } from './container.ts'
import { Session, type Tokens } from './session.ts'

/** The options that a call must pass to the SDK. */
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

/** One try gets this part of the time limit, so that a dead connection leaves time for another try. */
const TRY_PART = 1 / 3
const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/** 410: a partition is moving. 408, 500, 503: it is not known whether the write was made. */
const PATIENCE: ReadonlySet<unknown> = new Set([408, 410, 429, 449, 500, 503])
/** The substatus of a 404 that means: the replica has not yet received what the session has seen. */
const READ_SESSION_NOT_AVAILABLE = 1002
const SESSION_TOKEN = 'x-ms-session-token'

type Call<T> = (options: CallOptions, seen: Tokens) => Promise<T>

/** What a page contains besides its results. */
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

  /** Makes a call that concerns one item, or the container. */
  async item<Resource>(
    name: string,
    call: (options: CallOptions) => Promise<CosmosAnswer<Resource>>,
  ): Promise<CosmosAnswer<Resource>> {
    return await this.#patiently(name, async (options, seen) => {
      const asked = performance.now()
      try {
        const answer = await call(options)
        this.#heard(name, answer.headers, asked)
        // Only reads are answered by replicas that lag. A write that was made must not be repeated.
        if (name === 'read' && isStale(answer, seen)) throw new StaleReplica()
        return answer
      } catch (error) {
        if (hasHeaders(error)) this.#heard(name, error.headers, asked)
        throw error
      }
    })
  }

  /**
   * Makes a call that returns pages. `check` is called with each page, and `onLate` if the service does not answer in
   * time.
   */
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
    return await retry(
      () => this.#once(name, call),
      async (error, failures) => {
        const wait = waitAfter(error, failures - 1)
        if (wait === undefined || performance.now() + wait >= until) throw error
        await sleep(wait)
      },
    )
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
      // While the SDK sleeps between its own retries, it ignores the signal. So the call and the signal race.
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

/** Whether a read was answered by a replica that lacks writes which the read must see. */
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

/** The status of an error of the SDK; undefined for other errors. */
export function statusOf(error: unknown): number | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? code : undefined
}

/** How long to wait before the call is repeated, in milliseconds; undefined if a repetition would not help. */
function waitAfter(error: unknown, tries: number): number | undefined {
  if (!(error instanceof Error) || !(PATIENCE.has(statusOf(error)) || isNetwork(error))) return undefined
  const backoff = Math.min(FIRST_WAIT_MS * 2 ** tries, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2)
  const hint = 'retryAfterInMs' in error ? Number(error.retryAfterInMs) : 0
  // All callers that were refused get the same hint. A random part prevents that they all come back at the same moment.
  return hint > 0 ? hint * (1 + Math.random() / 4) : backoff
}

/** Connection errors have a code that is a word. */
function isNetwork(error: Error): boolean {
  return error.name === 'AbortError' || ('code' in error && typeof error.code === 'string')
}

function hasHeaders(error: unknown): error is Error & { headers: CosmosHeaders } {
  return error instanceof Error && 'headers' in error && typeof error.headers === 'object' && error.headers !== null
}
