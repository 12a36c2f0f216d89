/** `/mcp`: reads one message, finds its method, and answers with JSON or a stream of server-sent events. */

import { parseJson } from '../../model/json.ts'
import { ProblemError, problem } from '../../model/problem.ts'
import { formatRetryAfter } from '../../model/protocol.ts'
import { fieldsOf } from '../../util/fields.ts'
import type { Logger } from '../../util/logger.ts'
import type { CorsOptions } from '../cors.ts'
import { eventStreamResponse, type HttpRequest, type HttpResponse, header, json, problemResponse } from '../message.ts'
import { readRequest, sessionId, sessionOf } from './envelope.ts'
import { CODES, errorMessage, type Members, type RequestId, RpcError, readMessage, resultMessage } from './json-rpc.ts'
import { isStream, type McpRequest, type Reply, type ReplyStream } from './request.ts'
import { describeProblem, faultOf, isOwn } from './results.ts'
import type { SessionStream } from './session-streams.ts'

/** Answers one method. */
export type Method = (request: McpRequest) => Promise<Reply>

/** The parts of an endpoint. */
export interface EndpointOptions {
  /** The methods of revision 2026-07-28. */
  readonly modern: Readonly<Record<string, Method>>
  /** The methods of the revisions before. */
  readonly legacy: Readonly<Record<string, Method>>
  /** Takes the response to a request that was sent to a client of such a revision. */
  readonly respond: (id: RequestId, result: Members | undefined, owner: string) => Promise<void>
  /** Opens the stream of a session of such a revision; undefined if there are no streams. */
  readonly open: ((http: HttpRequest) => Promise<SessionStream>) | undefined
  /** The name of the server in each result. */
  readonly serverInfo: Members
  /** The origins of pages that may call it, beside those of this machine. */
  readonly origins: '*' | readonly string[]
  readonly logger: Logger
}

const SERVER_INFO = 'io.modelcontextprotocol/serverInfo'

/** Replaces the text of the problem, which mentions URLs. */
const UNKNOWN_TASK = 'There is no such task of this caller. Check its id; it may have been deleted.'

/** How long a client waits before it opens the stream of its session again, in milliseconds. */
const REOPEN_MS = 2000

/** How long a fault of the store is expected to last if nothing else says so, in seconds. */
const RETRY_AFTER_MS = 1000

export class Endpoint {
  readonly #options: EndpointOptions

  constructor(options: EndpointOptions) {
    this.#options = options
  }

  /** Answers; never rejects. */
  async answer(http: HttpRequest): Promise<HttpResponse> {
    let id: RequestId | undefined
    try {
      this.#checkOrigin(http)
      const message = readMessage(parseJson(http.body ?? ''))
      if (message.kind === 'response') await this.#options.respond(message.id, message.result, http.owner)
      if (message.kind !== 'request') return { status: 202, headers: {}, body: null }
      id = message.id
      const request = readRequest(message, http)
      const reply = await this.#methodOf(request)(request)
      if (isStream(reply)) return eventStreamResponse(this.#events(request, reply))
      const session = request.isModern || message.method !== 'initialize' ? {} : sessionOf(message.params)
      return json(200, this.#resultMessage(request, reply), session)
    } catch (error) {
      return this.#errorResponse(id, error)
    }
  }

  /** Answers a GET with the stream of a session; never rejects. Clients of revision 2026-07-28 have no sessions. */
  async listen(http: HttpRequest): Promise<HttpResponse> {
    try {
      this.#checkOrigin(http)
      const { open } = this.#options
      if (open === undefined || sessionId(http) === undefined) {
        return problemResponse(problem('method-not-allowed'), { Allow: 'POST, OPTIONS' })
      }
      return eventStreamResponse(this.#sessionEvents(await open(http)))
    } catch (error) {
      return this.#errorResponse(undefined, error)
    }
  }

  /** Stops DNS rebinding: a page whose host name was bound to this machine's address sends that name as its origin. */
  #checkOrigin(http: HttpRequest): void {
    const origin = header(http, 'Origin')
    const { origins } = this.#options
    if (origin === undefined || origins === '*' || origins.includes(origin) || isLoopback(origin)) return
    throw new RpcError(CODES.invalidRequest, `Pages of ${origin} may not call this server.`, { status: 403 })
  }

  #methodOf({ method, isModern }: McpRequest): Method {
    const methods = isModern ? this.#options.modern : this.#options.legacy
    const found = Object.hasOwn(methods, method) ? methods[method] : undefined
    if (found !== undefined) return found
    throw new RpcError(CODES.methodNotFound, `Method not found: ${method}`, { status: isModern ? 404 : 200 })
  }

  #resultMessage({ id, isModern }: McpRequest, result: Members): Members {
    if (!isModern) return resultMessage(id, result)
    const _meta = { [SERVER_INFO]: this.#options.serverInfo, ...fieldsOf(result._meta) }
    return resultMessage(id, { resultType: 'complete', ...result, _meta })
  }

  async *#events(request: McpRequest, reply: ReplyStream): AsyncGenerator<string> {
    // Shows the client at once that it is connected.
    yield ':\n\n'
    try {
      let next = await reply.next()
      while (!next.done) {
        yield next.value === undefined ? ':\n\n' : event(next.value)
        next = await reply.next()
      }
      yield event(this.#resultMessage(request, next.value))
    } catch (error) {
      yield event(errorMessage(request.id, this.#toRpcError(error)))
    } finally {
      // If the client has disconnected, the reply can end what it has begun.
      await reply.return({})
    }
  }

  async *#sessionEvents(stream: SessionStream): AsyncGenerator<string> {
    // Shows the client that it is connected, and says when to open the next stream.
    yield `retry: ${REOPEN_MS}\n\n`
    try {
      for await (const message of stream) yield message === undefined ? ':\n\n' : event(message)
    } catch (error) {
      // The next stream reports what this one has missed.
      this.#toRpcError(error)
    }
  }

  #errorResponse(id: RequestId | undefined, error: unknown): HttpResponse {
    const failure = this.#toRpcError(error)
    const answer = json(failure.status, errorMessage(id, failure))
    if (!(error instanceof ProblemError)) return answer
    const retry =
      failure.status === 503 ? { 'Retry-After': formatRetryAfter(error.retryAfterMs ?? RETRY_AFTER_MS) } : {}
    return { ...answer, headers: { ...answer.headers, ...retry }, problem: error.problem }
  }

  #toRpcError(error: unknown): RpcError {
    if (error instanceof RpcError) return error
    const cause = error instanceof ProblemError ? error.cause : error
    const known = error instanceof ProblemError ? error.problem : problem('internal-error')
    if (known.status >= 500 && cause !== undefined) {
      this.#options.logger.error({ err: cause }, 'A request of MCP failed')
    }
    if (known.code === 'invalid-json') return new RpcError(CODES.parseError, describeProblem(known), { status: 400 })
    if (known.code === 'not-found' && isOwn(known)) return new RpcError(CODES.invalidParams, UNKNOWN_TASK)
    if (known.status < 500) return new RpcError(CODES.invalidParams, describeProblem(known))
    return faultOf(known, known.status === 503 ? 503 : 200)
  }
}

function event(message: Members): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`
}

function isLoopback(origin: string): boolean {
  return /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(URL.parse(origin)?.hostname ?? '')
}

/** The origins of pages that may call a server: those of CORS, and its own. */
export function allowedOrigins(cors: CorsOptions | undefined, base: string): '*' | readonly string[] {
  if (cors?.origins === '*') return '*'
  return [...(cors?.origins ?? []), ...(URL.parse(base) ? [new URL(base).origin] : [])]
}
