/**
 * The API as a listener for `node:http`.
 *
 * @example
 * createServer(nodeListener(waybill)).listen(3000)
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { ReadableStream as WebStream } from 'node:stream/web'
import { type FetchHandlerOptions, fetchHandler } from './fetch.ts'
import { problemResponse } from './message.ts'
import { problem } from './problem.ts'
import type { Waybill } from './waybill.ts'

/** Makes the listener. The composition is the caller's to start and to stop. */
export function nodeListener(waybill: Waybill, options: FetchHandlerOptions = {}): RequestListener {
  const answer = fetchHandler(waybill, options)
  // A request that is collected passes its signal on no more: each is kept until its answer is done.
  const kept = new Set<Request>()
  return (message, response) => {
    const gone = new AbortController()
    const request = toRequest(message, gone.signal)
    if (request === undefined) return refuse(response)
    kept.add(request)
    response.once('close', () => {
      kept.delete(request)
      gone.abort()
    })
    answer(request)
      .then(found => {
        // What was not read of the body is thrown away, so that the connection can go on.
        message.resume()
        return write(found, response)
      })
      .catch(error => response.destroy(error))
  }
}

/** Undefined where the method or the target is one that no `Request` can have, such as TRACE. */
function toRequest(message: IncomingMessage, signal: AbortSignal): Request | undefined {
  const headers = new Headers()
  for (const [name, value] of Object.entries(message.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one)
  }
  const { method = 'GET' } = message
  const body = method === 'GET' || method === 'HEAD' ? null : bodyOf(message)
  // `duplex` is asked for wherever a body is a stream, and is missing in the DOM's types.
  const init: RequestInit & { duplex: 'half' } = { method, headers, body, signal, duplex: 'half' }
  try {
    // The host is of no account: URLs that are told to clients come from the configuration alone.
    return new Request(new URL(message.url ?? '/', 'http://localhost'), init)
  } catch {
    return undefined
  }
}

/** Not by `Readable.toWeb`: what comes after its reader has left makes that throw where nobody can catch it. */
function bodyOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  return WebStream.from(message.iterator({ destroyOnReturn: false })) as ReadableStream<Uint8Array>
}

function refuse(response: ServerResponse): void {
  const { status, headers, body } = problemResponse(
    problem('invalid-request', 'Its method or its target is not taken.'),
  )
  response.writeHead(status, headers).end(body)
}

async function write(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  if (answer.body === null) response.end()
  else await pipeline(answer.body, response)
}
