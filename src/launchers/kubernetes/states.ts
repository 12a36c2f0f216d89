/** The states of executions by their Jobs. One listing serves all executions that are checked at the same moment. */
import { retry } from '../../util/retry-call.ts'
import type { KubernetesJobsApi } from './api.ts'
import { readFault } from './api-fault.ts'
import { SELECTOR } from './manifest.ts'
import { type JobCondition, type JobDescription, type JobPage, readJob, readPage } from './reader.ts'

/** The state of an execution, by its Job. */
export type JobState =
  | { readonly kind: 'ended'; readonly failed: boolean; readonly reason: string }
  /** It has a pod that runs. */
  | { readonly kind: 'started' }
  /** Its pod does not run yet: no room, no image, no permission, or no time yet. */
  | { readonly kind: 'starting' /** For how long that has been seen. */; readonly sinceMs: number }
  /** Its pod is being ended or is suspended, or the Job controller has not seen it yet. */
  | { readonly kind: 'unsaid' }

/** How long a listing is reused, in milliseconds: for one turn of the dispatcher. */
const FRESH_MS = 1000
const PAGE_SIZE = 500
/** How often a listing starts again because its pages have expired. */
const LISTINGS = 3

/** What the conditions of a Job mean. */
export function stateOf(job: JobDescription): JobState {
  const has = (type: string) => job.conditions.some(it => it.type === type)
  const failure = job.conditions.find(it => it.type === 'Failed')
  if (failure !== undefined) return { kind: 'ended', failed: true, reason: `Its Job failed: ${describe(failure)}` }
  if (has('Complete')) return { kind: 'ended', failed: false, reason: 'Its Job is complete.' }
  // Deleted, past its deadline or done: its pod may still be handing back its work.
  const isEnding = has('FailureTarget') || has('SuccessCriteriaMet') || job.isBeingDeleted
  if (isEnding || job.isSuspended) return { kind: 'unsaid' }
  if ((job.ready ?? 0) > 0) return { kind: 'started' }
  return job.ready === 0 && job.succeeded + job.failed === 0 ? { kind: 'starting', sinceMs: 0 } : { kind: 'unsaid' }
}

function describe({ reason, message }: JobCondition): string {
  if (message === undefined) return `${reason ?? 'no reason is given'}.`
  const text = reason === undefined ? message : `${reason}, ${message}`
  return /[.!]$/.test(text) ? text : `${text}.`
}

/** The API through which Jobs are read. */
export interface JobStatesOptions {
  readonly api: KubernetesJobsApi
  readonly namespace: string
  /** Puts a limit of time on a call. */
  readonly within: <T>(call: Promise<T>) => Promise<T>
}

export class JobStates {
  readonly #options: JobStatesOptions
  #listing: Promise<ReadonlyMap<string, JobState>> | undefined
  #freshUntil = 0
  /** When each was first seen not to have started, by the monotonic clock; infinite for those that have. */
  #since: ReadonlyMap<string, number> = new Map()

  constructor(options: JobStatesOptions) {
    this.#options = options
  }

  /** The state by the Job; undefined if there is no Job. */
  async look(name: string): Promise<JobState | undefined> {
    // Complete Jobs are not listed, and a Job that was just created may be missing, too.
    return (await this.#listed()).get(name) ?? (await this.#read(name))
  }

  /** Something has changed: the next check reads a new listing. */
  forget(): void {
    this.#listing = undefined
  }

  #listed(): Promise<ReadonlyMap<string, JobState>> {
    if (this.#listing !== undefined && performance.now() < this.#freshUntil) return this.#listing
    const listing = this.#list()
    this.#listing = listing
    this.#freshUntil = Number.POSITIVE_INFINITY
    const settle = (until: number) => {
      if (this.#listing === listing) this.#freshUntil = until
    }
    listing.then(
      () => settle(performance.now() + FRESH_MS),
      () => settle(0),
    )
    return listing
  }

  async #list(): Promise<ReadonlyMap<string, JobState>> {
    const now = performance.now()
    const since = new Map<string, number>()
    const states = new Map<string, JobState>()
    for (const job of await this.#pages()) {
      const { name } = job
      const state = stateOf(job)
      if (state.kind === 'started') since.set(name, Number.POSITIVE_INFINITY)
      if (state.kind === 'starting') since.set(name, this.#since.get(name) ?? now)
      states.set(name, state.kind === 'starting' ? { ...state, sinceMs: now - (since.get(name) ?? now) } : state)
    }
    this.#since = since
    return states
  }

  async #pages(): Promise<readonly JobDescription[]> {
    return await retry(
      () => this.#allPages(),
      (error, failures) => {
        if (readFault(error).status !== 410 || failures === LISTINGS) throw error
      },
    )
  }

  async #allPages(): Promise<readonly JobDescription[]> {
    const jobs: JobDescription[] = []
    for (let page: JobPage | undefined; ; ) {
      page = await this.#page(page?.next)
      jobs.push(...page.jobs)
      if (page.next === undefined) return jobs
    }
  }

  async #page(from: string | undefined): Promise<JobPage> {
    const { api, namespace, within } = this.#options
    const request = { namespace, labelSelector: SELECTOR, fieldSelector: 'status.successful=0', limit: PAGE_SIZE }
    return readPage(await within(api.listNamespacedJob(from ? { ...request, _continue: from } : request)))
  }

  async #read(name: string): Promise<JobState | undefined> {
    const { api, namespace, within } = this.#options
    try {
      return stateOf(readJob(await within(api.readNamespacedJob({ namespace, name }))))
    } catch (error) {
      if (readFault(error).status === 404) return undefined
      throw error
    }
  }
}
