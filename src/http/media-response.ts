/** A result that is not JSON, over HTTP: its headers, and the requested part of it (RFC 9110, 14). */
import type { BlobReference, ByteRange } from '../blobs/blob-store.ts'
import { problem } from '../model/problem.ts'
import { conditional } from './conditional.ts'
import { type HttpRequest, type HttpResponse, header, problemResponse } from './message.ts'

/** Gives the bytes of a result, or of a part of it. */
export type Read = (range?: ByteRange) => Promise<AsyncIterable<Uint8Array>>

/** The parts of the request that matter; without a request, the whole result is sent. */
export type Asked = Pick<HttpRequest, 'headers' | 'method'> | undefined

/**
 * The answer with all bytes, with the part that a GET requests, or without bytes if none are requested or the client
 * has them.
 *
 * @param read called last, so that the blob is opened only if it is sent
 */
export async function mediaResponse(
  reference: BlobReference,
  asked: Asked,
  { headers, read }: { readonly headers: Readonly<Record<string, string>>; readonly read: Read },
): Promise<HttpResponse> {
  const { length, etag } = reference
  const all = { ...headers, ...contentHeaders(reference), ETag: etag }
  const whole: HttpResponse = { status: 200, headers: { ...all, 'Content-Length': `${length}` }, body: null }
  if (asked === undefined) return { ...whole, body: await read() }
  const decided = conditional(asked, { ...whole, headers: all })
  if (decided.status !== 200) return decided
  if (asked.method === 'HEAD') {
    // A HEAD must not promise bytes that a GET could not send.
    await (await read())[Symbol.asyncIterator]().return?.()
    return whole
  }
  const range = rangeOf(asked, reference)
  if (range === undefined) return { ...whole, body: await read() }
  if (range === 'outside') {
    return problemResponse(problem('range-not-satisfiable'), { 'Content-Range': `bytes */${length}` })
  }
  const { start, end } = range
  const part = { 'Content-Length': `${end - start + 1}`, 'Content-Range': `bytes ${start}-${end}/${length}` }
  return { status: 206, headers: { ...all, ...part }, body: await read(range) }
}

function contentHeaders({ type, filename }: BlobReference): Record<string, string> {
  return {
    'Content-Type': type,
    'Accept-Ranges': 'bytes',
    // The strong ETag and the ranges refer to the stored bytes. Compressed bytes would be different ones.
    'Cache-Control': 'private, no-transform',
    // Browsers show the result under the API's origin. It may come from a client's input, so it must not run scripts
    // there.
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "sandbox; default-src 'none'",
    ...(filename !== undefined && { 'Content-Disposition': disposition(filename) }),
  }
}

/** The range of a request: undefined if it has none, several, one of another version, or one that cannot be parsed. */
function rangeOf(asked: NonNullable<Asked>, { length, etag }: BlobReference): ByteRange | 'outside' | undefined {
  const condition = header(asked, 'if-range')
  // By strong comparison. A date never matches, since responses have no `Last-Modified`.
  if (condition !== undefined && condition.trim() !== etag) return undefined
  const [, first = '', last = ''] = /^ *bytes *= *(\d*) *- *(\d*) *$/i.exec(header(asked, 'range') ?? '') ?? []
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(0, length - Number(last)) : Number(first)
  const end = first === '' || last === '' ? length - 1 : Math.min(Number(last), length - 1)
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  return start >= length ? 'outside' : { start, end }
}

/** RFC 6266, with a name in ASCII for clients that read no other (RFC 8187). */
function disposition(filename: string): string {
  const name = filename.toWellFormed().replaceAll(/[\p{Cc}\p{Bidi_C}/\\]/gu, '_')
  const plain = name.replaceAll(/[^\x20-\x7e]|["%]/g, '_')
  const encoded = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename="${plain}"${plain === name ? '' : `; filename*=UTF-8''${encoded}`}`
}
