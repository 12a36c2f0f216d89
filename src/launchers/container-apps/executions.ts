/**
 * What the engine says about a job's executions. One listing answers many questions, since the subscription limits
 * reads.
 */
import type { TokenBucket } from '../../util/token-bucket.ts'
import type { Answer, ContainerAppsClient } from './container-apps-client.ts'
import { answerOf, type ExecutionDescription, readExecution } from './reader.ts'

/** What an execution knows about itself, from its environment: enough to find it, and to know when it is overdue. */
export const VARIABLES = {
  operationId: 'WAYBILL_OPERATION_ID',
  engine: 'WAYBILL_ENGINE',
  attempt: 'WAYBILL_ATTEMPT',
  launch: 'WAYBILL_LAUNCH',
  timeoutMs: 'WAYBILL_TIMEOUT_MS',
} as const

/** How many pages of a listing are read. Executions beyond them are read one by one, by name. */
const MAX_PAGES = 10
/** How long a listing may wait for its turn among the reads, in milliseconds. */
const LONGEST_TURN_MS = 30_000

/** Any other status, such as `Unknown`, or one that a later version of the service adds, does not say that it has ended. */
const ENDED: readonly string[] = ['Succeeded', 'Failed', 'Stopped']

/** An execution, as a listing or its own response describes it. */
export interface Execution {
  readonly name: string
  readonly alive: boolean
  /** A description of how it ended, for people. */
  readonly account: string
  readonly startedAt: number | undefined
  readonly operationId: string | undefined
  readonly attempt: number | undefined
  readonly launch: number | undefined
  readonly timeoutMs: number | undefined
}

/** The executions at one moment. */
export interface Listing {
  /** When the listing was begun, by the monotonic clock. */
  readonly begunAt: number
  /** The engine's own time, in milliseconds since the epoch. */
  readonly engineTime: number
  readonly byName: ReadonlyMap<string, Execution>
  /** The listing has every execution that was started after this time of the engine. */
  readonly completeFrom: number
}

/** The job, and how to read it. */
export interface ExecutionsOptions {
  readonly client: ContainerAppsClient
  readonly resourceGroup: string
  readonly job: string
  readonly timeoutMs: number
  readonly reads: TokenBucket
  readonly signal: AbortSignal
}

export class Executions {
  readonly #options: ExecutionsOptions
  #last: Listing | undefined
  #running: { readonly begunAt: number; readonly listing: Promise<Listing> } | undefined
  #queued: Promise<Listing> | undefined

  constructor(options: ExecutionsOptions) {
    this.#options = options
  }

  /** A listing that was begun at this moment or later. Callers that come while a listing is read share the next one. */
  async list(since: number): Promise<Listing> {
    if (this.#last !== undefined && this.#last.begunAt >= since) return this.#last
    if (this.#running !== undefined && this.#running.begunAt >= since) return await this.#running.listing
    this.#queued ??= this.#readAfter(this.#running?.listing)
    return await this.#queued
  }

  /** One execution by its name, or undefined where the engine knows of none. */
  async get(name: string): Promise<Execution | undefined> {
    const { client, resourceGroup, job, timeoutMs } = this.#options
    await this.#turn()
    try {
      const options = { requestOptions: { timeout: timeoutMs } }
      return executionOf(readExecution(await answerOf(client.jobExecution(resourceGroup, job, name, options))))
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw error
    }
  }

  async #readAfter(running: Promise<Listing> | undefined): Promise<Listing> {
    await running?.catch(() => {})
    this.#queued = undefined
    const begunAt = performance.now()
    const listing = answerOf(this.#read(begunAt))
    this.#running = { begunAt, listing }
    try {
      this.#last = await listing
      return this.#last
    } finally {
      if (this.#running?.listing === listing) this.#running = undefined
    }
  }

  async #read(begunAt: number): Promise<Listing> {
    const { client, resourceGroup, job, timeoutMs } = this.#options
    const byName = new Map<string, Execution>()
    let engineTime = Date.now()
    const onResponse = ({ headers }: Answer) => {
      engineTime = Date.parse(headers.get('date') ?? '') || engineTime
    }
    await this.#turn()
    // Without a filter: the service refuses every one (azure-rest-api-specs#26257).
    const pages = client.jobsExecutions.list(resourceGroup, job, { requestOptions: { timeout: timeoutMs }, onResponse })
    let count = 0
    for await (const page of pages.byPage()) {
      for (const it of page.map(readExecution)) byName.set(it.name, executionOf(it))
      if (++count === MAX_PAGES) return { begunAt, engineTime, byName, completeFrom: oldestOf(byName) }
      await this.#turn()
    }
    return { begunAt, engineTime, byName, completeFrom: Number.NEGATIVE_INFINITY }
  }

  async #turn(): Promise<void> {
    const ms = await this.#options.reads.waitAndTake(LONGEST_TURN_MS, this.#options.signal)
    if (ms > 0) throw new Error(`The engine is not to be asked for another ${Math.ceil(ms)} ms.`)
  }
}

/**
 * The start time from which on an incomplete listing has every execution. There is none unless the listing is sorted
 * newest first, which is not documented.
 */
function oldestOf(byName: ReadonlyMap<string, Execution>): number {
  const starts = [...byName.values()].map(({ startedAt = Number.POSITIVE_INFINITY }) => startedAt)
  const newestFirst = starts.every((start, index) => start <= (starts[index - 1] ?? Number.POSITIVE_INFINITY))
  return newestFirst ? (starts.at(-1) ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
}

/** The executions that were started for an operation since its last attempt. */
export function findIn(
  { byName }: Listing,
  { operationId, attempt }: { readonly operationId: string; readonly attempt: number },
): Execution[] {
  return [...byName.values()].filter(it => it.operationId === operationId && it.attempt === attempt)
}

/** The execution of one launch. If the launch was made twice, an execution that runs is preferred. */
export function madeIn(
  listing: Listing,
  request: { readonly operationId: string; readonly attempt: number; readonly launch: number },
): Execution | undefined {
  const made = findIn(listing, request).filter(({ launch }) => launch === request.launch)
  return made.find(({ alive }) => alive) ?? made[0]
}

/** The HTTP status that the service answered with; undefined for errors of another kind, such as those of a credential. */
export function statusOf(error: unknown): number | undefined {
  const { name, statusCode } = (error ?? {}) as { name?: unknown; statusCode?: unknown }
  return name === 'RestError' && typeof statusCode === 'number' ? statusCode : undefined
}

function executionOf(described: ExecutionDescription): Execution {
  const { name, status, startedAt, env } = described
  return {
    name,
    alive: !ENDED.includes(status),
    account: accountOf(described),
    startedAt,
    operationId: env.get(VARIABLES.operationId),
    attempt: readNumber(env.get(VARIABLES.attempt)),
    launch: readNumber(env.get(VARIABLES.launch)),
    timeoutMs: readNumber(env.get(VARIABLES.timeoutMs)),
  }
}

function readNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Text of the engine is shown to people, so it is cut to a readable length. */
const LONGEST_ACCOUNT = 500

function accountOf({ name, status, reason, message, failures }: ExecutionDescription): string {
  const why = [reason, message?.replace(/\.$/, '')].filter(Boolean).join(': ')
  const exits = failures.map(
    ({ container, code, information }) =>
      `exit code ${code} of ${container}${information === undefined ? '' : ` (${information})`}`,
  )
  const details = [...(why === '' ? [] : [why]), ...new Set(exits)].join('; ')
  return `Its execution ${name} is ${status}${details && ` (${details})`}`.slice(0, LONGEST_ACCOUNT).concat('.')
}
