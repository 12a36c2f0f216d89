/**
 * The part of a SQLite driver that is used, and how a connection is opened. `node:sqlite` and better-sqlite3 both have
 * this shape, so neither is a dependency.
 */
import { existsSync, mkdirSync, realpathSync, statfsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { BUSY_MS, isLocked, waitForTurn } from './turns.ts'

/** A value that SQLite stores. */
export type SqlValue = string | number | bigint | Uint8Array | null

/** A row as the drivers give it. */
export type Row = Record<string, unknown>

/** A prepared statement. Its rows are what its SQL selects. */
export interface Statement<Selected = unknown> {
  run(...parameters: SqlValue[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  get(...parameters: SqlValue[]): Selected | undefined
  all(...parameters: SqlValue[]): Selected[]
}

/** Makes a statement return arrays. node:sqlite and better-sqlite3 have different methods, and older versions none. */
function withArrays(statement: Statement): Statement {
  const switches = statement as Statement & { setReturnArrays?(on: boolean): void; raw?(on: boolean): void }
  if (switches.setReturnArrays !== undefined) switches.setReturnArrays(true)
  else if (switches.raw !== undefined) switches.raw(true)
  else return arraysOf(statement)
  return statement
}

function arraysOf(statement: Statement): Statement {
  const values = (row: unknown) => (row === undefined ? undefined : Object.values(row as object))
  return {
    run: (...parameters) => statement.run(...parameters),
    get: (...parameters) => values(statement.get(...parameters)),
    all: (...parameters) => statement.all(...parameters).map(values),
  }
}

/** A connection. */
export interface Database {
  exec(sql: string): unknown
  prepare(sql: string): Statement
  close(): unknown
}

/**
 * A statement that is prepared when it is first used. A process uses few of the statements of a connection, and to
 * prepare one takes time and memory.
 */
class LazyStatement<Selected> implements Statement<Selected> {
  readonly #prepare: () => Statement
  #prepared: Statement | undefined

  constructor(prepare: () => Statement) {
    this.#prepare = prepare
  }

  run(...parameters: SqlValue[]) {
    this.#prepared ??= this.#prepare()
    return this.#prepared.run(...parameters)
  }

  get(...parameters: SqlValue[]) {
    this.#prepared ??= this.#prepare()
    return this.#prepared.get(...parameters) as Selected | undefined
  }

  all(...parameters: SqlValue[]) {
    this.#prepared ??= this.#prepare()
    return this.#prepared.all(...parameters) as Selected[]
  }
}

/** A statement whose rows are objects of a type. Nothing checks that the SQL returns such rows. */
export function prepare<Selected>(database: Database, sql: string): Statement<Selected> {
  return new LazyStatement(() => database.prepare(sql))
}

/** The same with rows as arrays, which takes half the time where there are many columns. */
export function prepareArrays<Selected>(database: Database, sql: string): Statement<Selected> {
  return new LazyStatement(() => withArrays(database.prepare(sql)))
}

/** Where a connection leads, and how. */
export interface DatabaseLocation {
  /** A file, or `:memory:`. */
  readonly path: string
  /** The module that has the driver: `node:sqlite`, or `better-sqlite3` and its like. */
  readonly driver: string
  /** `FULL` syncs each commit to the disk. `NORMAL` may lose the last commits when the power fails. */
  readonly synchronous: 'FULL' | 'NORMAL'
}

/** Marks a file as one of Waybill's ("WAYB"), so that the database of another program is never changed. */
export const APPLICATION_ID = 0x57415942

/**
 * The pages that each connection keeps in memory. A larger cache was not faster: a reader discards its cache after each
 * commit of another connection, a writer mostly works at the ends of its tables, and the operating system caches the
 * file too.
 */
const CACHE_KIB = 2048

/**
 * Opens a connection for writing, and creates the file and its folder if they are missing.
 *
 * @throws when the driver or the file cannot be opened, the file belongs to another program, or it is on a network
 * share, where SQLite cannot rely on locks; the message names the file and the cure, and the driver's error is its
 * `cause`
 */
export async function openWriter(location: DatabaseLocation): Promise<Database> {
  const connect = await connector(location)
  return explained(location.path, () => {
    if (location.path !== ':memory:') prepareFolder(location.path)
    checkSharedMemory(location.path, connect)
    return prepared(connect(), database => {
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
      // Checked before the journal mode is set, since that is written into the file.
      waitForTurn(() => checkOursAlone(database))
      // If several processes open a new file at once, SQLite refuses all but one of them here, without waiting.
      waitForTurn(() => database.exec('PRAGMA journal_mode = WAL'))
      database.exec(`PRAGMA synchronous = ${location.synchronous}`)
      database.exec('PRAGMA wal_autocheckpoint = 4000')
      database.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
    })
  })
}

/**
 * Opens a further connection to the same file, which only reads.
 *
 * @throws when the driver or the file cannot be opened; the message names the file and the cure
 */
export async function openReader(location: DatabaseLocation): Promise<Database> {
  const connect = await connector(location)
  return explained(location.path, () => {
    checkSharedMemory(location.path, connect)
    return prepared(connect(), database => {
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
      database.exec('PRAGMA query_only = ON')
      database.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
      // The first read of the file, which shows whether it is a database.
      waitForTurn(() => pragma(database, 'schema_version'))
    })
  })
}

/**
 * Refuses a file that another process has open if its shared memory file, which contains the locks, was deleted. This
 * process would create a new one, and each process would overwrite the commits of the other.
 */
function checkSharedMemory(path: string, connect: () => Database): void {
  if (path === ':memory:') return
  const file = realFile(path)
  // Another process may be opening the file at this moment, and then creates the shared memory.
  const isShared = () => existsSync(`${file}-shm`) || !existsSync(file)
  try {
    waitForTurn(() => isShared() || lockAlone(connect()))
  } catch (cause) {
    if (!isLocked(cause)) throw cause
    throw new Error(
      `The SQLite file "${path}" is open in another process, and its -shm file was deleted: what either of them ` +
        'commits would be lost to the other. End every process that has the file open, and start again.',
      { cause },
    )
  }
}

/**
 * @throws if any other connection has the file open: in exclusive mode a connection locks the whole file, and uses no
 * shared memory
 */
export function lockAlone(database: Database): true {
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    pragma(database, 'schema_version')
    return true
  } finally {
    database.close()
  }
}

/**
 * Opens a connection without reading the file.
 *
 * @throws when the driver or the file cannot be opened
 */
export async function openConnection(location: DatabaseLocation): Promise<Database> {
  return (await connector(location))()
}

async function connector({ driver, path }: DatabaseLocation): Promise<() => Database> {
  const module: Record<string, unknown> = await import(driver)
  const Driver = module.DatabaseSync ?? module.default
  if (typeof Driver !== 'function') {
    throw new TypeError(`The SQLite driver "${driver}" exports neither DatabaseSync nor a default class.`)
  }
  return () => Reflect.construct(Driver, [path]) as Database
}

function prepared(database: Database, prepare: (database: Database) => void): Database {
  try {
    prepare(database)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/**
 * Adds the file and a cure to errors of the operating system and the driver. Errors of Waybill itself have both
 * already.
 */
export function explained<Result>(path: string, open: () => Result): Result {
  try {
    return open()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    const file = path === ':memory:' ? path : resolve(path)
    const message = `The SQLite file "${file}" cannot be opened: ${error.message}. ${cureOf(error.message, file)}`
    throw new Error(message, { cause: error })
  }
}

function cureOf(message: string, file: string): string {
  if (isFolder(file)) return 'That is a folder: name a file in it.'
  return CURES.find(([refusal]) => refusal.test(message))?.[1] ?? 'Name another file, or put a backup in its place.'
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** Cures by the message of SQLite, which is the same with every driver, or by the error code of the system. */
const CURES: readonly (readonly [refusal: RegExp, cure: string])[] = [
  [/not a database/, 'Name a new file, or the one that Waybill made.'],
  [/is locked/, 'Another process keeps it locked: end that one, or try again when it has ended.'],
  [/disk is full|ENOSPC/, 'Make room on the disk.'],
  [
    /unable to open|readonly|^E(ACCES|PERM|ROFS|NOENT|NOTDIR)/,
    'Name a file that this process may read and write, in a folder that it may write too.',
  ],
]

/**
 * Refuses a file that is not empty and does not belong to Waybill. Call it within a transaction.
 *
 * @throws when the file is another program's
 */
export function checkOurs(database: Database): void {
  if (pragma(database, 'application_id') === APPLICATION_ID) return
  const tables = prepare<{ tables: number }>(database, 'SELECT count(*) AS tables FROM sqlite_schema').get()?.tables
  if (tables === 0 && pragma(database, 'user_version') === 0) return
  throw new Error(
    `The SQLite file "${fileOf(database)}" belongs to another program. Name a new file, or the one that Waybill made.`,
  )
}

function checkOursAlone(database: Database): void {
  database.exec('BEGIN')
  checkOurs(database)
  database.exec('COMMIT')
}

/** The file of a connection, for messages. */
export function fileOf(database: Database): string {
  const file = prepare<{ file: string }>(database, 'PRAGMA database_list').get()?.file
  return file || ':memory:'
}

/** The value of a pragma that is a number. */
export function pragma(database: Database, name: string): number {
  return Number(Object.values(prepare<object>(database, `PRAGMA ${name}`).get() ?? {})[0])
}

/** The numbers of file system types in statfs(2) where the locks of SQLite are not reliable. */
const NETWORK_FILE_SYSTEMS = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
])

/** The name of a network file system by its type number in statfs(2); undefined for other types. */
export function networkFileSystem(type: number): string | undefined {
  return NETWORK_FILE_SYSTEMS.get(type)
}

/**
 * Creates a folder and its parents. It does not use the option `recursive`, which never returns under /proc, where
 * folders cannot be created.
 */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (error) {
    // Another process may have created it meanwhile.
    if (!existsSync(folder)) throw error
  }
}

function prepareFolder(path: string): void {
  const folder = dirname(resolve(path))
  makeFolder(folder)
  const network = networkFileSystem(statfsSync(folder).type)
  if (network === undefined) return
  throw new Error(
    `The SQLite file "${path}" is on a network share (${network}), where its locks do not hold. ` +
      'Put it on a local disk, or use a PostgreSQL or Cosmos DB store.',
  )
}

/**
 * Prepares the read of a number that changes whenever another connection has committed. Its value has no other meaning.
 */
export function prepareVersion(database: Database): () => number {
  const statement = prepare<{ data_version: number }>(database, 'PRAGMA data_version')
  return () => statement.get()?.data_version ?? 0
}

/**
 * The absolute path of an existing file with links resolved, as SQLite resolves them: the log is beside the real file.
 */
export function realFile(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // The path may be a `file:` URI, which only SQLite can resolve.
    return resolve(path)
  }
}

/**
 * Whether a version of SQLite has the WAL-reset bug, by which connections that write or checkpoint one file at the same
 * time may corrupt it: https://sqlite.org/wal.html#walresetbug.
 */
export function hasWalResetBug(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  if (major !== 3) return major < 3
  const fixedIn = WAL_RESET_FIXES.get(minor)
  return fixedIn === undefined ? minor < 52 : patch < fixedIn
}

/**
 * For each minor version that got the fix in a patch, the first such patch. Of the other versions, 3.52 and later have
 * the fix.
 */
const WAL_RESET_FIXES: ReadonlyMap<number, number> = new Map([
  [44, 6],
  [50, 7],
  [51, 3],
])

/** The version of SQLite itself, such as `3.51.3`. */
export function sqliteVersion(database: Database): string {
  return prepare<{ version: string }>(database, 'SELECT sqlite_version() AS version').get()?.version ?? ''
}
