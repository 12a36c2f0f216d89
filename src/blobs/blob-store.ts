/**
 * The contract of a blob store, which keeps results that are large or are not JSON. The implementations are in the
 * folders beside this file; `testing/blob-store-conformance.ts` has the suite that each of them passes.
 *
 * A blob is written once, under a key that no other blob ever has, and never changed. The operation's record holds a
 * reference to it. A blob without a reference was left by an attempt that lost its lease; it is deleted together with
 * its operation.
 */
import type { Hash } from 'node:crypto'

/** A part of a blob in bytes, both ends included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** What a `put` has stored. */
export interface PutResult {
  /** In bytes. */
  readonly length: number
}

/** Keeps blobs durably. A key is `{operation}/{name}`, both of 1 to 100 letters, digits, `-` and `_`; see {@link checkBlobKey}. */
export interface BlobStore {
  /** Prepares the blob store: connects, migrates, checks. Called before the other methods, possibly more than once. */
  open?(): Promise<void>

  /**
   * Stores a blob. No part of it can be read until all of it is durable. If the body fails or the process ends before
   * that, none of it can ever be read. A blob that already has the key is replaced.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, mediaType: string): Promise<PutResult>

  /**
   * Reads a blob, or a range that lies within it; undefined if there is no blob. It is read in pieces as the caller
   * asks for them. Nothing is open before the first piece is requested, or after the last piece or a `return`.
   */
  get(key: string, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined>

  /**
   * Deletes a blob, and everything that an unfinished `put` has left of it. A blob that does not exist is not an error.
   */
  delete(key: string): Promise<void>

  /**
   * Deletes all blobs of these operations, whether or not a record refers to them. Operations without blobs are not an
   * error.
   */
  deleteAll(operations: readonly string[]): Promise<void>

  /** Frees everything. */
  close?(): Promise<void>
}

/** What the record of an operation contains if its result is in a blob store. */
export interface BlobReference {
  readonly key: string
  /** The media type. */
  readonly type: string
  /** In bytes. */
  readonly length: number
  /** A strong validator in quotes: a digest of the content. */
  readonly etag: string
  /** The file name that the client is given for a download. */
  readonly filename?: string | undefined
}

const OPENING = '{"waybill:blob":'

/**
 * Whether the JSON text of an output is a reference. A handler cannot return one: an output that begins like a
 * reference is refused.
 */
export function isReference(output: string): boolean {
  return output.startsWith(OPENING)
}

/** The JSON text of a reference, as the record holds it. */
export function writeReference(reference: BlobReference): string {
  return `${OPENING}${JSON.stringify(reference)}}`
}

/**
 * Reads an output as a reference; undefined if it is JSON that the handler returned.
 *
 * @throws if it refers to a blob of another operation
 */
export function readReference(output: string, operation: string): BlobReference | undefined {
  if (!isReference(output)) return undefined
  const { 'waybill:blob': reference } = JSON.parse(output) as { 'waybill:blob': BlobReference }
  if (reference.key.startsWith(`${operation}/`)) return reference
  throw new Error(`The result of the operation ${operation} refers to the blob ${JSON.stringify(reference.key)}.`)
}

/** The `etag` of a reference, made from the SHA-256 of the content. */
export function contentEtag(hash: Hash): string {
  return `"${hash.digest('base64url')}"`
}

/**
 * The key of the result of one attempt. Each attempt has its own, so that an attempt that lost its lease never
 * overwrites the result of a newer one.
 */
export function attemptKey(operation: string, attempt: number): string {
  return `${operation}/${attempt}`
}

/** The parts of a key. */
export interface BlobKey {
  readonly operation: string
  readonly name: string
}

/**
 * Reads a key.
 *
 * @throws {TypeError} for an invalid key, which could lead to another place in a file system or a URL
 *
 * @example
 * const { operation, name } = checkBlobKey('01890a5d-ac96-774b-bcce-b302099a8057/1')
 */
export function checkBlobKey(key: string): BlobKey {
  const [operation = '', name = '', ...more] = key.split('/')
  if (isPart(operation) && isPart(name) && more.length === 0) return { operation, name }
  throw new TypeError(`A blob's key is {operation}/{name} of letters, digits, "-" and "_", not ${JSON.stringify(key)}.`)
}

/**
 * Checks the id of an operation in the same way.
 *
 * @example
 * const folder = `results/${checkBlobOperation('01890a5d-ac96-774b-bcce-b302099a8057')}`
 */
export function checkBlobOperation(operation: string): string {
  if (isPart(operation)) return operation
  throw new TypeError(`An operation's id is letters, digits, "-" and "_", not ${JSON.stringify(operation)}.`)
}

function isPart(text: string): boolean {
  return /^[\w-]{1,100}$/.test(text) && !text.includes('\n')
}
