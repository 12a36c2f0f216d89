/**
 * Blobs as files in a folder, with a subfolder for each operation. For one machine, or for a folder that several
 * machines mount. A file is written under a temporary name, synced, and then renamed.
 *
 * @example
 * createWaybill({ operations, store: sqliteStore({ path: './orders.db' }), blobs: folderBlobs({ path: './results' }) })
 */
import { randomBytes } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type Checks, checkOptions, required, STRING } from '../../model/options.ts'
import { retry } from '../../util/retry-call.ts'
import { type BlobStore, type ByteRange, checkBlobKey, checkBlobOperation, type PutResult } from '../blob-store.ts'

/** Options of {@link folderBlobs}. */
export interface FolderBlobsOptions {
  /**
   * The folder, which is created if it is missing. A relative path is resolved at once, from the current working
   * directory.
   */
  readonly path: string
}

/** The end of the name of a file that is not complete yet. */
const PARTIAL = '.part'
/**
 * How many times a write is tried: another process may delete the operation's empty folder between its creation and the
 * write.
 */
const MOST_TRIES = 20

const OPTIONS: Checks<FolderBlobsOptions> = { path: required(STRING) }

/**
 * Makes a blob store of a folder.
 *
 * @throws {TypeError} for an unknown option, or a path that is not a string or is empty
 *
 * @example
 * const blobs = folderBlobs({ path: './results' })
 */
export function folderBlobs(options: FolderBlobsOptions): BlobStore {
  checkOptions('folderBlobs()', options, OPTIONS)
  return new FolderBlobs(resolve(options.path))
}

class FolderBlobs implements BlobStore {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async open(): Promise<void> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 })
  }

  async put(key: string, body: AsyncIterable<Uint8Array>): Promise<PutResult> {
    const file = this.#file(key)
    const partial = `${file}.${randomBytes(8).toString('hex')}${PARTIAL}`
    const handle = await createIn(partial)
    try {
      const length = await writeAll(handle, body)
      await rename(partial, file)
      await sync(dirname(file))
      await sync(this.#path)
      return { length }
    } catch (error) {
      await rm(partial, { force: true })
      await removeIfEmpty(dirname(file))
      throw error
    }
  }

  async get(key: string, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined> {
    const file = this.#file(key)
    const found = await stat(file).catch(unlessMissing)
    return found && read(file, range)
  }

  async delete(key: string): Promise<void> {
    const file = this.#file(key)
    const folder = dirname(file)
    const names = (await readdir(folder).catch(unlessMissing)) ?? []
    const { name } = checkBlobKey(key)
    const own = names.filter(it => it === name || (it.startsWith(`${name}.`) && it.endsWith(PARTIAL)))
    await Promise.all(own.map(it => rm(join(folder, it), { force: true })))
    await removeIfEmpty(folder)
  }

  async deleteAll(operations: readonly string[]): Promise<void> {
    const folders = operations.map(operation => join(this.#path, checkBlobOperation(operation)))
    for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }

  #file(key: string): string {
    const { operation, name } = checkBlobKey(key)
    return join(this.#path, operation, name)
  }
}

async function createIn(file: string): Promise<FileHandle> {
  return await retry(
    async () => {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 })
      return await open(file, 'wx', 0o600)
    },
    (error, failures) => {
      if (codeOf(error) !== 'ENOENT' || failures === MOST_TRIES) throw error
    },
  )
}

/** Writes and syncs, and closes the file whatever happens. */
async function writeAll(handle: FileHandle, body: AsyncIterable<Uint8Array>): Promise<number> {
  try {
    let length = 0
    for await (const piece of body) {
      await handle.writeFile(piece)
      length += piece.byteLength
    }
    await handle.sync()
    return length
  } finally {
    await handle.close()
  }
}

async function* read(file: string, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
  yield* createReadStream(file, { ...range })
}

/**
 * Syncs a folder, which makes renames in it durable. Where a folder cannot be opened or synced, such as on Windows, the
 * system does it.
 */
async function sync(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY).catch(() => undefined)
  await handle?.sync().catch(() => {})
  await handle?.close()
}

async function removeIfEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch(() => {})
}

function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
