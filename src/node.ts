/**
 * The API as a listener for `node:http`.
 *
 * @example
 * createServer(nodeListener(waybill)).listen(3000)
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { type FetchHandlerOptions, fetchHandler } from './fetch.ts'
import type { Waybill } from './waybill.ts'

/** Makes the listener. The composition is the caller's to start and to stop. */
export function nodeListener(waybill: Waybill, options: FetchHandlerOptions = {}): RequestListener {
  const answer = fetchHandler(waybill, options)
  return (request, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    answer(toRequest(request, gone.signal))
      .then(found => write(found, request, response))
      .catch(error => response.destroy(error))
  }
}

function toRequest(message: IncomingMessage, signal: AbortSignal): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(message.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one)
  }
  const { method = 'GET' } = message
  const body = method === 'GET' || method === 'HEAD' ? null : (Readable.toWeb(message) as ReadableStream<Uint8Array>)
  // `duplex` is asked for wherever a body is a stream, and is missing in the DOM's types.
  const init: RequestInit & { duplex: 'half' } = { method, headers, body, signal, duplex: 'half' }
  // The host is of no account: URLs that are told to clients come from the configuration alone.
  return new Request(new URL(message.url ?? '/', 'http://localhost'), init)
}

async function write(answer: Response, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  if (request.method !== 'HEAD') for await (const piece of answer.body ?? []) response.write(piece)
  response.end()
}
