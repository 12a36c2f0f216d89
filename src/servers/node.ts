/**
 * The API as a listener for `node:http`.
 *
 * @example
 * createServer(nodeListener(composition)).listen(3000)
 * @example
 * express().use('/api', nodeListener(composition)).listen(3000)
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Origin } from '../http/admin/operator-identity.ts'
import { createFinalize, forVersion, withPresent } from '../http/answers.ts'
import { type HttpResponse, problemResponse } from '../http/message.ts'
import { RENAMED_API_OPTIONS } from '../http/routes.ts'
import { checkOptions } from '../model/options.ts'
import { problem } from '../model/problem.ts'
import type { Waybill } from '../waybill.ts'
import { drainBody, MAX_DRAINED_BYTES } from './drain-body.ts'
import { closeWhenIdle } from './idle-connections.ts'
import { targetOf, toRequest } from './node-request.ts'
import { createWebServer, WEB_SERVER_OPTIONS, type WebServer, type WebServerOptions } from './web-server.ts'

/** Called if the request does not belong to the listener, as by frameworks. */
export type Next = (error?: unknown) => void

/** A listener for `node:http`, and a middleware for Express and its like: with `next`, only the API's paths are answered. */
export type NodeListener = (message: IncomingMessage, response: ServerResponse, next?: Next) => void

/**
 * Mount paths with a parameter have many values. Beyond this number, the oldest are dropped and made again when needed.
 */
const MAX_MOUNTS = 100

/**
 * Makes the listener. The composition is the caller's to start and to stop.
 *
 * Below a mount path of a framework, such as `app.use('/api', nodeListener(waybill))`, links in answers begin with that
 * path; `prefix` may be left out, or be the whole path. A body that the framework has parsed is read from `request.body`.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right; the message names it
 *
 * @example
 * createServer(nodeListener(composition)).listen(3000)
 */
export function nodeListener(waybill: Waybill, options: WebServerOptions = {}): NodeListener {
  checkOptions('nodeListener()', options, WEB_SERVER_OPTIONS, RENAMED_API_OPTIONS)
  /** The origins of the requests that have no answer yet. */
  const addresses = new WeakMap<Request, string>()
  const originOf = (request: Request): Origin => ({
    headers: Object.fromEntries(request.headers),
    address: addresses.get(request),
  })
  const serverFor = createMounts(waybill, options, originOf)
  const finalize = createFinalize(waybill, options.cors)
  const refuse = (message: IncomingMessage, answer: HttpResponse) => {
    const { status, headers, body } = finalize(message, answer)
    return Promise.resolve(new Response(`${body}`, { status, headers }))
  }
  // A request that is garbage collected no longer passes its signal on. So each is kept until its answer is done.
  const kept = new Set<Request>()
  return (message, response, next) => {
    const target = targetOf(message)
    const server = target && serverFor(target.mount)
    const found = server?.find(message.method ?? 'GET', target?.path ?? '')
    if (found === undefined && next !== undefined) return next()
    if (target === undefined || server === undefined) return respond(refuse(message, NOT_TAKEN), message, response)
    const gone = new AbortController()
    try {
      const request = toRequest(message, target, gone.signal)
      kept.add(request)
      addresses.set(request, message.socket.remoteAddress ?? '')
      response.once('close', () => {
        kept.delete(request)
        gone.abort()
      })
      respond(server.answer(request, found), message, response)
    } catch (error) {
      waybill.logger.error({ err: error }, 'A request met an error')
      respond(refuse(message, problemResponse(problem('internal-error'))), message, response)
    }
  }
}

/** Returns the server for a mount path, which is the prefix of its links. */
function createMounts(
  waybill: Waybill,
  options: WebServerOptions,
  originOf: (request: Request) => Origin,
): (mount: string) => WebServer {
  const prefix = (options.prefix ?? '').replace(/\/+$/, '')
  const make = (mount: string) => {
    const isWhole = prefix === mount || prefix.startsWith(`${mount}/`)
    return createWebServer(waybill, { ...options, prefix: isWhole ? prefix : mount + prefix }, originOf)
  }
  const servers = new Map([['', make('')]])
  return mount => {
    const known = servers.get(mount)
    if (known !== undefined) return known
    const [first] = servers.keys()
    if (servers.size >= MAX_MOUNTS && first !== undefined) servers.delete(first)
    const server = make(mount)
    servers.set(mount, server)
    return server
  }
}

/**
 * Stops a server and the composition behind it: no new work begins, and handlers are told to stop; operations that do
 * not finish in time are handed back. Meanwhile open requests are answered. Then the store is closed. Resolves when
 * nothing runs any more. A second signal may end the process earlier; nothing is lost by that.
 *
 * @example
 * process.once('SIGTERM', () => stopServer(server, composition))
 */
export async function stopServer(server: Server, waybill: Waybill): Promise<void> {
  const drained = waybill.drain()
  drained.catch(() => {})
  const closed = closeWhenIdle(server)
  await new Promise<void>(resolve => server.close(() => resolve())).finally(closed)
  await drained
  await waybill.stop()
}

function respond(answer: Promise<Response>, message: IncomingMessage, response: ServerResponse): void {
  answer
    .then(found => (isBounded(message) ? write(found, response) : writeUnbounded(found, message, response)))
    .catch(error => response.destroy(error))
}

const NOT_TAKEN = problemResponse(
  problem('invalid-request', 'Its target must begin with one "/", and hold no dot segment and no "\\".'),
)

/** Discards the unread rest of a body, up to a limit, so that the connection can be reused. */
function isBounded(message: IncomingMessage): boolean {
  message.resume()
  return message.complete || Number(message.headers['content-length']) <= MAX_DRAINED_BYTES
}

async function write(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, headersOf(answer, response))
  if (answer.body === null) response.end()
  else await pipeline(answer.body, response)
}

function headersOf({ headers }: Response, response: ServerResponse): HttpResponse['headers'] {
  const present = withPresent(Object.fromEntries(headers), name => response.getHeader(name))
  return forVersion(present, response.req.httpVersionMajor)
}

/**
 * Answers while a body comes that may have no end: the connection ends when so much of it has come as is thrown away at
 * most. A refusal ends it earlier, when the client stops, but not at once: that would take the answer from a client
 * that is still sending.
 */
async function writeUnbounded(answer: Response, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const discarded = drainBody(message)
  if (answer.ok) {
    void discarded.then(() => message.complete || response.destroy())
    return await write(answer, response)
  }
  const body = Buffer.from(await answer.arrayBuffer())
  const framing = { 'Content-Length': body.length, Connection: 'close' }
  response.writeHead(answer.status, { ...headersOf(answer, response), ...framing }).write(body)
  await discarded
  response.end()
}
