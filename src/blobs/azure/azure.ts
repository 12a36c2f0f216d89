/**
 * Blobs in a container of Azure Blob Storage. A blob is uploaded in blocks, and exists once all of them are committed.
 * Azure deletes blocks that are not committed after a week.
 *
 * @example
 * const service = new BlobServiceClient('https://account.blob.core.windows.net', new DefaultAzureCredential())
 * createWaybill({ operations, store, blobs: azureBlobs(service.getContainerClient('results')) })
 */
import { Readable } from 'node:stream'
import { type BlobStore, type ByteRange, checkBlobKey, checkBlobOperation, type PutResult } from '../blob-store.ts'

/** The part of a `ContainerClient` of `@azure/storage-blob` that is used; a type test pins it to the real one. */
export interface BlobContainer {
  getBlockBlobClient(name: string): BlockBlob
  listBlobsFlat(options: { readonly prefix: string }): AsyncIterable<{ readonly name: string }>
}

/** The part of a `BlockBlobClient` that is used. */
export interface BlockBlob {
  uploadStream(
    stream: Readable,
    bufferSize: number,
    maxConcurrency: number,
    options: { readonly blobHTTPHeaders: { readonly blobContentType: string } },
  ): Promise<unknown>
  exists(): Promise<boolean>
  download(
    offset?: number,
    count?: number,
  ): Promise<{ readonly readableStreamBody?: NodeJS.ReadableStream | undefined }>
  deleteIfExists(): Promise<unknown>
}

/**
 * The size of a block in bytes; a blob may have 50,000 blocks. Two blocks are sent at once, so each upload holds up to
 * three blocks in memory.
 */
const BLOCK_BYTES = 4 * 1024 * 1024
const BLOCKS_AT_ONCE = 2
/** A prefix that no blob has, since no id of an operation is "-". */
const NO_BLOBS = '-/'
/** How many deletes are under way at once. */
const DELETES_AT_ONCE = 16

/**
 * Makes a blob store of a container, which must exist. The caller owns the client, and closes it.
 *
 * @example
 * const service = BlobServiceClient.fromConnectionString(process.env.AZURE_STORAGE ?? '')
 * const blobs = azureBlobs(service.getContainerClient('results'))
 */
export function azureBlobs(container: BlobContainer): BlobStore {
  return new AzureBlobs(container)
}

class AzureBlobs implements BlobStore {
  readonly #container: BlobContainer

  constructor(container: BlobContainer) {
    this.#container = container
  }

  /**
   * Checks the container by listing blobs, a right that is needed anyway: a shared access signature for blobs does not
   * allow reading the properties of the container.
   */
  async open(): Promise<void> {
    try {
      for await (const _ of this.#container.listBlobsFlat({ prefix: NO_BLOBS })) return
    } catch (error) {
      if ((error as { statusCode?: unknown }).statusCode !== 404) throw error
      throw new Error('azureBlobs: the container does not exist. Create it, or name another one.', { cause: error })
    }
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, mediaType: string): Promise<PutResult> {
    let length = 0
    async function* counted() {
      for await (const piece of body) {
        length += piece.byteLength
        yield piece
      }
    }
    const stream = Readable.from(counted(), { objectMode: false })
    try {
      const blobHTTPHeaders = { blobContentType: mediaType }
      await this.#blob(key).uploadStream(stream, BLOCK_BYTES, BLOCKS_AT_ONCE, { blobHTTPHeaders })
      return { length }
    } finally {
      stream.destroy()
    }
  }

  async get(key: string, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined> {
    const blob = this.#blob(key)
    return (await blob.exists()) ? read(blob, range) : undefined
  }

  async delete(key: string): Promise<void> {
    await this.#blob(key).deleteIfExists()
  }

  async deleteAll(operations: readonly string[]): Promise<void> {
    const left = operations.map(checkBlobOperation)
    const work = async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) await this.#deleteOf(next)
    }
    await Promise.all(Array.from({ length: Math.min(DELETES_AT_ONCE, left.length) }, work))
  }

  async #deleteOf(operation: string): Promise<void> {
    for await (const { name } of this.#container.listBlobsFlat({ prefix: `${operation}/` })) {
      await this.#container.getBlockBlobClient(name).deleteIfExists()
    }
  }

  #blob(key: string): BlockBlob {
    checkBlobKey(key)
    return this.#container.getBlockBlobClient(key)
  }
}

async function* read(blob: BlockBlob, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
  const { start, end } = range ?? { start: 0 }
  const { readableStreamBody: body } = await blob.download(start, end === undefined ? undefined : end - start + 1)
  for await (const piece of body ?? []) yield typeof piece === 'string' ? Buffer.from(piece) : piece
}
