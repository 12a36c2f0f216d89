/**
 * How the blobs that records refer to get from one blob store to another. A reference holds the length of the content
 * and a digest of it; what is sent, and what is there already, is compared with both, so nothing counts that was cut
 * short or is another content.
 */
import { createHash } from 'node:crypto'
import { type BlobReference, type BlobStore, contentEtag, readReference } from '../blobs/blob-store.ts'
import type { Dump } from '../stores/store.ts'
import { type PatienceOptions, patiently } from '../util/patience.ts'

/** How many blobs are under way at once. Each upload holds some megabytes, however large its blob is. */
const AT_ONCE = 4

/** What a blob is known by. */
export type BlobContent = Pick<BlobReference, 'key' | 'length' | 'etag'>

/** The blob that the record refers to, if it does. */
export function blobOf({ operation: { id }, output }: Dump): BlobReference | undefined {
  return output === null ? undefined : readReference(output, id)
}

/** The two blob stores of a copy, which may be one. */
export class BlobCopier {
  /** How many were sent. */
  sent = 0
  /** How many were in the target already. */
  there = 0
  readonly #from: BlobStore
  readonly #to: BlobStore
  readonly #onLack: (message: string) => void
  readonly #patience: PatienceOptions
  /** What was read from the target and found right, which one reading is enough for. */
  readonly #right = new Set<string>()

  /**
   * @param onLack called with each blob that the source cannot give
   * @param patience with blob stores that are away for a while
   */
  constructor(from: BlobStore, to: BlobStore, onLack: (message: string) => void, patience: PatienceOptions) {
    this.#from = from
    this.#to = to
    this.#onLack = onLack
    this.#patience = patience
  }

  /** Whether both are one, and every blob stays where it is. */
  get stays(): boolean {
    return this.#from === this.#to
  }

  /** Has the target keep these; what the source cannot give holds nothing up. */
  async bring(references: readonly BlobReference[]): Promise<void> {
    await inParallel(references, reference => patiently(() => this.#bring(reference), this.#patience))
  }

  async #bring(reference: BlobReference): Promise<void> {
    if (await this.#isThere(reference)) this.there++
    else await this.#send(reference)
  }

  /** What the target has under the keys of references, by these keys. */
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

  /** What cannot be read to its end counts as missing: then it is sent again. */
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
      // What fails is not kept.
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

/** A content that is told while it is read. */
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

  /** By itself, so that an error of the reader is not mistaken for one of the source. */
  async *#source(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#bytes
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error)
      throw error
    }
  }

  /** Called once, when all of it was read. */
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
