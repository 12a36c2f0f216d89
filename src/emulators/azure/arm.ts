/**
 * Azure Resource Manager, as far as the jobs of Container Apps go: get, start, list, inspect and stop, with the
 * long-running start, tokens, throttling and error bodies that the real SDK gets. It refuses all other requests.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { TokenBucket, type TokenRate } from '../../util/token-bucket.ts'
import type { Certificate } from '../certificate.ts'
import { ArmProblem } from './arm-problem.ts'
import type { Execution } from './execution.ts'
import type { ArmRequest, ArmRequestKind, Fault, Faults } from './faults.ts'
import type { EmulatedJob, EmulatedTemplate } from './job.ts'
import type { Machine } from './machine.ts'
import type { ManagedIdentity } from './managed-identity.ts'

/** How a start is answered: at once, or as a long-running operation with the name of the execution, without it, or with a status of its own. */
export type StartAnswer = '200' | '202' | '202-nameless' | '202-async'

export interface ArmOptions {
  readonly subscription: string
  readonly resourceGroup: string
  readonly jobs: ReadonlyMap<string, EmulatedJob>
  readonly machine: Machine
  readonly identity: ManagedIdentity
  readonly certificate: Certificate
  readonly startAnswer: StartAnswer
  /** Executions on a page of a listing. */
  readonly pageSize: number
  /** The subscription's reads and writes. */
  readonly reads: TokenRate
  readonly writes: TokenRate
  readonly faults: Faults | undefined
}

interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
}

/** The resource that a path names. */
interface Route {
  readonly kind: ArmRequestKind
  readonly job: string
  readonly execution: string
}

/** A start or stop that was answered with 202. */
interface LongRunning {
  /** What its result is answered with. */
  readonly result: Answer
  /** How often its result was requested. */
  polls: number
}

const AUDIENCE = 'https://management.azure.com'
/** How many polls find a long-running operation under way. */
const POLLS = 1

export class ArmServer {
  /** Every request, in order. */
  readonly requests: ArmRequest[] = []
  faults: Faults | undefined
  readonly #options: ArmOptions
  readonly #server: https.Server
  /** A closed server has no address, and may still be answering a request. */
  #endpoint = ''
  readonly #reads: TokenBucket
  readonly #writes: TokenBucket
  /** Long-running starts and stops, by their id. */
  readonly #longRunning = new Map<string, LongRunning>()

  constructor(options: ArmOptions) {
    this.#options = options
    this.faults = options.faults
    this.#reads = new TokenBucket(options.reads)
    this.#writes = new TokenBucket(options.writes)
    this.#server = https.createServer(options.certificate, (request, response) => void this.#take(request, response))
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, '127.0.0.1', resolve)
    })
    this.#endpoint = `https://localhost:${(this.#server.address() as AddressInfo).port}`
  }

  get endpoint(): string {
    return this.#endpoint
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #take(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(incoming).catch(() => undefined)
    if (body === undefined) return
    const { method = '', url = '', headers } = incoming
    const route = routeOf(method, url)
    const operationId = /"WAYBILL_OPERATION_ID","value":"([^"]*)"/.exec(body)?.[1]
    const request: ArmRequest = {
      kind: route.kind,
      at: performance.now(),
      method,
      url,
      headers,
      body,
      operationId,
      status: 0,
    }
    this.requests.push(request)
    const { acts, answer: wanted }: Fault = this.faults?.(request) ?? {}
    const skipped = wanted !== undefined && (acts ?? 0) === 0
    const answer = skipped ? { status: 0 } : this.#answer(request, route, acts ?? 1)
    if (wanted === 'cut') return void incoming.socket.destroy()
    if (wanted === 'silence') return
    const { status, headers: more, body: document } = wanted === undefined ? answer : refusal(wanted)
    request.status = status
    response.writeHead(status, {
      ...(document && { 'content-type': 'application/json; charset=utf-8' }),
      'cache-control': 'no-cache',
      'x-ms-request-id': randomUUID(),
      'x-ms-correlation-request-id': randomUUID(),
      ...more,
    })
    response.end(document && JSON.stringify(document))
  }

  #answer(request: ArmRequest, route: Route, acts: number): Answer {
    try {
      this.#admit(request)
      const job = this.#options.jobs.get(route.job)
      if (route.kind === 'poll') return this.#poll(request.url)
      if (job === undefined) throw notFound(`jobs/${route.job}`)
      return this.#act(request, route, job, acts)
    } catch (error) {
      if (error instanceof ArmProblem) return problemAnswer(error)
      throw error
    }
  }

  /** The checks of every request before it is handled. */
  #admit({ method, url, headers }: ArmRequest): void {
    const { subscription, resourceGroup, identity } = this.#options
    if (!identity.admits(headers.authorization?.toString(), AUDIENCE)) {
      throw new ArmProblem(401, 'AuthenticationFailed', 'Authentication failed.', {
        'www-authenticate': 'Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token"',
      })
    }
    const bucket = method === 'GET' ? this.#reads : this.#writes
    const waitMs = bucket.take()
    if (waitMs > 0) throw throttled(method === 'GET' ? 'read' : 'write', waitMs)
    const { pathname, searchParams } = new URL(url, AUDIENCE)
    if (!/^\d{4}-\d{2}-\d{2}(-preview)?$/.test(searchParams.get('api-version') ?? '')) {
      throw new ArmProblem(
        400,
        'MissingApiVersionParameter',
        'The api-version query parameter (?api-version=) is required.',
      )
    }
    const [, , sent = '', , group = resourceGroup] = pathname.split('/').map(decodeURIComponent)
    if (sent !== subscription) throw new ArmProblem(404, 'SubscriptionNotFound', `There is no subscription '${sent}'.`)
    if (pathname.includes('/resourceGroups/') && group !== resourceGroup) {
      throw new ArmProblem(404, 'ResourceGroupNotFound', `Resource group '${group}' could not be found.`)
    }
  }

  #act({ url, body }: ArmRequest, { kind, execution: name }: Route, job: EmulatedJob, acts: number): Answer {
    const id = this.#idOf(job)
    if (kind === 'job') return { status: 200, body: job.resource(id) }
    if (kind === 'start') return this.#start(job, job.templateFor(body), acts)
    if (kind === 'executions') return this.#list(job, url)
    const execution = this.#options.machine.of(job).find(it => it.name === name)
    if (execution === undefined) throw notFound(`jobs/${job.name}/executions/${name}`)
    if (kind === 'execution') return { status: 200, body: execution.resource(id) }
    if (kind !== 'stop') throw new ArmProblem(405, 'MethodNotAllowed', 'The request is not known here.')
    return this.#stop(execution, acts)
  }

  #start(job: EmulatedJob, template: EmulatedTemplate, acts: number): Answer {
    const { machine, startAnswer } = this.#options
    const made = Array.from({ length: Math.max(acts, 1) }, () => machine.start(job, template))
    const [execution] = made
    if (execution === undefined) throw new Error('It was not started.')
    if (acts === 0) execution.vanish()
    const body = this.#baseOf(execution)
    if (startAnswer === '200') return { status: 200, body }
    const headers = this.#goOn({ status: 200, body })
    const { 'azure-asyncoperation': _, ...location } = headers
    return {
      status: 202,
      headers: startAnswer === '202-async' ? headers : location,
      ...(startAnswer === '202' && { body }),
    }
  }

  /** The service stops an execution after it has answered. */
  #stop(execution: Execution, acts: number): Answer {
    if (execution.endedAt !== undefined) return { status: 200 }
    if (acts > 0) execution.stop()
    const { location = '', 'retry-after': pause = '' } = this.#goOn({ status: 200 })
    return { status: 202, headers: { location, 'retry-after': pause } }
  }

  /** The headers of an answer with 202, which say where the result is to be found. */
  #goOn(result: Answer): Record<string, string> {
    const id = randomUUID()
    this.#longRunning.set(id, { result, polls: 0 })
    return {
      location: this.#pollUrl('Results', id),
      'azure-asyncoperation': this.#pollUrl('Statuses', id),
      'retry-after': '1',
    }
  }

  #list(job: EmulatedJob, url: string): Answer {
    const { searchParams } = new URL(url, this.endpoint)
    if (searchParams.has('$filter')) {
      throw new ArmProblem(400, 'InvalidParameterValue', 'The parameter filter has an invalid value.')
    }
    const { machine, pageSize } = this.#options
    const from = Number(searchParams.get('$skiptoken') ?? 0)
    const all = machine.of(job)
    const next = new URL(url, this.endpoint)
    next.searchParams.set('$skiptoken', String(from + pageSize))
    const value = all.slice(from, from + pageSize).map(it => it.resource(this.#idOf(job)))
    return { status: 200, body: { value, ...(all.length > from + pageSize && { nextLink: next.href }) } }
  }

  #poll(url: string): Answer {
    const [, kind, id = ''] = /jobOperation(Results|Statuses)\/([^/?]+)/.exec(url) ?? []
    const operation = this.#longRunning.get(id)
    if (operation === undefined) throw notFound(`operations/${id}`)
    const done = operation.polls++ >= POLLS
    if (kind === 'Results') return done ? operation.result : { status: 202, headers: { 'retry-after': '1' } }
    return { status: 200, headers: { 'retry-after': '1' }, body: { status: done ? 'Succeeded' : 'InProgress' } }
  }

  #idOf(job: EmulatedJob): string {
    const { subscription, resourceGroup } = this.#options
    return `/subscriptions/${subscription}/resourceGroups/${resourceGroup}/providers/Microsoft.App/jobs/${job.name}`
  }

  #baseOf({ name, job }: Execution): object {
    return { id: `${this.#idOf(job)}/executions/${name}`, name }
  }

  #pollUrl(kind: string, id: string): string {
    const { subscription } = this.#options
    const path = `/subscriptions/${subscription}/providers/Microsoft.App/locations/local/containerappsjobOperation${kind}/${id}`
    return `${this.endpoint}${path}?api-version=2026-07-01`
  }
}

const PATHS: readonly [ArmRequestKind, string, RegExp][] = [
  ['poll', 'GET', /\/providers\/Microsoft\.App\/locations\/[^/]+\/containerappsjobOperation\w+\/[^/]+$/],
  ['job', 'GET', /\/jobs\/([^/]+)$/],
  ['start', 'POST', /\/jobs\/([^/]+)\/start$/],
  ['executions', 'GET', /\/jobs\/([^/]+)\/executions$/],
  ['execution', 'GET', /\/jobs\/([^/]+)\/executions\/([^/]+)$/],
  ['stop', 'POST', /\/jobs\/([^/]+)\/executions\/([^/]+)\/stop$/],
]

function routeOf(method: string, url: string): Route {
  const { pathname } = new URL(url, AUDIENCE)
  for (const [kind, verb, path] of PATHS) {
    const [found, job = '', execution = ''] = path.exec(pathname) ?? []
    if (found !== undefined && verb === method) return { kind, job, execution }
  }
  return { kind: 'unknown', job: '', execution: '' }
}

function throttled(kind: 'read' | 'write', waitMs: number): ArmProblem {
  const seconds = String(Math.max(1, Math.ceil(waitMs / 1000)))
  const message = `Number of '${kind}' requests exceeded. Please try again after '${seconds}' seconds.`
  return new ArmProblem(429, 'SubscriptionRequestsThrottled', message, { 'retry-after': seconds })
}

function notFound(what: string): ArmProblem {
  return new ArmProblem(404, 'ResourceNotFound', `The Resource 'Microsoft.App/${what}' was not found.`)
}

function refusal({ status, code = 'Emulated', headers = {} }: Exclude<Fault['answer'], string | undefined>): Answer {
  return problemAnswer(new ArmProblem(status, code, 'It is made to fail.', headers))
}

function problemAnswer({ status, code, message, headers }: ArmProblem): Answer {
  return { status, headers, body: { error: { code, message } } }
}
