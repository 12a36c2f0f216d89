/** What Jobs say of their executions, seen through one listing for all that are looked at in one moment. */
import type { KubernetesCondition, KubernetesJob, KubernetesJobList, KubernetesJobsApi } from './api.ts'
import { readFault } from './faults.ts'
import { SELECTOR } from './manifest.ts'

/** What a Job says. */
export type JobState =
  | { readonly kind: 'ended'; readonly failed: boolean; readonly reason: string }
  /** It has a pod that runs. */
  | { readonly kind: 'started' }
  /** Its pod does not run yet: no room, no image, no permission, or no time yet. */
  | { readonly kind: 'starting' /** For how long that has been seen. */; readonly sinceMs: number }
  /** Its pod is being ended, or held back, or nobody has looked after it yet. */
  | { readonly kind: 'unsaid' }

/** For how long a listing answers further looks, in milliseconds: a turn of the dispatcher, and no more. */
const FRESH_MS = 1000
const PAGE_SIZE = 500
/** How often a listing is begun anew because its pages have expired. */
const LISTINGS = 3

/** Reads a Job. */
export function stateOf({ metadata, spec, status }: KubernetesJob): JobState {
  const is = (type: string) => status?.conditions?.find(it => it.type === type && it.status === 'True')
  const failed = is('Failed')
  if (failed !== undefined) return { kind: 'ended', failed: true, reason: `Its Job failed: ${describe(failed)}` }
  if (is('Complete') !== undefined) return { kind: 'ended', failed: false, reason: 'Its Job is complete.' }
  // Deleted, past its deadline or done: its pod may still be handing back its work.
  const ending = is('FailureTarget') ?? is('SuccessCriteriaMet') ?? metadata?.deletionTimestamp
  if (ending !== undefined || spec?.suspend === true) return { kind: 'unsaid' }
  if ((status?.ready ?? 0) > 0) return { kind: 'started' }
  const ended = (status?.succeeded ?? 0) + (status?.failed ?? 0) > 0
  return status?.ready === 0 && !ended ? { kind: 'starting', sinceMs: 0 } : { kind: 'unsaid' }
}

function describe({ reason, message }: KubernetesCondition): string {
  if (message === undefined || message === '') return `${reason ?? 'no reason is given'}.`
  const text = reason === undefined ? message : `${reason}, ${message}`
  return /[.!]$/.test(text) ? text : `${text}.`
}

/** What is asked for Jobs. */
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

  /** What a Job says; undefined where there is none. */
  async look(name: string): Promise<JobState | undefined> {
    // Those that are complete are not listed, and one that was just created may be missing too.
    return (await this.#listed()).get(name) ?? (await this.#read(name))
  }

  /** Something has changed: the next look is a new one. */
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
      const name = job.metadata?.name ?? ''
      const state = stateOf(job)
      if (state.kind === 'started') since.set(name, Number.POSITIVE_INFINITY)
      if (state.kind === 'starting') since.set(name, this.#since.get(name) ?? now)
      states.set(name, state.kind === 'starting' ? { ...state, sinceMs: now - (since.get(name) ?? now) } : state)
    }
    this.#since = since
    return states
  }

  async #pages(): Promise<readonly KubernetesJob[]> {
    for (let left = LISTINGS; ; left--) {
      try {
        return await this.#allPages()
      } catch (error) {
        if (readFault(error).status !== 410 || left <= 1) throw error
      }
    }
  }

  async #allPages(): Promise<readonly KubernetesJob[]> {
    const jobs: KubernetesJob[] = []
    for (let page: KubernetesJobList | undefined; ; ) {
      page = await this.#page(page?.metadata?._continue)
      jobs.push(...page.items)
      if (!page.metadata?._continue) return jobs
    }
  }

  #page(from: string | undefined): Promise<KubernetesJobList> {
    const { api, namespace, within } = this.#options
    const request = { namespace, labelSelector: SELECTOR, fieldSelector: 'status.successful=0', limit: PAGE_SIZE }
    return within(api.listNamespacedJob(from ? { ...request, _continue: from } : request))
  }

  async #read(name: string): Promise<JobState | undefined> {
    const { api, namespace, within } = this.#options
    try {
      return stateOf(await within(api.readNamespacedJob({ namespace, name })))
    } catch (error) {
      if (readFault(error).status === 404) return undefined
      throw error
    }
  }
}
