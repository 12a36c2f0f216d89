/** The options of the SQLite store, and how they are read. */
import { type Checks, checkOptions, FUNCTION, oneOf, required, STRING, withMethods } from '../../model/options.ts'
import { emitWarning } from '../../util/warning.ts'
import { ClockSteps } from '../clock-steps.ts'
import type { Database, DatabaseLocation } from './database.ts'

/** Options of `sqliteStore`. */
export interface SqliteStoreOptions {
  /**
   * The file, which is created if it is missing. `:memory:` keeps everything in memory, and nothing after the process
   * ends.
   */
  readonly path: string
  /** A connection of your own to use for everything, instead of opening `path`. The store closes it. */
  readonly database?: Database | undefined
  /** The module of the driver: `node:sqlite`, or `better-sqlite3`. Default `node:sqlite`. */
  readonly driver?: string | undefined
  /**
   * Default `FULL`: an accepted operation survives a power cut. `NORMAL` is faster, but survives only a crash of the
   * process.
   */
  readonly synchronous?: 'FULL' | 'NORMAL' | undefined
  /**
   * Where writes are executed. Default `thread`, and `inline` in a process that runs one operation; `inline` saves the
   * start of a thread, and blocks the event loop for each sync.
   */
  readonly writer?: 'thread' | 'inline' | undefined
  /** The store's clock in milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: (() => number) | undefined
  /**
   * A clock in milliseconds that is never set, by which steps of `clock` are detected. Default `performance.now`, or
   * `clock` itself if that option is set: then no steps are detected.
   */
  readonly monotonicClock?: (() => number) | undefined
  /** Called with warnings for the operator; the store continues to work. Default: a warning of the process. */
  readonly warn?: ((message: string) => void) | undefined
}

const OPTIONS: Checks<SqliteStoreOptions> = {
  path: required(STRING),
  database: withMethods('an open connection', 'exec', 'prepare', 'close'),
  driver: STRING,
  synchronous: oneOf('FULL', 'NORMAL'),
  writer: oneOf('thread', 'inline'),
  clock: FUNCTION,
  monotonicClock: FUNCTION,
  warn: FUNCTION,
}

/** The options with every default filled in. */
export interface SqliteStoreSettings {
  readonly location: DatabaseLocation
  readonly database: Database | undefined
  /** Undefined if it depends on how the process will use the store. */
  readonly writer: 'thread' | 'inline' | undefined
  readonly clock: () => number
  readonly steps: ClockSteps
  readonly warn: (message: string) => void
}

/** @throws {TypeError} for an unknown or invalid option; the message names it */
export function readSqliteOptions(options: SqliteStoreOptions): SqliteStoreSettings {
  checkOptions('sqliteStore()', options, OPTIONS)
  const { path, driver = 'node:sqlite', synchronous = 'FULL' } = options
  return {
    location: { path, driver, synchronous },
    database: options.database,
    writer: options.writer,
    clock: options.clock ?? Date.now,
    steps: new ClockSteps(options.monotonicClock ?? options.clock),
    warn: options.warn ?? emitWarning,
  }
}
