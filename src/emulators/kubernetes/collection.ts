/** The Jobs, their versions, and what is remembered of their changes. */
import { ApiError, expired, type Job, notFound } from './objects.ts'

/** A change of a Job, as a watch tells it. */
export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly version: number
  readonly job: Job
}

/** A page of a list. */
export interface Page {
  readonly items: readonly Job[]
  readonly version: number
  readonly next: string | undefined
  readonly remaining: number
}

export class JobCollection {
  readonly #jobs = new Map<string, Job>()
  readonly #watchers = new Set<(change: Change) => void>()
  #changes: Change[] = []
  #version = 1
  #oldest = 1

  get version(): number {
    return this.#version
  }

  get watchers(): number {
    return this.#watchers.size
  }

  all(): readonly Job[] {
    return [...this.#jobs.values()]
  }

  get(namespace: string, name: string): Job {
    const job = this.find(namespace, name)
    if (job === undefined) throw notFound(name)
    return job
  }

  find(namespace: string, name: string): Job | undefined {
    return this.#jobs.get(`${namespace}/${name}`)
  }

  add(job: Job): void {
    const { name, deletionTimestamp } = this.find(job.metadata.namespace, job.metadata.name)?.metadata ?? {}
    if (name !== undefined) {
      const prefix = deletionTimestamp === undefined ? '' : 'object is being deleted: '
      const details = { name, group: 'batch', kind: 'jobs' }
      throw new ApiError(409, 'AlreadyExists', `${prefix}jobs.batch ${JSON.stringify(name)} already exists`, details)
    }
    this.#jobs.set(`${job.metadata.namespace}/${job.metadata.name}`, job)
    this.#changed('ADDED', job)
  }

  /** Makes a change of a Job known. One that was removed meanwhile is let go. */
  modified(job: Job): void {
    if (this.find(job.metadata.namespace, job.metadata.name) === job) this.#changed('MODIFIED', job)
  }

  remove(job: Job): void {
    const key = `${job.metadata.namespace}/${job.metadata.name}`
    if (this.#jobs.get(key) !== job) return
    this.#jobs.delete(key)
    this.#changed('DELETED', job)
  }

  /** The Jobs of a namespace that fit, by name, from where a page before has ended. */
  list(namespace: string, fits: (job: Job) => boolean, page: { limit: number; from: string }): Page {
    const after = page.from === '' ? '' : this.#readToken(page.from)
    const all = [...this.#jobs.values()]
      .filter(job => job.metadata.namespace === namespace && fits(job))
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
      .filter(job => job.metadata.name > after)
    const items = page.limit > 0 ? all.slice(0, page.limit) : all
    const remaining = all.length - items.length
    const last = items.at(-1)?.metadata.name
    const next = remaining > 0 && last !== undefined ? token(this.#version, last) : undefined
    return { items, version: this.#version, next, remaining }
  }

  /**
   * Tells what has changed after a version, and what changes from now on, until the returned function is called.
   *
   * @throws {ApiError} 410 when that is not remembered
   */
  watch(after: number, listener: (change: Change) => void): () => void {
    if (after < this.#oldest) throw expired(`too old resource version: ${after} (${this.#oldest})`)
    for (const change of this.#changes) if (change.version > after) listener(change)
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  /** Forgets every change until now, as etcd does after some minutes. */
  compact(): void {
    this.#version++
    this.#oldest = this.#version
    this.#changes = []
  }

  #readToken(from: string): string {
    const [version, name = ''] = Buffer.from(from, 'base64url').toString().split(' ')
    if (!/^\d+$/.test(version ?? '')) throw new ApiError(400, 'BadRequest', 'continue key is not valid')
    if (Number(version) >= this.#oldest) return name
    throw expired('The provided continue parameter is too old to display a consistent list result.')
  }

  #changed(type: Change['type'], job: Job): void {
    this.#version++
    job.metadata.resourceVersion = String(this.#version)
    const change = { type, version: this.#version, job: structuredClone(job) }
    this.#changes.push(change)
    for (const listener of this.#watchers) listener(change)
  }
}

function token(version: number, name: string): string {
  return Buffer.from(`${version} ${name}`).toString('base64url')
}
