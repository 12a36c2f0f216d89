/** The results of operations: JSON from the store, and bytes from the blob store. */
import { type BlobReference, type BlobStore, type ByteRange, readReference } from '../blobs/blob-store.ts'
import { checkLength, startReading } from '../blobs/byte-streams.ts'
import type { Operation } from '../model/operation.ts'
import { type ProblemError, problemError } from '../model/problem.ts'
import type { OperationStore } from '../stores/store.ts'
import { TimeLimit } from '../util/time-limit.ts'
import { orUnavailable } from './unavailable.ts'

/** How long the blob store may take to return the first bytes of a result, in milliseconds. */
const BLOB_TIMEOUT_MS = 10_000

export class StoredResults {
  readonly #store: Pick<OperationStore, 'read' | 'readPayload'>
  readonly #blobs: BlobStore | undefined
  readonly #limit = new TimeLimit(BLOB_TIMEOUT_MS, 'The blob store did not answer in time.')

  constructor(store: Pick<OperationStore, 'read' | 'readPayload'>, blobs: BlobStore | undefined) {
    this.#store = store
    this.#blobs = blobs
  }

  async output({ id }: Operation, read?: string): Promise<string | BlobReference> {
    const text = read ?? (await orUnavailable(this.#store.readPayload(id, 'output')))
    if (text === undefined) throw problemError('operation-expired')
    return readReference(text, id) ?? text
  }

  async content({ key, length }: BlobReference, range?: ByteRange): Promise<AsyncIterable<Uint8Array>> {
    if (this.#blobs === undefined) throw problemError('no-blob-store')
    const blobs = this.#blobs
    // In an async function, so that an error that the blob store throws becomes a rejection.
    const bytes = await orUnavailable(this.#limit.within((async () => await blobs.get(key, range))()))
    if (bytes === undefined) throw await this.#whyMissing(key)
    const expected = range === undefined ? length : range.end - range.start + 1
    return await orUnavailable(this.#limit.within(startReading(checkLength(bytes, expected))))
  }

  /** Deletes all blobs of an operation. */
  async deleteBlobs(id: string): Promise<void> {
    const blobs = this.#blobs
    if (blobs !== undefined) await orUnavailable(this.#limit.within((async () => await blobs.deleteAll([id]))()))
  }

  /**
   * Why a blob is missing. The sweeper deletes a blob only after its record. If the record is still there, another
   * program has deleted the blob, or it was never in this blob store.
   */
  async #whyMissing(key: string): Promise<ProblemError> {
    const [id = ''] = key.split('/')
    const operation = await orUnavailable(this.#store.read(id))
    if (operation === undefined || operation.purged) return problemError('operation-expired')
    const cause = new Error(
      `The blob "${key}", the result of the operation ${id}, is not in the blob store. Give the API and all workers ` +
        'the same "blobs", such as one folder that each of them sees, or put the blob back from a backup.',
    )
    return problemError('result-lost', undefined, { cause })
  }
}
