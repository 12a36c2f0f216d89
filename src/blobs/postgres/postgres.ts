/**
 * Blobs in tables of a PostgreSQL database, in chunks. Each chunk is written by a statement of its own, and the blob
 * exists once a last statement has recorded its chunks. So no transaction or connection is held while a handler's
 * stream runs, and a pooler in transaction mode can be used.
 *
 * @example
 * createWaybill({ operations, store: postgresStore(pool), blobs: postgresBlobs(pool) })
 */

import { randomUUID } from 'node:crypto'
import { type Duration, HOUR, toMs } from '../../model/duration.ts'
import { BOOLEAN, type Checks, checkOptions, duration, integer, STRING } from '../../model/options.ts'
import { TimeLimit } from '../../util/time-limit.ts'
import { type BlobStore, type ByteRange, checkBlobKey, checkBlobOperation, type PutResult } from '../blob-store.ts'

/** The part of a `Pool` of the `pg` package that is used. */
export interface BlobPool {
  connect(): Promise<BlobClient>
}

/** A connection that was taken out of the pool. */
export interface BlobClient {
  query(query: {
    readonly text: string
    readonly values: unknown[]
    readonly rowMode: 'array'
  }): Promise<{ readonly rows: readonly (readonly unknown[])[] }>
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  /** Gives the connection back; with true it is closed. */
  release(destroy?: boolean): void
}

/** Options of {@link postgresBlobs}. */
export interface PostgresBlobsOptions {
  /** The schema that the tables are in. Default `waybill`, which the store uses too. */
  readonly schema?: string | undefined
  /** Whether `open` creates missing tables. Default true. */
  readonly migrate?: boolean | undefined
  /** The size of a chunk in bytes, 1 KiB to 16 MiB. Default 256 KiB. */
  readonly chunkBytes?: number | undefined
  /** How long one statement may take, up to 1 h. Default 10 s. */
  readonly timeout?: Duration | undefined
}

/** The options with every default filled in. */
interface PostgresBlobsSettings {
  readonly schema: string
  readonly migrate: boolean
  readonly chunkBytes: number
  readonly timeoutMs: number
}

const OPTIONS: Checks<PostgresBlobsOptions> = {
  schema: STRING,
  migrate: BOOLEAN,
  chunkBytes: integer(1024, 16 * 1024 * 1024),
  timeout: duration({ min: 1, max: HOUR }),
}

/**
 * Makes a blob store of a database. The caller owns the pool, and closes it. @throws {TypeError} for unknown or invalid
 * options
 *
 * @example
 * const blobs = postgresBlobs(pool, { schema: 'results' })
 */
export function postgresBlobs(pool: BlobPool, options: PostgresBlobsOptions = {}): BlobStore {
  checkOptions('postgresBlobs()', options, OPTIONS, { timeoutMs: 'timeout' })
  const { schema = 'waybill', migrate = true, chunkBytes = 256 * 1024, timeout = '10s' } = options
  return new PostgresBlobs(pool, { schema, migrate, chunkBytes, timeoutMs: toMs(timeout) })
}

/**
 * The SQL that creates the tables, for a review, or for a user who has the rights to run it. It can be run more than
 * once.
 *
 * Chunks are not compressed: large results mostly are compressed already, and a range can then be read without the
 * rest.
 *
 * @example
 * writeFileSync('blobs.sql', blobMigration('results'))
 */
export function blobMigration(schema = 'waybill'): string {
  const at = quoted(schema)
  return `
    SELECT pg_advisory_xact_lock(hashtextextended('waybill/blobs/' || ${text(schema)}, 0));
    CREATE SCHEMA IF NOT EXISTS ${at};
    CREATE TABLE IF NOT EXISTS ${at}.blobs (
      operation text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, upload uuid NOT NULL,
      media_type text COLLATE "C" NOT NULL,
      length bigint NOT NULL, chunk_bytes integer NOT NULL, PRIMARY KEY (operation, name));
    CREATE TABLE IF NOT EXISTS ${at}.blob_chunks (
      operation text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, upload uuid NOT NULL, chunk integer NOT NULL,
      body bytea NOT NULL, PRIMARY KEY (operation, name, upload, chunk));
    ALTER TABLE ${at}.blob_chunks ALTER COLUMN body SET STORAGE EXTERNAL;`
}

interface Manifest {
  readonly upload: string
  readonly length: number
  readonly chunkBytes: number
}

class PostgresBlobs implements BlobStore {
  readonly #pool: BlobPool
  readonly #options: PostgresBlobsSettings
  readonly #limit: TimeLimit
  readonly #blobs: string
  readonly #chunks: string

  constructor(pool: BlobPool, options: PostgresBlobsSettings) {
    this.#pool = pool
    this.#options = options
    this.#limit = new TimeLimit(options.timeoutMs, `PostgreSQL did not answer within ${options.timeoutMs} ms.`)
    this.#blobs = `${quoted(options.schema)}.blobs`
    this.#chunks = `${quoted(options.schema)}.blob_chunks`
  }

  async open(): Promise<void> {
    const [[exists] = []] = await this.#run('SELECT to_regclass($1) IS NOT NULL', [this.#chunks])
    if (exists === true) return
    const { schema, migrate } = this.#options
    if (!migrate) throw new Error(noTables(schema, 'this blob store is configured not to create them'))
    // Several statements without parameters can be sent as one query, which PostgreSQL runs as one transaction.
    await this.#run(blobMigration(schema)).catch(error => {
      if (error?.code !== NOT_ALLOWED) throw error
      throw new Error(noTables(schema, 'this user may not create them'), { cause: error })
    })
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, mediaType: string): Promise<PutResult> {
    const { operation, name } = checkBlobKey(key)
    const { chunkBytes } = this.#options
    const upload = randomUUID()
    let length = 0
    let chunk = 0
    try {
      for await (const bytes of inChunks(body, chunkBytes)) {
        await this.#run(`INSERT INTO ${this.#chunks} VALUES ($1, $2, $3, $4, $5)`, [
          operation,
          name,
          upload,
          chunk++,
          bytes,
        ])
        length += bytes.byteLength
      }
      await this.#name([operation, name, upload, mediaType, length, chunkBytes])
      return { length }
    } catch (error) {
      const leftover = `DELETE FROM ${this.#chunks} WHERE operation = $1 AND name = $2 AND upload = $3
        AND NOT EXISTS (SELECT 1 FROM ${this.#blobs} WHERE operation = $1 AND name = $2 AND upload = $3)`
      // Chunks that could not be deleted are deleted with their operation.
      await this.#run(leftover, [operation, name, upload]).catch(() => {})
      throw error
    }
  }

  /** Records the blob: from now on it can be read. */
  async #name(values: unknown[]): Promise<void> {
    await this.#run(
      `WITH old AS (DELETE FROM ${this.#chunks} WHERE operation = $1 AND name = $2 AND upload <> $3)
      INSERT INTO ${this.#blobs} (operation, name, upload, media_type, length, chunk_bytes)
      VALUES ($1, $2, $3, $4, $5, $6)
      ON CONFLICT (operation, name) DO UPDATE SET upload = excluded.upload, media_type = excluded.media_type,
        length = excluded.length, chunk_bytes = excluded.chunk_bytes`,
      values,
    )
  }

  async get(key: string, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined> {
    const { operation, name } = checkBlobKey(key)
    const [row] = await this.#run(
      `SELECT upload, length, chunk_bytes FROM ${this.#blobs} WHERE operation = $1 AND name = $2`,
      [operation, name],
    )
    if (row === undefined) return undefined
    const manifest = { upload: String(row[0]), length: Number(row[1]), chunkBytes: Number(row[2]) }
    return this.#read([operation, name, manifest.upload], manifest, range)
  }

  /** Reads each chunk by a statement of its own, so that a client that reads slowly holds no connection. */
  async *#read(
    blob: readonly string[],
    { length, chunkBytes }: Manifest,
    range?: ByteRange,
  ): AsyncGenerator<Uint8Array> {
    const { start, end } = range ?? { start: 0, end: length - 1 }
    for (let chunk = Math.floor(start / chunkBytes); chunk * chunkBytes <= end; chunk++) {
      const [row] = await this.#run(
        `SELECT body FROM ${this.#chunks} WHERE operation = $1 AND name = $2 AND upload = $3 AND chunk = $4`,
        [...blob, chunk],
      )
      if (row === undefined) throw new Error(`The blob ${blob[0]}/${blob[1]} was deleted while it was read.`)
      const first = chunk * chunkBytes
      yield (row[0] as Uint8Array).subarray(Math.max(0, start - first), end - first + 1)
    }
  }

  async delete(key: string): Promise<void> {
    const { operation, name } = checkBlobKey(key)
    await this.#run(
      `WITH named AS (DELETE FROM ${this.#blobs} WHERE operation = $1 AND name = $2)
      DELETE FROM ${this.#chunks} WHERE operation = $1 AND name = $2`,
      [operation, name],
    )
  }

  async deleteAll(operations: readonly string[]): Promise<void> {
    await this.#run(
      `WITH named AS (DELETE FROM ${this.#blobs} WHERE operation = ANY ($1))
      DELETE FROM ${this.#chunks} WHERE operation = ANY ($1)`,
      [operations.map(checkBlobOperation)],
    )
  }

  async #run(text: string, values: unknown[] = []): Promise<readonly (readonly unknown[])[]> {
    const connecting = this.#pool.connect()
    const client = await this.#limit.within(connecting).catch(error => {
      // A connection that arrives too late is returned to the pool unused.
      connecting.then(late => late.release()).catch(() => {})
      throw error
    })
    client.on('error', ignore)
    let broken = true
    try {
      const { rows } = await this.#limit.within(client.query({ text, values, rowMode: 'array' }))
      broken = false
      return rows
    } catch (error) {
      // An error with a severity comes from the server: the connection is still usable.
      broken = !(error instanceof Error && 'severity' in error)
      throw error
    } finally {
      client.release(broken)
      if (!broken) client.off('error', ignore)
    }
  }
}

/** insufficient_privilege. */
const NOT_ALLOWED = '42501'

function noTables(schema: string, why: string): string {
  return (
    `The schema "${schema}" of the PostgreSQL database has no tables for blobs, and ${why}. Check the name of the ` +
    'schema, "?schema=" in a URL, or have a user who may create tables there run the SQL that blobMigration() gives.'
  )
}

function ignore(): void {}

/** Splits bytes into pieces of the same size; the last one may be smaller. */
async function* inChunks(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer> {
  let held: Uint8Array[] = []
  let bytes = 0
  for await (const part of cutAt(body, size)) {
    held.push(part)
    bytes += part.byteLength
    if (bytes < size) continue
    yield Buffer.concat(held)
    held = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(held)
}

/** Cuts the pieces of a stream wherever another `size` bytes are full. */
async function* cutAt(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let left = size
  for await (const piece of body) {
    for (let at = 0; at < piece.byteLength; ) {
      const part = piece.subarray(at, at + left)
      yield part
      at += part.byteLength
      left = left - part.byteLength || size
    }
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
