/**
 * A Kubernetes API for development and tests, on this machine: it keeps Jobs, and runs each as an
 * operating-system process. It is spoken to by the real clients, and answers as the real server does
 * in what concerns Jobs: versions, selectors, pages, watches, deletion, conditions, and every refusal.
 *
 * It has no nodes: a Job has one pod, which is one process; an image is a program that the emulator was given, and an
 * image that it was not given cannot be pulled. Everyone who has one of its tokens can run programs as its user.
 *
 * @example
 * const kubernetes = await emulateKubernetes({ images: { orders: { entrypoint: ['node', 'job.ts'] } } })
 * const config = new KubeConfig()
 * config.loadFromString(kubernetes.kubeconfig())
 */

import { randomUUID, X509Certificate } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { type Duration, toMs } from '../../model/duration.ts'
import { type Certificate, makeClientCertificate } from '../certificate.ts'
import { ApiServer, type JobsRequest, type RecordedRequest } from './api-server.ts'
import { type Change, JobCollection } from './collection.ts'
import { JobController } from './controller.ts'
import type { KubernetesFault } from './faults.ts'
import { admit } from './job-admission.ts'
import { ApiError, type Job, type JobStatus } from './objects.ts'
import type { Cluster, Image } from './pod.ts'
import { fieldSelector, labelSelector } from './selectors.ts'

export type { Certificate as EmulatedCertificate } from '../certificate.ts'
export type { RecordedRequest } from './api-server.ts'
export type { KubernetesFault, Verb } from './faults.ts'
export type { Job as EmulatedJob, JobStatus as EmulatedJobStatus } from './objects.ts'
export type { Image as EmulatedImage } from './pod.ts'

type Values = Readonly<Record<string, Readonly<Record<string, string>>>>

/** Options of {@link emulateKubernetes}. */
export interface KubernetesEmulatorOptions {
  /** The images that can be pulled. */
  readonly images?: Readonly<Record<string, Image>> | undefined
  /** The namespaces there are. Default: `default`. */
  readonly namespaces?: readonly string[] | undefined
  readonly secrets?: Values | undefined
  readonly configMaps?: Values | undefined
  /** How many Jobs a namespace may have, as a ResourceQuota says it. Default: any number. */
  readonly quota?: number | undefined
  /** How long one second of deadlines, grace periods and TTLs takes. Default 1 s. */
  readonly secondDuration?: Duration | undefined
  /** Default: any that is free. */
  readonly port?: number | undefined
}

const EVERYTHING = ['create', 'get', 'list', 'watch', 'delete']

/**
 * Starts an emulator of the Kubernetes API on this machine.
 *
 * @example
 * const cluster = await emulateKubernetes({ images: { 'orders:1': { entrypoint: ['node', 'job.ts'] } } })
 * await cluster.close()
 */
export async function emulateKubernetes(options: KubernetesEmulatorOptions = {}): Promise<KubernetesEmulator> {
  const emulator = new KubernetesEmulator(options)
  await emulator.listen(options.port)
  return emulator
}

/**
 * An emulated cluster, as {@link emulateKubernetes} starts it.
 *
 * @example
 * const cluster = await emulateKubernetes()
 * console.log(cluster.kubeconfig())
 */
export class KubernetesEmulator {
  readonly #jobs = new JobCollection()
  readonly #controllers = new Map<string, JobController>()
  readonly #namespaces: ReadonlySet<string>
  readonly #images: Map<string, Image>
  readonly #quota: number
  readonly #cluster: Cluster & { frozen: boolean }
  readonly #server = new ApiServer(
    request => this.#act(request),
    (request, response) => this.#watch(request, response),
  )

  constructor(options: KubernetesEmulatorOptions = {}) {
    this.#namespaces = new Set(options.namespaces ?? ['default'])
    this.#images = new Map(Object.entries(options.images ?? {}))
    this.#quota = options.quota ?? Number.POSITIVE_INFINITY
    this.#cluster = {
      images: this.#images,
      secrets: new Map(Object.entries(options.secrets ?? {})),
      configMaps: new Map(Object.entries(options.configMaps ?? {})),
      secondMs: toMs(options.secondDuration ?? '1s'),
      frozen: false,
    }
  }

  async listen(port?: number): Promise<void> {
    await this.#server.listen(port)
  }

  /** Ends the API and every process. */
  async close(): Promise<void> {
    for (const controller of this.#controllers.values()) controller.close()
    await this.#server.close()
  }

  get url(): string {
    return this.#server.url
  }

  /** The requests so far. Open ones, such as watches, come last. */
  get requests(): readonly RecordedRequest[] {
    return this.#server.requests
  }

  /** How many watches are open. */
  get watches(): number {
    return this.#jobs.watchers
  }

  /** A token for someone who may do all of these, and nothing else. */
  token(verbs: readonly string[] = EVERYTHING): string {
    const token = randomUUID()
    this.#server.users.set(token, new Set(verbs))
    return token
  }

  /** The server's certificate in PEM, made for this run. */
  get certificate(): string {
    return this.#server.certificate.cert
  }

  /** A certificate, with its key, for someone who may do all of these, and nothing else. */
  clientCertificate(verbs: readonly string[] = EVERYTHING): Certificate {
    const certificate = makeClientCertificate(randomUUID())
    this.#server.users.set(new X509Certificate(certificate.cert).fingerprint256, new Set(verbs))
    return certificate
  }

  /**
   * A kubeconfig (JSON is YAML), for kubectl and for the client's `loadFromString`. It has all that a client needs to
   * trust the server.
   *
   * @param credential a token or a client certificate. Default: a token with every right
   */
  kubeconfig(credential: string | Certificate = this.token()): string {
    const user =
      typeof credential === 'string'
        ? { token: credential }
        : { 'client-certificate-data': base64(credential.cert), 'client-key-data': base64(credential.key) }
    const cluster = { server: this.url, 'certificate-authority-data': base64(this.certificate) }
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'emulated', cluster }],
      users: [{ name: 'user', user }],
      contexts: [{ name: 'emulated', context: { cluster: 'emulated', user: 'user', namespace: 'default' } }],
      'current-context': 'emulated',
    })
  }

  /** Makes the next requests fail. */
  fail(fault: KubernetesFault): void {
    this.#server.faults.add(fault)
  }

  /** No more faults. */
  heal(): void {
    this.#server.faults.clear()
  }

  /** Adds an image, so that it can be pulled: pods that wait for it start. */
  provide(name: string, image: Image): void {
    this.#images.set(name, image)
    for (const controller of this.#controllers.values()) controller.retry()
  }

  /** The Jobs there are. */
  jobs(): Job[] {
    return this.#jobs.all().map(job => structuredClone(job))
  }

  /** The process of a Job's pod; undefined where none runs. */
  pidOf(name: string): number | undefined {
    return this.#named(name)?.pod?.pid
  }

  /** Sends a signal to a Job's process, as the kernel does when it is out of memory. */
  kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#named(name)?.pod?.kill(signal)
  }

  /** The status of Jobs does not change any more, as when no controller runs: the API reports an outdated state. */
  freeze(): void {
    this.#cluster.frozen = true
  }

  thaw(): void {
    this.#cluster.frozen = false
    for (const controller of this.#controllers.values()) controller.thaw()
  }

  /** Forgets all changes until now: watches and lists from before expire. */
  compact(): void {
    this.#jobs.compact()
  }

  /** Ends all connections, watches among them. */
  cutConnections(): void {
    this.#server.cutConnections()
  }

  #named(name: string): JobController | undefined {
    return [...this.#controllers.values()].find(({ job }) => job.metadata.name === name)
  }

  #act(request: JobsRequest): { status: number; body: object } {
    const { verb, namespace, name = '' } = request
    switch (verb) {
      case 'create':
        return { status: 201, body: this.#create(request) }
      case 'get':
        return { status: 200, body: this.#jobs.get(namespace, name) }
      case 'delete':
        return { status: 200, body: this.#delete(request) }
      default:
        return { status: 200, body: this.#list(request) }
    }
  }

  #create({ namespace, body, query }: JobsRequest): Job {
    if (!this.#namespaces.has(namespace)) {
      throw new ApiError(404, 'NotFound', `namespaces ${JSON.stringify(namespace)} not found`)
    }
    const job = admit(body, namespace)
    this.#checkQuota(job)
    if (query.get('dryRun') === 'All') return job
    this.#jobs.add(job)
    const { uid } = job.metadata
    const onGone = () => this.#controllers.delete(uid)
    const controller = new JobController(job, { jobs: this.#jobs, cluster: this.#cluster, onGone })
    this.#controllers.set(uid, controller)
    const created = structuredClone(job)
    controller.begin()
    return created
  }

  #checkQuota({ metadata: { name, namespace } }: Job): void {
    const used = this.#jobs.list(namespace, () => true, { limit: 0, from: '' }).items.length
    if (used < this.#quota || this.#jobs.find(namespace, name) !== undefined) return
    const limits = `requested: count/jobs.batch=1, used: count/jobs.batch=${used}, limited: count/jobs.batch=${this.#quota}`
    const message = `jobs.batch ${JSON.stringify(name)} is forbidden: exceeded quota: jobs, ${limits}`
    throw new ApiError(403, 'Forbidden', message, { name, group: 'batch', kind: 'jobs' })
  }

  #delete({ namespace, name = '', query, body }: JobsRequest): object {
    const job = this.#jobs.get(namespace, name)
    const given = (body ?? {}) as { propagationPolicy?: string; preconditions?: { uid?: string } }
    const policy = query.get('propagationPolicy') ?? given.propagationPolicy ?? 'Background'
    if (policy !== 'Background' && policy !== 'Foreground' && policy !== 'Orphan') {
      throw new ApiError(422, 'Invalid', `DeleteOptions is invalid: propagationPolicy: Unsupported value: "${policy}"`)
    }
    const { uid } = job.metadata
    const expected = given.preconditions?.uid ?? uid
    if (expected !== uid) throw new ApiError(409, 'Conflict', `the UID in the precondition (${expected}) is not ${uid}`)
    this.#controllers.get(uid)?.delete(policy)
    if (this.#jobs.find(namespace, name) === job) return job
    const details = { name, group: 'batch', kind: 'jobs', uid }
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }
  }

  #list({ namespace, query }: JobsRequest): object {
    const page = { limit: readNumber(query, 'limit'), from: query.get('continue') ?? '' }
    const { items, version, next, remaining } = this.#jobs.list(namespace, fits(query), page)
    const more = next === undefined ? {} : { continue: next, remainingItemCount: remaining }
    return {
      kind: 'JobList',
      apiVersion: 'batch/v1',
      metadata: { resourceVersion: String(version), ...more },
      // Items of a list have no `kind` and `apiVersion`.
      items: items.map(({ apiVersion: _, kind: __, ...item }) => item),
    }
  }

  #watch({ namespace, query }: JobsRequest, response: ServerResponse): void {
    const matches = fits(query)
    const write = (type: string, object: object) => response.write(`${JSON.stringify({ type, object })}\n`)
    const tell = ({ type, job }: Change) => {
      if (job.metadata.namespace === namespace && matches(job)) write(type, job)
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    const since = readNumber(query, 'resourceVersion')
    try {
      const present = since === 0 ? this.#jobs.list(namespace, matches, ALL).items : []
      for (const job of present) write('ADDED', job)
      const unwatch = this.#jobs.watch(since === 0 ? this.#jobs.version : since, tell)
      this.#untilClosed(response, query, unwatch, () => {
        if (query.get('allowWatchBookmarks') === 'true') write('BOOKMARK', bookmark(this.#jobs.version))
      })
    } catch (error) {
      // The answer has begun: it is told as an event.
      if (error instanceof ApiError) write('ERROR', error.toStatus())
      response.end()
    }
  }

  /** Bookmarks come once a minute, and once more 2 s before the end, which comes when the client wanted it. */
  #untilClosed(response: ServerResponse, query: URLSearchParams, unwatch: () => void, mark: () => void): void {
    const seconds = readNumber(query, 'timeoutSeconds') || WATCH_SECONDS
    const { secondMs } = this.#cluster
    const bookmarks = setInterval(mark, BOOKMARK_SECONDS * secondMs)
    const last =
      seconds > LAST_BOOKMARK_SECONDS ? setTimeout(mark, (seconds - LAST_BOOKMARK_SECONDS) * secondMs) : undefined
    const timer = setTimeout(() => response.end(), seconds * secondMs)
    response.once('close', () => {
      clearInterval(bookmarks)
      clearTimeout(last)
      clearTimeout(timer)
      unwatch()
    })
  }
}

/** How long a watch lasts that does not say. */
const WATCH_SECONDS = 1800
const BOOKMARK_SECONDS = 60
/** How long before a watch's end the last bookmark comes. */
const LAST_BOOKMARK_SECONDS = 2

const ALL = { limit: 0, from: '' }

function fits(query: URLSearchParams): (job: Job) => boolean {
  const labels = labelSelector(query.get('labelSelector') ?? '')
  const fields = fieldSelector(query.get('fieldSelector') ?? '')
  return job => labels(job.metadata.labels ?? {}) && fields(job)
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function readNumber(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? '0'
  if (/^\d*$/.test(text)) return Number(text)
  throw new ApiError(400, 'BadRequest', `${name}: Invalid value: ${JSON.stringify(text)}`)
}

function bookmark(version: number): object {
  const status: JobStatus = {}
  return { kind: 'Job', apiVersion: 'batch/v1', metadata: { resourceVersion: String(version) }, spec: {}, status }
}
