/**
 * The results of a worker's attempts that are not JSON: uploads them to the blob store before their outcomes are
 * recorded, and deletes those whose outcomes were not.
 */
import { createHash } from 'node:crypto'
import { attemptKey, type BlobStore, contentEtag, isReference, writeReference } from '../blobs/blob-store.ts'
import { stopAtAbort } from '../blobs/byte-streams.ts'
import type { Operation, Outcome } from '../model/operation.ts'
import { isFinal } from '../model/protocol.ts'
import type { Lease, OperationStore } from '../stores/store.ts'

/** The bytes of a result, with their media type and filename. */
export interface Content {
  readonly bytes: AsyncIterable<Uint8Array>
  readonly type: string
  readonly filename?: string | undefined
}

export class ResultBlobs {
  readonly #blobs: BlobStore
  readonly #store: Pick<OperationStore, 'readPayload'>
  /** Uploads in progress or done, by their keys. */
  readonly #uploads = new Map<string, Promise<unknown>>()

  constructor(blobs: BlobStore, store: Pick<OperationStore, 'readPayload'>) {
    this.#blobs = blobs
    this.#store = store
  }

  /**
   * Uploads a result, unless the signal aborts.
   *
   * @returns the output to record: a reference to the blob
   */
  async upload({ id, attempt }: Lease, { bytes, type, filename }: Content, signal: AbortSignal): Promise<string> {
    const key = attemptKey(id, attempt)
    const hash = createHash('sha256')
    async function* hashed() {
      for await (const piece of stopAtAbort(bytes, signal)) {
        hash.update(piece)
        yield piece
      }
    }
    const upload = this.#blobs.put(key, hashed(), type)
    this.#uploads.set(key, upload)
    const { length } = await upload
    const etag = contentEtag(hash)
    return writeReference({ key, type, length, etag, filename })
  }

  /**
   * Deletes blobs that nothing refers to, once the store has answered to an attempt's outcome: the attempt's own blob
   * if its outcome was not recorded, and those of earlier attempts if the operation has ended.
   *
   * @param after the operation with the outcome; undefined if the store refused the outcome
   */
  async cleanUp({ id, attempt }: Lease, outcome: Outcome, after: Operation | undefined): Promise<void> {
    const own = attemptKey(id, attempt)
    const upload = this.#uploads.get(own)
    this.#uploads.delete(own)
    const stale = after !== undefined && isFinal(after.status) ? earlierKeys(id, attempt) : []
    if (upload !== undefined) {
      await upload.catch(() => {})
      if (!(await this.#isRecorded(id, outcome, after))) stale.push(own)
    }
    for (const key of stale) await this.#blobs.delete(key)
  }

  /** An outcome whose first answer was lost is refused when it is sent again: only the record shows whether it counts. */
  async #isRecorded(id: string, outcome: Outcome, after: Operation | undefined): Promise<boolean> {
    if (outcome.kind !== 'completed' || !isReference(outcome.output)) return false
    if (after?.status === 'completed') return true
    return (await this.#store.readPayload(id, 'output')) === outcome.output
  }

  /** Forgets an attempt whose record is unknown. Its blob stays, and is deleted with its operation. */
  release({ id, attempt }: Lease): void {
    this.#uploads.delete(attemptKey(id, attempt))
  }
}

function earlierKeys(id: string, attempt: number): string[] {
  return Array.from({ length: attempt - 1 }, (_, index) => attemptKey(id, index + 1))
}
