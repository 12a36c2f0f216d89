/** Streams of bytes: made of what handlers return, and ended when they should stop. */
import { createReadStream } from 'node:fs'
import type { MediaBody } from '../model/media.ts'

/** The bytes of a result. Nothing is opened before they are asked for. */
export async function* streamBytes(body: MediaBody): AsyncGenerator<Uint8Array> {
  if (typeof body === 'string' || body instanceof Uint8Array) yield toBytes(body)
  else for await (const piece of piecesOf(body)) yield toBytes(piece)
}

function piecesOf(body: Exclude<MediaBody, string | Uint8Array>): AsyncIterable<unknown> {
  if (body instanceof Blob) return streamed(body.stream())
  if (Symbol.asyncIterator in body) return body as AsyncIterable<unknown>
  return createReadStream((body as { path: string }).path)
}

function streamed(stream: ReadableStream<Uint8Array>): AsyncIterable<unknown> {
  return stream as unknown as AsyncIterable<unknown>
}

function toBytes(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece
  if (typeof piece === 'string') return Buffer.from(piece)
  throw new TypeError(`The stream of a result must consist of Uint8Array or string chunks, not ${typeof piece}.`)
}

/**
 * The same bytes until the signal is aborted; then it rejects with the signal's reason at once, also where the next
 * piece never comes. The source is told that no more is wanted, and not waited for.
 */
export async function* stopAtAbort(bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    for (;;) {
      signal.throwIfAborted()
      const next = await Promise.race([iterator.next(), aborted.promise])
      if (next.done) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    void Promise.resolve(iterator.return?.()).catch(() => {})
  }
}

/** A stream whose first piece is there already, so that what cannot be read is known before anything is answered. */
export async function startReading(bytes: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = bytes[Symbol.asyncIterator]()
  let first: IteratorResult<Uint8Array> | undefined = await iterator.next()
  const rest: AsyncIterableIterator<Uint8Array> = {
    [Symbol.asyncIterator]: () => rest,
    next: async () => {
      const next = first ?? (await iterator.next())
      first = undefined
      return next
    },
    return: async () => {
      await iterator.return?.()
      return { done: true, value: undefined }
    },
  }
  return rest
}

/** The same bytes, of exactly the announced length: a shorter response would keep its reader waiting. */
export async function* checkLength(bytes: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length
  for await (const piece of bytes) {
    left -= piece.byteLength
    if (left < 0) break
    yield piece
  }
  if (left !== 0) throw new Error(`Expected ${length} bytes, but got ${left < 0 ? 'more' : length - left}.`)
}
