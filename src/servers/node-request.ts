/** A request of `node:http`, also one that a framework such as Express has handled before, as a `Request` of Fetch. */
import type { IncomingMessage } from 'node:http'
import { ReadableStream as WebStream } from 'node:stream/web'

/** What frameworks add to a message. */
export interface FrameworkMessage extends IncomingMessage {
  /** The original target. Below a mount path, `url` holds only the rest. */
  readonly originalUrl?: string
  /** Express: the mount path. */
  readonly baseUrl?: string
  /** The parsed body. */
  readonly body?: unknown
  /** The bytes of the body, where the framework keeps them. */
  readonly rawBody?: unknown
}

/** Where a request goes. */
export interface Target {
  /** The path below which the listener is mounted; empty for none. */
  readonly mount: string
  /** The whole path, as it came. */
  readonly path: string
  /** The same with the query. Its host means nothing: links in answers come from the configuration alone. */
  readonly url: URL
}

/** The methods whose body, if they have one, means nothing. */
const BODYLESS = new Set(['GET', 'HEAD', 'TRACE'])

/**
 * Reads the target without normalizing it. Otherwise a request that a proxy before the server allowed under one path
 * could be served under another.
 *
 * @returns undefined for a target that does not begin with one `/`, or has a `\`, a dot segment, or a character that
 * none may have
 */
export function targetOf(message: FrameworkMessage): Target | undefined {
  const mount = mountOf(message)
  const url = mount + (message.url ?? '/')
  const [path = ''] = url.split('?', 1)
  const isPlain = /^\/(?!\/)[^\\#\s]*$/.test(path) && !/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path)
  const parsed = isPlain ? URL.parse(url, 'http://localhost') : null
  return parsed === null ? undefined : { mount, path, url: parsed }
}

function mountOf({ originalUrl, baseUrl, url = '/' }: FrameworkMessage): string {
  if (baseUrl !== undefined) return baseUrl
  return originalUrl?.endsWith(url) ? originalUrl.slice(0, -url.length) : ''
}

/**
 * Makes the request.
 *
 * @param signal aborted when the client has gone
 * @throws {TypeError} where the body was read before, and nothing keeps it
 */
export function toRequest(message: FrameworkMessage, { url }: Target, signal: AbortSignal): Request {
  const { method = 'GET' } = message
  const headers = new Headers()
  for (const [name, value] of Object.entries(message.headers)) {
    // HTTP/2 puts the method and the path among the headers.
    if (name.startsWith(':')) continue
    for (const one of [value ?? []].flat()) headers.append(name, one)
  }
  const body = BODYLESS.has(method) ? null : bodyOf(message, headers)
  // `duplex` is required if the body is a stream, and is missing in the DOM's types.
  const init: RequestInit & { duplex: 'half' } = { headers, body, signal, duplex: 'half' }
  if (method !== 'TRACE') return new Request(url, { ...init, method })
  // A `Request` cannot have this method. The method is refused later, like every method that a path does not have.
  return Object.defineProperty(new Request(url, init), 'method', { value: method })
}

function bodyOf(
  message: FrameworkMessage,
  headers: Headers,
): ReadableStream<Uint8Array> | string | Uint8Array<ArrayBuffer> {
  if (!message.readableDidRead) return streamOf(message)
  // These headers no longer fit after a parser has read the body.
  headers.delete('content-encoding')
  headers.delete('content-length')
  const { rawBody, body = rawBody } = message
  const kept = rawBody instanceof Uint8Array ? rawBody : body
  if (kept === undefined) {
    throw new TypeError(
      'The body of the request was read before Waybill, and is not in request.body: ' +
        'put the listener before what reads it, or have it kept there, as express.json() does.',
    )
  }
  if (kept instanceof Uint8Array) return new Uint8Array(kept)
  return typeof kept === 'string' ? kept : JSON.stringify(kept)
}

/** Not by `Readable.toWeb`: what comes after its reader has left makes that throw where nobody can catch it. */
function streamOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  return WebStream.from(message.iterator({ destroyOnReturn: false })) as ReadableStream<Uint8Array>
}
