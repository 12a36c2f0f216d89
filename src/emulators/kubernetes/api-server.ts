/** The HTTP side of the API: authentication, routing and responses. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type Certificate, makeCertificate } from '../certificate.ts'
import { DISCOVERY } from './discovery.ts'
import { Faults, type KubernetesFault, type Verb } from './faults.ts'
import { ApiError } from './objects.ts'

/** A request for Jobs, as it was understood. */
export interface JobsRequest {
  readonly verb: Verb
  readonly namespace: string
  /** Undefined for all of them. */
  readonly name: string | undefined
  readonly query: URLSearchParams
  /** The body's JSON; undefined without one. */
  readonly body: unknown
}

/** A request that was made, and how it was answered: 0 for not at all. */
export interface RecordedRequest {
  readonly verb: Verb
  readonly namespace: string
  readonly name: string | undefined
  readonly query: string
  readonly body: unknown
  readonly status: number
}

/** Answers with a status and an object. */
type Act = (request: JobsRequest) => { status: number; body: object }
/** Answers by a stream, until the response is closed. */
type Stream = (request: JobsRequest, response: ServerResponse) => void

const MAX_BODY = 3 * 1024 * 1024

export class ApiServer {
  readonly faults = new Faults()
  readonly requests: RecordedRequest[] = []
  /** Tokens, fingerprints of client certificates, and what each may do. */
  readonly users = new Map<string, ReadonlySet<string>>()
  readonly certificate: Certificate = makeCertificate()
  readonly #server: Server
  readonly #act: Act
  readonly #watch: Stream

  constructor(act: Act, watch: Stream) {
    this.#act = act
    this.#watch = watch
    // A client need not have a certificate, and who signed it does not matter: it is one of those that were given out.
    const tls = { ...this.certificate, requestCert: true, rejectUnauthorized: false }
    this.#server = createServer(tls, (request, response) => {
      this.#handle(request, response).catch(error => refuse(response, error))
    })
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Listens on a port of this machine alone: everyone who has a token can run programs. */
  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', resolve)
    })
  }

  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  /** Closes every connection, as a server does that is restarted. */
  cutConnections(): void {
    this.#server.closeAllConnections()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://api')
    const verbs = this.#authenticate(request)
    const document = DISCOVERY[url.pathname]
    if (document !== undefined && request.method === 'GET') return send(response, 200, document)
    const asked = understand(request.method ?? '', url, await readBody(request))
    response.once('close', () => this.#record(asked, response))
    if (!verbs.has(asked.verb)) throw forbidden(asked)
    this.#answer(asked, response)
  }

  /** By its certificate, else by its token, as the real server does. */
  #authenticate({ headers, socket }: IncomingMessage): ReadonlySet<string> {
    const [, token = ''] = /^Bearer (.+)$/i.exec(headers.authorization ?? '') ?? []
    const verbs = this.users.get(fingerprintOf(socket) ?? '') ?? this.users.get(token)
    if (verbs === undefined) throw new ApiError(401, 'Unauthorized', 'Unauthorized')
    return verbs
  }

  #answer(request: JobsRequest, response: ServerResponse): void {
    const fault = this.faults.take(request.verb)
    const before = fault !== undefined && fault.when !== 'after'
    if (request.verb === 'watch' && !before) {
      this.#watch(request, response)
      return
    }
    const answer = before ? undefined : this.#act(request)
    if (fault !== undefined) fail(response, fault)
    else if (answer !== undefined) send(response, answer.status, answer.body)
  }

  #record({ verb, namespace, name, query, body }: JobsRequest, response: ServerResponse): void {
    const status = response.headersSent ? response.statusCode : 0
    this.requests.push({ verb, namespace, name, query: query.toString(), body, status })
  }
}

function fingerprintOf(socket: unknown): string | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.fingerprint256 : undefined
}

function understand(method: string, url: URL, body: unknown): JobsRequest {
  const path = /^\/apis\/batch\/v1\/namespaces\/([^/]+)\/jobs(?:\/([^/]+))?(?:\/status)?$/.exec(url.pathname)
  if (path === null) throw new ApiError(404, 'NotFound', 'the server could not find the requested resource')
  const [, namespace = '', name] = path.map(part => part && decodeURIComponent(part))
  const watched = name === undefined && /^(true|1)$/.test(url.searchParams.get('watch') ?? '')
  const collection = { GET: watched ? 'watch' : 'list', POST: 'create' } as const
  const item = { GET: 'get', DELETE: 'delete' } as const
  const verb = (name === undefined ? collection : item)[method as 'GET']
  if (verb === undefined) {
    throw new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')
  }
  return { verb, namespace, name, query: url.searchParams, body }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let size = 0
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY) throw new ApiError(413, 'RequestEntityTooLarge', `limit is ${MAX_BODY}`)
    chunks.push(chunk)
  }
  if (size === 0) return undefined
  const type = request.headers['content-type'] ?? 'application/json'
  if (!type.startsWith('application/json')) {
    throw new ApiError(415, 'UnsupportedMediaType', `the body of the request was in an unknown format: ${type}`)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw new ApiError(400, 'BadRequest', 'the object provided is unrecognized: it is not JSON')
  }
}

function forbidden({ verb, namespace }: JobsRequest): ApiError {
  const who = 'User "system:serviceaccount:emulated"'
  const what = `cannot ${verb} resource "jobs" in API group "batch" in the namespace ${JSON.stringify(namespace)}`
  return new ApiError(403, 'Forbidden', `jobs.batch is forbidden: ${who} ${what}`, { group: 'batch', kind: 'jobs' })
}

function fail(response: ServerResponse, fault: KubernetesFault): void {
  const { answer, reason = '', message = 'This fault was asked for.', retryAfter } = fault
  if (answer === 'hang') return
  if (answer === 'cut') {
    response.destroy()
    return
  }
  if (answer === 'html') {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>')
    return
  }
  if (retryAfter !== undefined) response.setHeader('Retry-After', String(retryAfter))
  send(response, answer, new ApiError(answer, reason, message).toStatus())
}

function refuse(response: ServerResponse, error: unknown): void {
  const known = error instanceof ApiError ? error : new ApiError(500, 'InternalError', String(error))
  if (response.headersSent) response.destroy()
  else send(response, known.code, known.toStatus())
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
