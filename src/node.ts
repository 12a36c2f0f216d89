/**
 * The API as a listener for `node:http`.
 *
 * @example
 * createServer(nodeListener(waybill)).listen(3000)
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { ReadableStream as WebStream } from 'node:stream/web'
import { type FetchHandlerOptions, fetchHandler } from './fetch.ts'
import { completing, withPresent } from './http/answers.ts'
import { closeWhenIdle } from './http/idle-connections.ts'
import { discard, MOST_UNWANTED } from './http/unwanted.ts'
import { problemResponse } from './message.ts'
import { problem } from './problem.ts'
import type { Waybill } from './waybill.ts'

/** The methods whose body, if they have one, means nothing. */
const BODYLESS = new Set(['GET', 'HEAD', 'TRACE'])

/** Makes the listener. The composition is the caller's to start and to stop. */
export function nodeListener(waybill: Waybill, options: FetchHandlerOptions = {}): RequestListener {
  const answer = fetchHandler(waybill, options)
  const complete = completing(waybill.operations, options.cors)
  // A request that is collected passes its signal on no more: each is kept until its answer is done.
  const kept = new Set<Request>()
  return (message, response) => {
    const gone = new AbortController()
    const request = toRequest(message, gone.signal)
    if (request === undefined) {
      const { headers } = complete(message, NOT_TAKEN)
      return respond(
        Promise.resolve(new Response(`${NOT_TAKEN.body}`, { status: NOT_TAKEN.status, headers })),
        message,
        response,
      )
    }
    kept.add(request)
    response.once('close', () => {
      kept.delete(request)
      gone.abort()
    })
    respond(answer(request), message, response)
  }
}

/**
 * Stops a server and the composition behind it: no work is begun, handlers are stopped and hand back what they do not
 * finish in time, while the requests under way are answered; then the store is closed. Resolves when nothing runs any
 * more. What a second signal cuts short is not lost.
 *
 * @example
 * process.once('SIGTERM', () => stopServer(server, waybill))
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

/** Undefined where the target is one that no `Request` can have. */
function toRequest(message: IncomingMessage, signal: AbortSignal): Request | undefined {
  const headers = new Headers()
  for (const [name, value] of Object.entries(message.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one)
  }
  const { method = 'GET' } = message
  const body = BODYLESS.has(method) ? null : bodyOf(message)
  // `duplex` is asked for wherever a body is a stream, and is missing in the DOM's types.
  const init: RequestInit & { duplex: 'half' } = { headers, body, signal, duplex: 'half' }
  try {
    // The host is of no account: URLs that are told to clients come from the configuration alone.
    const url = new URL(message.url ?? '/', 'http://localhost')
    if (method !== 'TRACE') return new Request(url, { ...init, method })
    // None can be made with it, and it is to be refused as every method is that a path does not have.
    return Object.defineProperty(new Request(url, init), 'method', { value: method })
  } catch {
    return undefined
  }
}

/** Not by `Readable.toWeb`: what comes after its reader has left makes that throw where nobody can catch it. */
function bodyOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  return WebStream.from(message.iterator({ destroyOnReturn: false })) as ReadableStream<Uint8Array>
}

const NOT_TAKEN = problemResponse(problem('invalid-request', 'Its target is not taken.'))

/** Throws away what has come of a body and was not read, and still comes, so that the connection can go on, if it is not too much. */
function isBounded(message: IncomingMessage): boolean {
  message.resume()
  return message.complete || Number(message.headers['content-length']) <= MOST_UNWANTED
}

async function write(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, headersOf(answer, response))
  if (answer.body === null) response.end()
  else await pipeline(answer.body, response)
}

function headersOf({ headers }: Response, response: ServerResponse): Record<string, string> {
  return withPresent(Object.fromEntries(headers), name => response.getHeader(name))
}

/**
 * Answers while a body comes that may have no end: the connection ends when so much of it has come as is thrown away at
 * most. A refusal ends it earlier, when the client stops, but not at once: that would take the answer from a client
 * that is still sending.
 */
async function writeUnbounded(answer: Response, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const discarded = discard(message)
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
