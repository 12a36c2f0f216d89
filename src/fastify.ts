/**
 * The Fastify plugin: the HTTP resource of every operation type, under the prefix it is registered with.
 *
 * @example
 * await app.register(waybill, { operations: [orders], store: sqliteStore({ path: './orders.db' }), worker: { handlers: './processor.ts' } })
 */
import { Readable } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { corsHeaders } from './http/cors.ts'
import { type ApiOptions, createRoutes, type Route } from './http.ts'
import { readUtf8 } from './json.ts'
import { errorResponse, type HttpRequest, type HttpResponse, JSON_MEDIA_TYPE, problemResponse } from './message.ts'
import { ProblemError, problem } from './problem.ts'
import { createWaybill, type Waybill, type WaybillOptions } from './waybill.ts'

/** What the plugin takes beside the composition. */
export interface PluginOptions extends Omit<ApiOptions, 'base'> {
  /**
   * Who asks: the owner of what is submitted, and the only one who can read, list, wait for and cancel it.
   * Throw to refuse the request. Default: everyone is the same, and knowing an operation's URL is enough.
   */
  readonly principal?: (request: FastifyRequest) => string | undefined | Promise<string | undefined>
  /** The scheme, host and path under which clients reach the server, such as `https://api.example.com`. Default: URLs are relative. */
  readonly publicUrl?: string
}

/** The composition, to be started and stopped with the server; or one that is made already, which the caller starts and stops. */
export type WaybillPluginOptions = PluginOptions & (WaybillOptions | { readonly waybill: Waybill })

/** The plugin. It starts the composition when the server is ready, and stops it when the server closes. */
export const waybill: FastifyPluginAsync<WaybillPluginOptions> = async (app, options) => {
  const composed = 'waybill' in options ? options.waybill : createWaybill({ logger: app.log, ...options })
  if (!('waybill' in options)) {
    app.addHook('onReady', () => composed.start())
    // Before the server waits for its requests to end: those that are held must be let go.
    app.addHook('preClose', async () => composed.operations.drain())
    app.addHook('onClose', () => composed.stop())
  }
  readBodiesAsText(app)
  const cors = corsHeaders(options.cors)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = toAnswer(error)
    if (known === undefined) app.log.error({ err: error }, 'A request met an error')
    const answer = known ?? problemResponse(problem('internal-error'))
    return send(reply, { ...answer, headers: { ...answer.headers, ...cors(request) } })
  })
  const base = (options.publicUrl ?? '').replace(/\/+$/, '') + app.prefix
  for (const route of createRoutes(composed, { ...options, base })) add(app, route, options.principal)
}

function add(app: FastifyInstance, route: Route, principal: PluginOptions['principal']): void {
  app.route({
    method: route.method,
    url: route.path,
    ...(route.bodyLimit > 0 && { bodyLimit: route.bodyLimit }),
    handler: async (request, reply) => {
      const owner = principal === undefined || route.open ? '' : ((await principal(request)) ?? '')
      return send(reply, await route.handle(new Received(request, reply, owner)))
    },
  })
}

/**
 * A request as Fastify received it. A class, since each object of a literal with getters has a shape
 * of its own, which keeps all that belongs to the request until the next full garbage collection.
 */
class Received implements HttpRequest {
  readonly headers: HttpRequest['headers']
  readonly method: string
  readonly params: HttpRequest['params']
  readonly body: string | undefined
  readonly owner: string
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply

  constructor(request: FastifyRequest, reply: FastifyReply, owner: string) {
    this.headers = request.headers
    this.method = request.method
    this.params = request.params as Record<string, string>
    this.body = request.body as string | undefined
    this.owner = owner
    this.#request = request
    this.#reply = reply
  }

  // Made only when asked for: most requests need neither.
  get query(): URLSearchParams {
    return queryOf(this.#request)
  }

  get signal(): AbortSignal {
    return signalOf(this.#reply)
  }
}

/** One reason for all: left to itself, each abort would make an error with its stack. */
const GONE = new Error('The client has gone, or has its answer.')

/** Aborted when the answer is done or the client has gone. A request's own end says neither: it comes with the end of its body. */
function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  if (reply.raw.destroyed) controller.abort(GONE)
  else reply.raw.once('close', () => controller.abort(GONE))
  return controller.signal
}

function queryOf(request: FastifyRequest): URLSearchParams {
  const at = request.url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : request.url.slice(at + 1))
}

function send(reply: FastifyReply, { status, headers, body }: HttpResponse): FastifyReply {
  // Of null Fastify would say that it is JSON; a stream it would read to its end for a HEAD, which shows nothing of it.
  const isShown = typeof body === 'string' || reply.request.method !== 'HEAD'
  // Of nothing Fastify would say that a HEAD's answer has the length 0; of a stream it says nothing.
  if (reply.request.method === 'HEAD' && 'Content-Length' in headers) {
    return reply.code(status).headers(headers).send(Readable.from([]))
  }
  if (body === null || !isShown) return reply.code(status).headers(headers).send()
  const payload = typeof body === 'string' ? body : Readable.from(body)
  return reply.code(status).headers(headers).send(payload)
}

/** The text is what is stored and fingerprinted; Fastify's parser would throw it away. */
function readBodiesAsText(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(JSON_MEDIA_TYPE, { parseAs: 'buffer' }, async (_: unknown, body: Buffer) => readUtf8(body))
}

/** What Fastify itself refuses, in the words of this API. */
function toAnswer(error: FastifyError): HttpResponse | undefined {
  if (error instanceof ProblemError) return errorResponse(error)
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return problemResponse(problem('body-too-large'))
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return problemResponse(problem('unsupported-media-type'))
  }
  const status = error.statusCode ?? 500
  if (status < 400 || status >= 500) return undefined
  return problemResponse({ ...problem('invalid-request', error.message), status })
}
