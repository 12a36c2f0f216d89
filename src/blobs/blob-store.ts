/**
 * The contract of a blob store: what keeps results that are large, or not JSON. `blob-stores/` holds
 * the implementations, and `testing.ts` the suite that each of them passes.
 *
 * A blob is written once, under a key that no other blob ever has, and never changed. The operation's
 * record holds a reference to it; what no record refers to was left behind by an attempt that lost
 * its lease, and goes with its operation.
 */
import type { Hash } from 'node:crypto'

/** A part of a blob in bytes, both ends included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** What was kept. */
export interface PutResult {
  /** In bytes. */
  readonly length: number
}

/** Keeps blobs durably. A key is `{operation}/{name}`, both of 1 to 100 letters, digits, `-` and `_`; see {@link checkBlobKey}. */
export interface BlobStore {
  /** Prepares it: connects, migrates, checks. Called before all else, and perhaps more than once. */
  open?(): Promise<void>

  /**
   * Keeps a blob. Nothing of it can be read before the whole of it is durable; when the body fails, or
   * the process ends, nothing ever can. What is there under the key is replaced.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, mediaType: string): Promise<PutResult>

  /**
   * The blob, or a part of it that lies within; undefined where there is none. It is read piece by piece as it is asked
   * for, and nothing is held open before the first piece is, or after the last one or a `return`.
   */
  get(key: string, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined>

  /** Deletes a blob, and what an unfinished `put` has left of it. A blob that does not exist is not an error. */
  delete(key: string): Promise<void>

  /** Deletes all blobs of operations, named or not. Operations without blobs are not an error. */
  deleteAll(operations: readonly string[]): Promise<void>

  /** Frees everything. */
  close?(): Promise<void>
}

/** What an operation's record holds instead of a result that is kept by a blob store. */
export interface BlobReference {
  readonly key: string
  /** The media type. */
  readonly type: string
  /** In bytes. */
  readonly length: number
  /** A strong validator in quotes: a digest of the content. */
  readonly etag: string
  /** What the client is told to name the file. */
  readonly filename?: string | undefined
}

const OPENING = '{"waybill:blob":'

/** Whether the JSON text of an output is a reference. No handler can return one: what begins like it is refused. */
export function isReference(output: string): boolean {
  return output.startsWith(OPENING)
}

/** The JSON text of a reference, as the record holds it. */
export function writeReference(reference: BlobReference): string {
  return `${OPENING}${JSON.stringify(reference)}}`
}

/**
 * The reference that an output is; undefined where it is JSON of the handler's.
 *
 * @throws where it refers to what is not the operation's own
 */
export function readReference(output: string, operation: string): BlobReference | undefined {
  if (!isReference(output)) return undefined
  const { 'waybill:blob': reference } = JSON.parse(output) as { 'waybill:blob': BlobReference }
  if (reference.key.startsWith(`${operation}/`)) return reference
  throw new Error(`The result of the operation ${operation} refers to the blob ${JSON.stringify(reference.key)}.`)
}

/** The `etag` of a reference, of the SHA-256 of the content. */
export function contentEtag(hash: Hash): string {
  return `"${hash.digest('base64url')}"`
}

/** The key of what one attempt returns: an attempt that lost its lease never writes over a newer one's. */
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
 * @throws {TypeError} for what is not a key: it could name anything in a file system or a URL
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
 * The same for the ids of operations.
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
