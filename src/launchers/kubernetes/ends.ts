/** Watches Jobs, to notice ends at once and not only at the next listing. The watch is a hint: it may miss any end. */
import type { KubernetesJobsApi, KubernetesWatch } from './api.ts'
import { readFault } from './api-fault.ts'
import { SELECTOR } from './manifest.ts'
import { readJob, readPage } from './reader.ts'
import { stateOf } from './states.ts'

/** What the watch needs. */
export interface EndsOptions {
  readonly api: KubernetesJobsApi
  readonly watch: KubernetesWatch
  readonly namespace: string
  /** Called when a Job has failed or was deleted before its end, and when such an event may have been missed. */
  readonly onEnd: () => void
}

/**
 * How long the server keeps a watch open, in seconds. The client treats a watch as failed if it is silent for 30 s, and
 * on a quiet cluster a server sends something only once a minute.
 */
const WATCH_SECONDS = 25
/** A watch that ends normally after at least this time is not a failure. */
const SHORTEST_WATCH_MS = 1000
const SHORTEST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 5000

export class Ends {
  readonly #options: EndsOptions
  /** Where the next watch begins; undefined: now. */
  #version: string | undefined
  #watching: { abort(): void } | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #begunAt = 0
  #stopped = false

  constructor(options: EndsOptions) {
    this.#options = options
    void this.#watch()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#watching?.abort()
  }

  async #watch(): Promise<void> {
    const { watch, namespace } = this.#options
    let ended = false
    const end = (error: unknown) => {
      if (!ended) this.#again(error)
      ended = true
    }
    try {
      this.#version ??= await this.#now()
      this.#begunAt = performance.now()
      const query = {
        labelSelector: SELECTOR,
        resourceVersion: this.#version,
        allowWatchBookmarks: true,
        timeoutSeconds: WATCH_SECONDS,
      }
      const path = `/apis/batch/v1/namespaces/${encodeURIComponent(namespace)}/jobs`
      this.#watching = await watch.watch(path, query, (type, object) => this.#seen(type, object), end)
      if (this.#stopped) this.#watching.abort()
    } catch (error) {
      end(error)
    }
  }

  /** The watch begins now: a listing shows what happened before. */
  async #now(): Promise<string | undefined> {
    const { api, namespace, onEnd } = this.#options
    const { resourceVersion } = readPage(await api.listNamespacedJob({ namespace, labelSelector: SELECTOR, limit: 1 }))
    if (!this.#stopped) onEnd()
    return resourceVersion
  }

  #seen(type: string, object: unknown): void {
    if (this.#stopped) return
    // Mostly 410: the version is older than what the server remembers. The watch then ends by itself.
    if (type === 'ERROR') this.#version = undefined
    if (type === 'ERROR') return
    const job = readJob(object)
    this.#version = job.resourceVersion ?? this.#version
    this.#failures = 0
    if (type === 'BOOKMARK') return
    const state = stateOf(job)
    const hasFailed = state.kind === 'ended' && state.failed
    if (type === 'DELETED' ? state.kind !== 'ended' : hasFailed) this.#options.onEnd()
  }

  #again(error: unknown): void {
    if (this.#stopped) return
    const { statusCode } = (error ?? {}) as { statusCode?: unknown }
    if (statusCode === 410 || readFault(error).status === 410) this.#version = undefined
    const isOrderly = !error && performance.now() - this.#begunAt >= SHORTEST_WATCH_MS
    if (isOrderly) this.#failures = 0
    const pause = isOrderly ? 0 : Math.min(SHORTEST_PAUSE_MS * 2 ** this.#failures++, LONGEST_PAUSE_MS)
    this.#timer = setTimeout(() => void this.#watch(), pause * (0.5 + Math.random() / 2)).unref()
  }
}
