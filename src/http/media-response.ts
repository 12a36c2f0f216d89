/** A result that is not JSON, over HTTP: its headers, and the part of it that is asked for (RFC 9110, 14). */
import type { BlobReference, ByteRange } from '../blobs/blob-store.ts'
import { problem } from '../model/problem.ts'
import { conditional } from './conditional.ts'
import { type HttpRequest, type HttpResponse, header, problemResponse } from './message.ts'

/** Gives the bytes of a result, or of a part of it. */
export type Read = (range?: ByteRange) => Promise<AsyncIterable<Uint8Array>>

/** What a request asks of a result; without one it is given whole. */
export type Asked = Pick<HttpRequest, 'headers' | 'method'> | undefined

/**
 * The answer with the bytes, with the part of them that a GET asks for, or without them where they are
 * not asked for or known.
 *
 * @param read called when all else is decided, so that nothing is opened for nothing
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
    // Bytes that a GET could not send are not promised.
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
    // The strong ETag and the ranges are those of the bytes as they are kept: compressed, they would be others.
    'Cache-Control': 'private, no-transform',
    // What a handler made of a client's input is shown by browsers under the API's origin: it may run no script there.
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "sandbox; default-src 'none'",
    ...(filename !== undefined && { 'Content-Disposition': disposition(filename) }),
  }
}

/** The range of a request: undefined where it asks for none, for several, for another version, or for what cannot be read. */
function rangeOf(asked: NonNullable<Asked>, { length, etag }: BlobReference): ByteRange | 'outside' | undefined {
  const condition = header(asked, 'if-range')
  // By strong comparison; a date never fits, since no date is told.
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
