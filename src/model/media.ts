/**
 * What a handler returns for a result that is large or is not JSON: bytes with a media type. Only handlers use it, but
 * the package's main entry exports it; so this file uses only what a browser has.
 */

import type { WebBlob, WebStream } from './web-types.ts'

/** Marks a {@link Media}, so that one made by another copy of this package is recognized too. */
const MEDIA: unique symbol = Symbol.for('waybill.media')

/** Bytes in pieces; a string is encoded as UTF-8. */
export type Pieces = AsyncIterable<Uint8Array | string>

/** Where the bytes of a result come from: a stream, bytes, text, a Blob, or a file. */
export type MediaBody = WebStream | Pieces | Uint8Array | string | WebBlob | { readonly path: string }

/** What clients see besides the bytes. */
export interface MediaOptions {
  /** The media type, such as `application/pdf` or `text/csv; charset=utf-8`. */
  readonly type: string
  /** The file name for downloads. If it is set, browsers download the result instead of showing it. */
  readonly filename?: string | undefined
}

/** A result of bytes instead of JSON; see {@link media}. */
export interface Media extends MediaOptions {
  readonly [MEDIA]: true
  readonly body: MediaBody
}

/** The media type of a Blob without one. */
const ANY_BYTES = 'application/octet-stream'
const TOKEN = "[\\w!#$%&'*+.^`|~-]+"
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?: *; *${TOKEN}=(?:${TOKEN}|"[ !#-\\[\\]-~]*"))*$`)

/**
 * Makes a result of bytes, such as a PDF, for a handler to return. The blob store stores it, and clients get it with
 * its media type, length, `ETag` and ranges. A stream is read once, no faster than the blob store writes it, and is
 * never in memory as a whole. When the attempt must stop, the stream is destroyed and nothing is stored.
 *
 * @example
 * return media(createReadStream('report.pdf'), { type: 'application/pdf', filename: 'report.pdf' })
 * @throws {TypeError} for an invalid media type or filename
 */
export function media(body: MediaBody, { type, filename }: MediaOptions): Media {
  if (typeof type !== 'string' || type.length > 255 || !MEDIA_TYPE.test(type)) {
    throw new TypeError(`media: type must be a media type such as "application/pdf", not ${JSON.stringify(type)}.`)
  }
  if (filename !== undefined && (typeof filename !== 'string' || filename === '' || filename.length > 255)) {
    throw new TypeError('media: filename must be a name of 1 to 255 characters.')
  }
  if (!isBody(body)) throw new TypeError('media: body must be a stream, bytes, text, a Blob, or { path } of a file.')
  return Object.freeze<Media>({ [MEDIA]: true, body, type, filename })
}

/** The output of a handler as {@link Media}, if it is that or a Blob. Undefined for JSON. */
export function toMedia(output: unknown): Media | undefined {
  if (output instanceof Blob) {
    const type = MEDIA_TYPE.test(output.type) ? output.type : ANY_BYTES
    const filename = 'name' in output && typeof output.name === 'string' ? output.name.slice(0, 255) : ''
    return media(output, { type, filename: filename || undefined })
  }
  return typeof output === 'object' && output !== null && MEDIA in output ? (output as Media) : undefined
}

function isBody(body: unknown): body is MediaBody {
  if (typeof body === 'string') return true
  if (typeof body !== 'object' || body === null) return false
  if (body instanceof Uint8Array || body instanceof Blob || body instanceof ReadableStream) return true
  return Symbol.asyncIterator in body || ('path' in body && typeof body.path === 'string')
}
