/**
 * The HTTP resource of every operation type, whatever the server: routes that take a request as a
 * plain value and answer with one.
 */
import type { Dialect, OperationView } from './dialect.ts'
import { redirect } from './dialects/redirect.ts'
import { parseJson } from './json.ts'
import { type HttpRequest, type HttpResponse, header, json, jsonText, problemResponse } from './message.ts'
import type { Operation } from './operation.ts'
import type { AnyOperationType } from './operation-type.ts'
import { ProblemError, problem, problemError } from './problem.ts'
import { formatRetryAfter, HEADERS, isFinal, type Links } from './protocol.ts'
import type { Waybill } from './waybill.ts'

/** One route. A path names its parts as `:id`. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  /** The largest body it takes, in bytes; undefined where it takes none. */
  readonly bodyLimit?: number
  /** Answers; never rejects. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
}

/** Options of {@link createRoutes}. */
export interface RoutesOptions {
  /** What stands before every URL that is told to a client: the mount prefix, or a public base URL with it. Default: nothing. */
  readonly base?: string
}

/** Makes the routes of every operation type of a composition. */
export function createRoutes(waybill: Waybill, options: RoutesOptions = {}): readonly Route[] {
  const base = (options.base ?? '').replace(/\/+$/, '')
  return [...waybill.operations.types.values()].flatMap(type => routesOf(new Resource(waybill, type, base)))
}

function routesOf(resource: Resource): Route[] {
  const { name, policy } = resource.type
  const route = (method: Route['method'], path: string, handle: Route['handle']): Route => ({
    method,
    path,
    handle: request => guarded(resource.waybill, handle, request),
  })
  return [
    { ...route('POST', `/${name}`, request => resource.submit(request)), bodyLimit: policy.bodyLimit },
    route('GET', `/${name}/status/:id`, request => resource.status(request)),
    route('DELETE', `/${name}/status/:id`, request => resource.cancel(request)),
    route('GET', `/${name}/:id`, request => resource.result(request)),
  ]
}

/** Turns what was thrown into a problem; what is not one is a fault of ours, which the client is told nothing of. */
async function guarded(waybill: Waybill, handle: Route['handle'], request: HttpRequest): Promise<HttpResponse> {
  try {
    return await handle(request)
  } catch (error) {
    if (!(error instanceof ProblemError)) {
      waybill.logger.error({ err: error }, 'A request met an error')
      return problemResponse(problem('internal-error'))
    }
    if (error.cause !== undefined && error.problem.status >= 500) {
      waybill.logger.error({ err: error.cause }, error.problem.title)
    }
    const retryAfter =
      error.retryAfterMs === undefined ? {} : { [HEADERS.retryAfter]: formatRetryAfter(error.retryAfterMs) }
    return problemResponse(error.problem, retryAfter)
  }
}

/** The resource of one operation type. */
class Resource {
  readonly waybill: Waybill
  readonly type: AnyOperationType
  readonly #base: string
  readonly #dialect: Dialect = redirect

  constructor(waybill: Waybill, type: AnyOperationType, base: string) {
    this.waybill = waybill
    this.type = type
    this.#base = base
  }

  /** POST /orders */
  async submit(request: HttpRequest): Promise<HttpResponse> {
    const text = request.body ?? ''
    const { operation, replayed } = await this.waybill.operations.submit(this.type, {
      input: parseJson(text),
      text,
      owner: request.owner,
      idempotencyKey: idempotencyKey(request),
      traceparent: header(request, 'traceparent'),
    })
    const { document } = await this.#view(operation)
    return json(202, document, {
      [HEADERS.location]: document.links.status,
      [HEADERS.operationLocation]: document.links.operation,
      [HEADERS.retryAfter]: formatRetryAfter(document.retryAfter * 1000),
      ...(replayed ? { [HEADERS.idempotencyReplayed]: 'true' } : {}),
    })
  }

  /** GET /orders/status/{id} */
  async status(request: HttpRequest): Promise<HttpResponse> {
    const view = await this.#view(await this.#find(request))
    const answer = await this.#dialect.status(view)
    // Weak: the document also tells estimates, which change while the operation does not.
    const etag = `W/"${view.operation.version}"`
    if (isFinal(view.operation.status)) return answer
    const headers = { ...answer.headers, [HEADERS.etag]: etag, 'Cache-Control': 'no-cache' }
    return matches(header(request, HEADERS.ifNoneMatch), etag) ? notModified(headers) : { ...answer, headers }
  }

  /** GET /orders/{id} */
  async result(request: HttpRequest): Promise<HttpResponse> {
    const operation = await this.#find(request)
    const answer = await this.#result(operation)
    const etag = answer.headers[HEADERS.etag]
    const known = etag !== undefined && matches(header(request, HEADERS.ifNoneMatch), etag)
    return known ? notModified(answer.headers) : answer
  }

  /** DELETE /orders/status/{id} */
  async cancel(request: HttpRequest): Promise<HttpResponse> {
    const operation = await this.waybill.operations.cancel(request.params.id ?? '', request.owner, this.type)
    return this.#dialect.canceled(await this.#view(operation))
  }

  #find(request: HttpRequest): Promise<Operation> {
    return this.waybill.operations.find(request.params.id ?? '', request.owner, this.type)
  }

  async #view(operation: Operation): Promise<OperationView> {
    return {
      operation,
      type: this.type,
      document: await this.waybill.operations.document(operation, this.#links(operation.id)),
      result: () => this.#result(operation),
    }
  }

  async #result(operation: Operation): Promise<HttpResponse> {
    const { id, status, error } = operation
    if (!isFinal(status)) return await this.#unfinished(operation)
    const headers = finalHeaders(operation)
    if (status === 'completed') {
      const output = await this.waybill.operations.output(operation)
      // The output is JSON text already: to parse and write it again would only cost time.
      const opening = JSON.stringify({ id, status }).slice(0, -1)
      return jsonText(200, `${opening},${JSON.stringify(this.type.resultKey)}:${output}}`, headers)
    }
    return json(status === 'canceled' ? 410 : (error?.status ?? 500), { id, status, error }, headers)
  }

  async #unfinished(operation: Operation): Promise<HttpResponse> {
    const { document } = await this.#view(operation)
    const unfinished = problem('not-finished', undefined, { links: { status: document.links.status } })
    return problemResponse(unfinished, {
      [HEADERS.retryAfter]: formatRetryAfter(document.retryAfter * 1000),
      [HEADERS.link]: `<${document.links.status}>; rel="monitor"`,
    })
  }

  #links(id: string): Links {
    const resource = `${this.#base}/${this.type.name}`
    return {
      status: `${resource}/status/${id}`,
      result: `${resource}/${id}`,
      operation: `${this.#base}/operations/${id}`,
      events: `${resource}/status/${id}`,
    }
  }
}

function finalHeaders(operation: Operation): Record<string, string> {
  return {
    [HEADERS.etag]: `"${operation.version}"`,
    [HEADERS.expires]: new Date(operation.expiresAt ?? operation.updatedAt).toUTCString(),
    // What is finished never changes, but it is one caller's own.
    'Cache-Control': 'private',
  }
}

function notModified(headers: Readonly<Record<string, string>>): HttpResponse {
  const { 'Content-Type': _, ...kept } = headers
  return { status: 304, headers: kept, body: null }
}

/** If-None-Match by weak comparison (RFC 9110, 13.1.2). */
function matches(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  const opaque = (tag: string) => tag.trim().replace(/^W\//, '')
  return value.split(',').some(tag => tag.trim() === '*' || opaque(tag) === opaque(etag))
}

/** The key is a structured-field string (RFC 9651) in double quotes; a bare token is taken too, as most clients send it. */
function idempotencyKey(request: HttpRequest): string | undefined {
  const value = header(request, HEADERS.idempotencyKey)?.trim()
  if (value === undefined) return undefined
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(value)
  const key = quoted === null ? value : (quoted[1] ?? '').replaceAll(/\\(["\\])/g, '$1')
  if (!/^[\x20-\x7e]{1,255}$/.test(key) || (quoted === null && value.includes('"'))) {
    throw problemError('invalid-idempotency-key', `It is ${JSON.stringify(value.slice(0, 100))}.`)
  }
  return key
}
