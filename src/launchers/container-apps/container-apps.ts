/**
 * The Azure Container Apps launcher: one execution of a Container Apps Job for each operation, started through the
 * management SDK, with the operation's id in its environment.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Duration, durationMs, MINUTE, SECOND } from '../../model/duration.ts'
import {
  type Checks,
  checkOptions,
  duration,
  FUNCTION,
  OBJECT,
  type RenamedOptions,
  required,
  STRING,
  STRING_RECORD,
} from '../../model/options.ts'
import { Loop } from '../../util/loop.ts'
import { TokenBucket, type TokenRate } from '../../util/token-bucket.ts'
import { emitWarning } from '../../util/warning.ts'
import {
  type ExecutionState,
  type Launcher,
  LaunchRefused,
  type LaunchRequest,
  type RefusalReason,
} from '../launcher.ts'
import type { Answer, ContainerAppsClient, ExecutionTemplate } from './container-apps-client.ts'
import { type Execution, Executions, findIn, type Listing, madeIn, statusOf, VARIABLES } from './executions.ts'
import { answerOf, readJob } from './reader.ts'
import { StartFailed, sendStartsOnce } from './start-once.ts'
import { flawsOf, KeptJob, templateWith, UnusableJob } from './template.ts'

export type { ContainerAppsClient } from './container-apps-client.ts'

/** Options of {@link containerAppsJob}. */
export interface ContainerAppsJobOptions {
  readonly resourceGroup: string
  /** The name of the job resource. */
  readonly job: string
  /** The container that gets the operation's id. Default: the first. */
  readonly container?: string | undefined
  /** A further environment variable that holds the operation's id, beside `WAYBILL_OPERATION_ID`. */
  readonly variable?: string | undefined
  /** Further environment variables. Do not put secrets here: everyone who may read executions can read them. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How fast executions are started and stopped. Default: 10 a second, 100 at once. A subscription allows 10 and 200. */
  readonly rate?: Partial<TokenRate> | undefined
  /** How long the job's template is cached. Default 1 minute. */
  readonly templateTtl?: Duration | undefined
  /**
   * How long a started execution may take to appear in the list of executions, up to 40 s. If it does not appear, the
   * start counts as not made. Default 10 s.
   */
  readonly settleTimeout?: Duration | undefined
  /**
   * How long an execution may take to come up. One that is older than this and the operation's timeout together is
   * stopped. Default 15 minutes.
   */
  readonly startupTimeout?: Duration | undefined
  /** How long Azure may take to answer a request. Default 20 s. */
  readonly requestTimeout?: Duration | undefined
  /** The time between two checks for overdue executions. Default 1 minute. */
  readonly overdueInterval?: Duration | undefined
  /**
   * The engine's name in the record. Default `container-apps`. Launchers of several jobs that work on one store need
   * different names, since none sees the executions of another job.
   */
  readonly engine?: string | undefined
  /** Called with what an operator should change. Default: a process warning. */
  readonly warn?: ((message: string) => void) | undefined
}

/** How many starts run at once: the engine takes a second or more for each. */
const PARALLEL_STARTS = 32
/** How old a listing may be to tell the state of an execution, in milliseconds. */
const FRESH_MS = 1000
/** How long a start waits for its turn before it is refused, in milliseconds. */
const LONGEST_TURN_MS = 5000
/** After how long a refused start is retried if the refusal names no time, in milliseconds. */
const RETRY_MS: Readonly<Record<RefusalReason, number>> = {
  limit: 5000,
  throttled: 5000,
  unavailable: 5000,
  unusable: 30_000,
  // There is room again when an execution ends. Until then, each further start would be refused.
  quota: 30_000,
}
/** A share of the 25 reads a second that a subscription allows. */
const READS: TokenRate = { perSecond: 15, burst: 60 }
const STARTS: TokenRate = { perSecond: 10, burst: 100 }

const CLIENT: Checks<{ client: ContainerAppsClient }> = {
  client: required({
    expected: 'a ContainerAppsAPIClient of @azure/arm-appcontainers, passed as the first argument',
    test: client => OBJECT.test(client) && OBJECT.test((client as { jobs?: unknown }).jobs),
  }),
}
const RESOURCE_NAME = required({ ...STRING, expected: 'the name of a resource in Azure' })
const OPTIONS: Checks<ContainerAppsJobOptions> = {
  resourceGroup: RESOURCE_NAME,
  job: RESOURCE_NAME,
  container: STRING,
  variable: STRING,
  env: STRING_RECORD,
  rate: OBJECT,
  templateTtl: duration(),
  settleTimeout: duration({ max: 40 * SECOND }),
  startupTimeout: duration(),
  requestTimeout: duration({ min: 10 }),
  overdueInterval: duration({ min: 10 }),
  engine: STRING,
  warn: FUNCTION,
}
const RENAMED: RenamedOptions<ContainerAppsJobOptions> = {
  keep: 'templateTtl',
  settle: 'settleTimeout',
  startup: 'startupTimeout',
  timeout: 'requestTimeout',
  watch: 'overdueInterval',
}
const RATE: Checks<TokenRate> = {
  perSecond: { expected: 'a number above 0', test: value => typeof value === 'number' && value > 0 },
  burst: { expected: 'a number of at least 1', test: value => typeof value === 'number' && value >= 1 },
}

/**
 * Makes a launcher that starts one execution of a Container Apps Job for each operation.
 *
 * @param client a `ContainerAppsAPIClient` of `@azure/arm-appcontainers`. The launcher adds a policy to its pipeline that
 * sends each start once; the client's retries of everything else stay as they are
 * @throws {TypeError} for an unknown or invalid option; the message names it
 * @example
 * const client = new ContainerAppsAPIClient(new DefaultAzureCredential(), subscriptionId)
 * const launcher = containerAppsJob(client, { resourceGroup: 'orders', job: 'orders-job', variable: 'ORDER_ID' })
 * createWaybill({ operations: [orders], store, dispatcher: { launcher } })
 */
export function containerAppsJob(client: ContainerAppsClient, options: ContainerAppsJobOptions): Launcher {
  checkOptions('containerAppsJob()', { client }, CLIENT)
  return new ContainerAppsJob(client, readSettings(options))
}

type ContainerAppsJobSettings = ReturnType<typeof readSettings>

function readSettings(options: ContainerAppsJobOptions) {
  checkOptions('containerAppsJob()', options, OPTIONS, RENAMED)
  checkOptions('containerAppsJob(): rate', options.rate ?? {}, RATE)
  const { container, variable, env = {} } = options
  const { perSecond = STARTS.perSecond, burst = STARTS.burst } = options.rate ?? {}
  return {
    container,
    variable,
    env,
    rate: { perSecond, burst },
    resourceGroup: options.resourceGroup,
    job: options.job,
    engine: options.engine ?? 'container-apps',
    templateTtlMs: durationMs('templateTtl', options.templateTtl ?? MINUTE),
    settleTimeoutMs: durationMs('settleTimeout', options.settleTimeout ?? 10 * SECOND),
    startupTimeoutMs: durationMs('startupTimeout', options.startupTimeout ?? 15 * MINUTE),
    requestTimeoutMs: durationMs('requestTimeout', options.requestTimeout ?? 20 * SECOND),
    overdueIntervalMs: durationMs('overdueInterval', options.overdueInterval ?? MINUTE),
    warn: options.warn ?? emitWarning,
  }
}

/** What an operator should do about a refusal that does not end by itself. */
const CURES: Readonly<Record<number, string>> = {
  400: 'Check the job, and that the options env and container match it.',
  401: 'Check that the credential is for the tenant of the subscription.',
  403: 'Give the identity the role Container Apps Jobs Operator on the job. A new assignment takes some minutes.',
  404: 'Check subscription, resourceGroup and job.',
}

class ContainerAppsJob implements Launcher {
  readonly engine: string
  readonly parallelStarts = PARALLEL_STARTS
  readonly #client: ContainerAppsClient
  readonly #settings: ContainerAppsJobSettings
  readonly #job: KeptJob
  readonly #executions: Executions
  readonly #writes: TokenBucket
  readonly #watching: Loop
  readonly #closing = new AbortController()
  readonly #warned = new Set<string>()
  /** Refusals that last and of which a warning was given: each is reported once, and again if it returns. */
  readonly #refusals = new Set<string>()
  /** When this process started each execution: the time of the monotonic clock by its name. */
  readonly #young = new Map<string, number>()
  readonly #overdue = new Set<string>()

  constructor(client: ContainerAppsClient, settings: ContainerAppsJobSettings) {
    this.#client = client
    this.#settings = settings
    this.engine = settings.engine
    const { resourceGroup, job, requestTimeoutMs: timeoutMs } = settings
    const { signal } = this.#closing
    sendStartsOnce(client)
    this.#writes = new TokenBucket(settings.rate)
    const reads = new TokenBucket(READS)
    this.#executions = new Executions({ client, resourceGroup, job, timeoutMs, reads, signal })
    this.#job = new KeptJob(
      async () => readJob(await answerOf(client.jobs.get(resourceGroup, job, this.#call))),
      settings.templateTtlMs,
    )
    this.#watching = new Loop({
      name: 'container-apps',
      everyMs: settings.overdueIntervalMs,
      turn: () => this.#stopOverdue(),
      onError: error => this.#warnOfRefusal(`The executions of "${job}" cannot be listed`, error, statusOf(error)),
    })
  }

  async open(): Promise<void> {
    this.#watching.start()
    try {
      for (const flaw of flawsOf(await this.#job.get(), this.#settings.job)) this.#warnOnce(flaw)
    } catch (error) {
      this.#warnOfRefusal('The job cannot be read', error, statusOf(error))
    }
  }

  async start(request: LaunchRequest): Promise<string | undefined> {
    const found = request.launch > 1 ? await this.#findAlive(request) : undefined
    if (found !== undefined) return found.name
    const template = await this.#templateFor(request)
    await this.#turn()
    const sentAt = performance.now()
    try {
      const name = (await this.#send(template)) ?? (await this.#lookFor(request, sentAt))
      if (name !== undefined) this.#started(name)
      return name
    } catch (error) {
      const refusal = this.#refusalOf(error)
      if (refusal !== undefined) throw refusal
      return await this.#settle(request, sentAt, error)
    }
  }

  async stop(execution: string): Promise<void> {
    const { resourceGroup, job } = this.#settings
    await this.#turn()
    try {
      await this.#client.jobs.stopExecution(resourceGroup, job, execution, this.#call).submitted()
    } catch (error) {
      if (statusOf(error) === 404) return
      // An execution that has ended cannot be stopped and need not be stopped.
      const now = await this.#executions.get(execution)
      if (now?.alive) throw error
    }
  }

  async inspect(execution: string): Promise<ExecutionState> {
    const listing = await this.#executions.list(performance.now() - FRESH_MS).catch(() => undefined)
    const found = listing?.byName.get(execution) ?? (await this.#executions.get(execution))
    if (found?.alive) return { kind: 'alive' }
    if (found !== undefined) return { kind: 'gone', reason: found.account }
    const startedAt = this.#young.get(execution)
    if (startedAt !== undefined && performance.now() - startedAt < this.#settings.settleTimeoutMs)
      return { kind: 'alive' }
    return { kind: 'gone', reason: `Its execution ${execution} is unknown to Azure Container Apps.` }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#watching.stop()
  }

  get #call() {
    return { requestOptions: { timeout: this.#settings.requestTimeoutMs } }
  }

  /** Sends the start, and does not wait for the long-running operation. */
  async #send(template: ExecutionTemplate): Promise<string | undefined> {
    const { resourceGroup, job } = this.#settings
    let answer: Answer | undefined
    const onResponse = (response: Answer) => {
      answer = response
    }
    try {
      await this.#client.jobs.start(resourceGroup, job, { ...this.#call, template, onResponse }).submitted()
    } catch (error) {
      // The SDK also fails for a response without a body, although the execution was started.
      if (answer === undefined || answer.status >= 300) throw error
    }
    // After a 202, the SDK gives the name only when the whole start is done. The response usually has it already.
    return nameIn(answer?.bodyAsText)
  }

  /** A refusal if nothing can have been started; undefined if something may have been started. */
  #refusalOf(error: unknown): LaunchRefused | undefined {
    const { job } = this.#settings
    const sent = error instanceof StartFailed
    const status = sent ? error.status : (statusOf(error) ?? 0)
    if (status === undefined || status === 408 || status >= 500) return undefined
    const reason = reasonOf(status, error)
    const retryAfterMs = (sent ? error.retryAfterMs : undefined) ?? RETRY_MS[reason]
    if (status === 429 && reason === 'throttled') this.#writes.pause(retryAfterMs)
    if (reason === 'throttled' || reason === 'quota') {
      const what = reason === 'quota' ? 'has no room for another execution' : 'takes no start'
      return new LaunchRefused(`Azure ${what} of "${job}" now (${status}).`, retryAfterMs, { cause: error, reason })
    }
    this.#job.expire()
    const message = this.#warnOfRefusal('No execution can be started', error, status)
    return new LaunchRefused(message, retryAfterMs, { cause: error, reason })
  }

  /** A start without an answer, or with an unclear one: the list of executions shows whether it was made. */
  async #settle(request: LaunchRequest, sentAt: number, error: unknown): Promise<string> {
    const until = sentAt + this.#settings.settleTimeoutMs
    for (let pauseMs = 250; ; pauseMs = Math.min(pauseMs * 2, 4000)) {
      const now = performance.now()
      const listing = await this.#executions.list(now).catch(() => undefined)
      const found = listing && madeIn(listing, request)
      if (found !== undefined) {
        this.#started(found.name)
        return found.name
      }
      if (now >= until) throw errorOfUnlisted(listing, now - sentAt, error)
      await sleep(Math.max(1, Math.min(pauseMs, until - now)), undefined, { signal: this.#closing.signal })
    }
  }

  /** The name of the execution that was just started, if it is already listed. */
  async #lookFor(request: LaunchRequest, sentAt: number): Promise<string | undefined> {
    const listing = await this.#executions.list(sentAt).catch(() => undefined)
    return listing && madeIn(listing, request)?.name
  }

  /** An earlier start may have been made without an answer, or be slow. Another execution would only cost money. */
  async #findAlive(request: LaunchRequest): Promise<Execution | undefined> {
    const listing = await this.#executions.list(performance.now()).catch(() => undefined)
    return listing && findIn(listing, request).find(({ alive }) => alive)
  }

  async #templateFor({ operationId, attempt, launch, timeoutMs }: LaunchRequest): Promise<ExecutionTemplate> {
    const { job: name, env, variable, container } = this.#settings
    try {
      const job = await this.#job.get()
      this.#checkTimeout(job.replicaTimeout, timeoutMs)
      const own = {
        [VARIABLES.operationId]: operationId,
        [VARIABLES.engine]: this.engine,
        [VARIABLES.attempt]: String(attempt),
        [VARIABLES.launch]: String(launch),
        [VARIABLES.timeoutMs]: String(timeoutMs),
      }
      return templateWith(
        job,
        { ...env, ...(variable !== undefined && { [variable]: operationId }), ...own },
        container,
      )
    } catch (error) {
      const status = statusOf(error) ?? 0
      const reason = error instanceof UnusableJob ? 'unusable' : reasonOf(status, error)
      const shown = error instanceof UnusableJob ? 400 : status
      const message = this.#warnOfRefusal(`The job "${name}" cannot be used`, error, shown)
      throw new LaunchRefused(message, RETRY_MS[reason], { cause: error, reason })
    }
  }

  #checkTimeout(replicaTimeout: number | undefined, timeoutMs: number): void {
    if (replicaTimeout === undefined || replicaTimeout * 1000 >= timeoutMs) return
    this.#warnOnce(
      `The job "${this.#settings.job}" ends its replicas after ${replicaTimeout} s, sooner than an operation's timeout ` +
        `of ${timeoutMs / 1000} s. Raise replicaTimeout above it.`,
    )
  }

  async #turn(): Promise<void> {
    const ms = await this.#writes.waitAndTake(LONGEST_TURN_MS, this.#closing.signal).catch(() => RETRY_MS.throttled)
    if (ms > 0) throw new LaunchRefused('Executions are started as fast as Azure takes it.', ms, { reason: 'limit' })
  }

  #started(name: string): void {
    const now = performance.now()
    this.#refusals.clear()
    this.#young.set(name, now)
    for (const [old, at] of this.#young) {
      if (now - at < this.#settings.settleTimeoutMs) break
      this.#young.delete(old)
    }
  }

  async #stopOverdue(): Promise<void> {
    const listing = await this.#executions.list(performance.now() - FRESH_MS)
    const overdue = [...listing.byName.values()].filter(it => this.#isOverdue(it, listing))
    for (const { name } of overdue) {
      if (this.#overdue.has(name)) continue
      await this.stop(name)
      this.#overdue.add(name)
    }
    for (const name of this.#overdue) if (!listing.byName.get(name)?.alive) this.#overdue.delete(name)
  }

  #isOverdue({ alive, startedAt, timeoutMs }: Execution, { engineTime }: Listing): boolean {
    if (!alive || startedAt === undefined || timeoutMs === undefined) return false
    return engineTime - startedAt > this.#settings.startupTimeoutMs + timeoutMs
  }

  /** Gives the warning, unless the last one of its kind had the same content. */
  #warnOfRefusal(what: string, error: unknown, status: number | undefined): string {
    const cure = CURES[status ?? 0]
    const message = `${what}: ${error}${cure === undefined ? '' : ` ${cure}`}`
    const kind = `${what} ${status}`
    if (!this.#refusals.has(kind)) this.#settings.warn(message)
    this.#refusals.add(kind)
    return message
  }

  #warnOnce(message: string): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    this.#settings.warn(message)
  }
}

/** Codes and texts of Azure for "no capacity", whatever the status. */
const QUOTA = /quota|MaxNumberOf|LimitExceeded|CapacityHeavyUsage|maximum allowed/i

function reasonOf(status: number, error: unknown): RefusalReason {
  if (status >= 400 && status !== 401 && status < 500 && QUOTA.test(String(error))) return 'quota'
  if (status === 429 || status === 409) return 'throttled'
  // A lower status means that the credential gave no token, or that nothing was sent.
  return status >= 400 && status < 500 ? 'unusable' : 'unavailable'
}

/**
 * The error of a start whose execution is not in the list: it was not made, or the list is not complete and a later one
 * must show it.
 */
function errorOfUnlisted(listing: Listing | undefined, sinceMs: number, error: unknown): unknown {
  if (listing === undefined || listing.completeFrom > listing.engineTime - sinceMs - SECOND) return error
  const ms = (error instanceof StartFailed ? error.retryAfterMs : undefined) ?? SECOND
  return new LaunchRefused(`A start failed and left no execution: ${error}`, ms, { cause: error })
}

function nameIn(body: string | null | undefined): string | undefined {
  try {
    const { name } = JSON.parse(body ?? '') as { name?: unknown }
    return typeof name === 'string' && name !== '' ? name : undefined
  } catch {
    return undefined
  }
}
