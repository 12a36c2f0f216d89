/** Makes streams of bytes from what handlers return, and ends them when they should stop. */
import { createReadStream } from 'node:fs'
import type { MediaBody } from '../model/media.ts'

/** The bytes of a result. No file or stream is opened before the first bytes are requested. */
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
 * Passes bytes on until the signal is aborted; then it rejects with the signal's reason at once, even if the next piece
 * never arrives. The source is asked to stop, but not waited for.
 */
export async function* stopAtAbort(bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  let refuse = (_: unknown) => {}
  const abort = () => refuse(signal.reason)
  // Not a race with one promise for all pieces: that would keep each of them in memory until the end.
  const read = () =>
    new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
      refuse = reject
      signal.throwIfAborted()
      iterator.next().then(resolve, reject)
    })
  signal.addEventListener('abort', abort, { once: true })
  try {
    for (let next = await read(); !next.done; next = await read()) yield next.value
  } finally {
    signal.removeEventListener('abort', abort)
    void Promise.resolve(iterator.return?.()).catch(() => {})
  }
}

/** Reads the first piece of a stream ahead, so that a stream that cannot be read fails before the response begins. */
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

/**
 * Passes bytes on, and fails unless they have exactly the announced length: the reader of a shorter response would wait
 * forever.
 */
export async function* checkLength(bytes: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length
  for await (const piece of bytes) {
    left -= piece.byteLength
    if (left < 0) break
    yield piece
  }
  if (left !== 0) throw new Error(`Expected ${length} bytes, but got ${left < 0 ? 'more' : length - left}.`)
}
