/**
 * Copies the blobs of records from one blob store to another. A reference holds the length and a digest of the content.
 * Sent and existing blobs are compared with both, so a blob that was cut short, or has other content, does not count.
 */
import { createHash } from 'node:crypto'
import { type BlobReference, type BlobStore, contentEtag, readReference } from '../blobs/blob-store.ts'
import type { Dump } from '../stores/store.ts'
import { type PatienceOptions, patiently } from '../util/patience.ts'

/** How many blobs are copied at once. Each upload holds some megabytes in memory, however large its blob is. */
const AT_ONCE = 4

/** The key, length and digest of a blob. */
export type BlobContent = Pick<BlobReference, 'key' | 'length' | 'etag'>

/** The blob of a record, if it has one. */
export function blobOf({ operation: { id }, output }: Dump): BlobReference | undefined {
  return output === null ? undefined : readReference(output, id)
}

/** The two blob stores of a copy, which may be the same. */
export class BlobCopier {
  /** How many were sent. */
  sent = 0
  /** How many were already in the target. */
  there = 0
  readonly #from: BlobStore
  readonly #to: BlobStore
  readonly #onLack: (message: string) => void
  readonly #patience: PatienceOptions
  /** The blobs of the target that were already read and found correct, so that each is read only once. */
  readonly #right = new Set<string>()

  /**
   * @param onLack called with each blob that the source does not have @param patience with blob stores that are
   * unreachable for a while
   */
  constructor(from: BlobStore, to: BlobStore, onLack: (message: string) => void, patience: PatienceOptions) {
    this.#from = from
    this.#to = to
    this.#onLack = onLack
    this.#patience = patience
  }

  /** Whether both stores are the same, so that every blob stays where it is. */
  get stays(): boolean {
    return this.#from === this.#to
  }

  /** Copies these blobs to the target. A blob that the source does not have does not stop the copy. */
  async bring(references: readonly BlobReference[]): Promise<void> {
    await inParallel(references, reference => patiently(() => this.#bring(reference), this.#patience))
  }

  async #bring(reference: BlobReference): Promise<void> {
    if (await this.#isThere(reference)) this.there++
    else await this.#send(reference)
  }

  /** The content in the target for each reference, by key. */
  async inTarget(references: readonly BlobReference[]): Promise<ReadonlyMap<string, BlobContent>> {
    const found = new Map<string, BlobContent>()
    await inParallel(references, async reference => {
      const content = this.#right.has(nameOf(reference)) ? reference : await this.#read(reference.key)
      if (content !== undefined) found.set(reference.key, content)
    })
    return found
  }

  async #isThere(reference: BlobReference): Promise<boolean> {
    if (this.stays) return (await this.#to.get(reference.key)) !== undefined
    const content = await this.#read(reference.key)
    const isRight = content !== undefined && nameOf(content) === nameOf(reference)
    if (isRight) this.#right.add(nameOf(reference))
    return isRight
  }

  /** A blob that cannot be read to its end counts as missing, so it is sent again. */
  async #read(key: string): Promise<BlobContent | undefined> {
    const bytes = await patiently(() => this.#to.get(key), this.#patience)
    if (bytes === undefined) return undefined
    const content = new Reading(key, bytes)
    try {
      for await (const _ of content.pieces());
      return content.end()
    } catch {
      return undefined
    }
  }

  async #send(reference: BlobReference): Promise<void> {
    const { key, type } = reference
    const bytes = await this.#from.get(key)
    if (bytes === undefined) return this.#onLack(`The blob ${key} is missing in the source.`)
    const content = new Reading(key, bytes)
    let isWrong = false
    async function* checked() {
      yield* content.pieces()
      isWrong = nameOf(content.end()) !== nameOf(reference)
      // An upload that fails leaves no blob.
      if (isWrong) throw new Error('It is not what its record says.')
    }
    try {
      await this.#to.put(key, checked(), type)
      this.sent++
    } catch (error) {
      if (!isWrong && content.failure === undefined) throw error
      const why = isWrong ? 'is not what its record says.' : `cannot be read: ${content.failure}`
      this.#onLack(`The blob ${key} is not copied. In the source it ${why}`)
    }
  }
}

/** Measures a content while it is read. */
class Reading {
  /** Why it could not be read to its end. */
  failure: string | undefined
  readonly #key: string
  readonly #bytes: AsyncIterable<Uint8Array>
  readonly #hash = createHash('sha256')
  #length = 0

  constructor(key: string, bytes: AsyncIterable<Uint8Array>) {
    this.#key = key
    this.#bytes = bytes
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#source()) {
      this.#hash.update(piece)
      this.#length += piece.byteLength
      yield piece
    }
  }

  /** Caught here, so that an error of the reader is not mistaken for one of the source. */
  async *#source(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#bytes
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error)
      throw error
    }
  }

  /** Called once, after everything was read. */
  end(): BlobContent {
    return { key: this.#key, length: this.#length, etag: contentEtag(this.#hash) }
  }
}

/** A string that differs for different content. */
export function nameOf({ key, length, etag }: BlobContent): string {
  return `${key} ${length} ${etag}`
}

async function inParallel<Item>(items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values()
  const work = async () => {
    for (const item of left) await act(item)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, work))
}
