/**
 * The SQLite driver: what is needed of it, and how a connection is opened. `node:sqlite` and
 * better-sqlite3 both have this shape, so neither is a dependency.
 */
import { mkdirSync, statfsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** A value that SQLite stores. */
export type SqlValue = string | number | null

/** A row as the drivers give it. */
export type Row = Record<string, unknown>

/** A prepared statement. */
export interface Statement {
  run(...parameters: SqlValue[]): { changes: number | bigint }
  get(...parameters: SqlValue[]): unknown
  all(...parameters: SqlValue[]): unknown[]
}

/** A connection. */
export interface Database {
  exec(sql: string): unknown
  prepare(sql: string): Statement
  close(): unknown
}

/** Where a connection leads, and how. */
export interface DatabaseLocation {
  /** A file, or `:memory:`. */
  readonly path: string
  /** The module that has the driver: `node:sqlite`, or `better-sqlite3` and its like. */
  readonly driver: string
  /** `FULL` syncs each commit to the disk; `NORMAL` may lose the last commits when the power fails, and no others. */
  readonly synchronous: 'FULL' | 'NORMAL'
}

/** How long a connection waits for another process' write, in milliseconds. */
const BUSY_MS = 5000

/**
 * Opens a connection for writing, and makes the file and its folder where they are missing.
 *
 * @throws when the driver or the file cannot be opened, or the file lies on a network share, whose locks SQLite cannot trust
 */
export async function openWriter(location: DatabaseLocation): Promise<Database> {
  if (location.path !== ':memory:') prepareFolder(location.path)
  const database = await connect(location)
  database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(`PRAGMA synchronous = ${location.synchronous}`)
  database.exec('PRAGMA wal_autocheckpoint = 4000')
  database.exec('PRAGMA cache_size = -32768')
  return database
}

/** Opens a further connection to the same file, which only reads. */
export async function openReader(location: DatabaseLocation): Promise<Database> {
  const database = await connect(location)
  database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
  database.exec('PRAGMA query_only = ON')
  database.exec('PRAGMA cache_size = -32768')
  return database
}

async function connect(location: DatabaseLocation): Promise<Database> {
  const module: Record<string, unknown> = await import(location.driver)
  const Driver = module.DatabaseSync ?? module.default
  if (typeof Driver !== 'function') {
    throw new TypeError(`The SQLite driver "${location.driver}" exports neither DatabaseSync nor a default class.`)
  }
  return Reflect.construct(Driver, [location.path]) as Database
}

/** File system types, as statfs(2) numbers them, on which SQLite's locks are not to be trusted. */
const NETWORK_FILE_SYSTEMS = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
])

function prepareFolder(path: string): void {
  const folder = dirname(resolve(path))
  mkdirSync(folder, { recursive: true })
  const network = NETWORK_FILE_SYSTEMS.get(statfsSync(folder).type)
  if (network === undefined) return
  throw new Error(
    `The SQLite file "${path}" lies on a network share (${network}), where its locks do not hold. ` +
      'Put it on a local disk, or use a PostgreSQL or Cosmos DB store.',
  )
}
