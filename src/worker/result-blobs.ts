/**
 * What a worker does with the results of its attempts that are no JSON: keeps them before their
 * outcomes are recorded, and clears up after those whose outcomes were not.
 */
import { createHash } from 'node:crypto'
import { attemptKey, type BlobStore, contentEtag, isReference, writeReference } from '../blobs/blob-store.ts'
import { until } from '../blobs/byte-streams.ts'
import type { Operation, Outcome } from '../model/operation.ts'
import { isFinal } from '../model/protocol.ts'
import type { Lease, OperationStore } from '../stores/store.ts'

/** The bytes of a result, and what is said of them. */
export interface Content {
  readonly bytes: AsyncIterable<Uint8Array>
  readonly type: string
  readonly filename?: string
}

export class BlobKeeper {
  readonly #blobs: BlobStore
  readonly #store: Pick<OperationStore, 'readPayload'>
  /** The puts of attempts, under way or done, by their keys. */
  readonly #puts = new Map<string, Promise<unknown>>()

  constructor(blobs: BlobStore, store: Pick<OperationStore, 'readPayload'>) {
    this.#blobs = blobs
    this.#store = store
  }

  /**
   * Keeps a result until the signal is aborted.
   *
   * @returns the output to be recorded: a reference
   */
  async keep({ id, attempt }: Lease, { bytes, type, filename }: Content, signal: AbortSignal): Promise<string> {
    const key = attemptKey(id, attempt)
    const hash = createHash('sha256')
    async function* hashed() {
      for await (const piece of until(bytes, signal)) {
        hash.update(piece)
        yield piece
      }
    }
    const put = this.#blobs.put(key, hashed(), type)
    this.#puts.set(key, put)
    const { length } = await put
    const etag = contentEtag(hash)
    return writeReference({ key, type, length, etag, ...(filename !== undefined && { filename }) })
  }

  /**
   * Clears up once the store has answered to an attempt's outcome: its own blob where that was not recorded, and
   * those of earlier attempts where the operation has ended.
   *
   * @param after the operation with the outcome; undefined where it was refused
   */
  async settle({ id, attempt }: Lease, outcome: Outcome, after: Operation | undefined): Promise<void> {
    const own = attemptKey(id, attempt)
    const put = this.#puts.get(own)
    this.#puts.delete(own)
    const stale = after !== undefined && isFinal(after.status) ? earlierKeys(id, attempt) : []
    if (put !== undefined) {
      await put.catch(() => {})
      if (!(await this.#isRecorded(id, outcome, after))) stale.push(own)
    }
    for (const key of stale) await this.#blobs.delete(key)
  }

  /** An outcome whose first answer was lost is refused when it is sent again: the record tells. */
  async #isRecorded(id: string, outcome: Outcome, after: Operation | undefined): Promise<boolean> {
    if (outcome.kind !== 'completed' || !isReference(outcome.output)) return false
    if (after?.status === 'completed') return true
    return (await this.#store.readPayload(id, 'output')) === outcome.output
  }

  /** Its record is not known, or nobody asks any more: what it has kept goes with its operation. */
  forget({ id, attempt }: Lease): void {
    this.#puts.delete(attemptKey(id, attempt))
  }
}

function earlierKeys(id: string, attempt: number): string[] {
  return Array.from({ length: attempt - 1 }, (_, index) => attemptKey(id, index + 1))
}
