/** The options of the SQLite store, and how they are read. */
import { type Checks, checkOptions, FUNCTION, oneOf, required, STRING, withMethods } from '../../model/options.ts'
import { emitWarning } from '../../util/warning.ts'
import { ClockSteps } from '../clock-steps.ts'
import type { Database, DatabaseLocation } from './database.ts'

/** Options of `sqliteStore`. */
export interface SqliteStoreOptions {
  /** The file, made where it is missing; `:memory:` keeps nothing beyond the process. */
  readonly path: string
  /** A connection of your own to use for everything, instead of opening `path`. The store closes it. */
  readonly database?: Database | undefined
  /** The module of the driver. Default `node:sqlite`; `better-sqlite3` fits too. */
  readonly driver?: string | undefined
  /** Default `FULL`: an accepted operation survives a power cut. `NORMAL` survives a crash of the process alone, and is faster. */
  readonly synchronous?: 'FULL' | 'NORMAL' | undefined
  /**
   * Where writes are executed. Default `thread`, and `inline` in a process that runs one operation; `inline` saves the
   * start of a thread, and blocks the event loop for each sync.
   */
  readonly writer?: 'thread' | 'inline' | undefined
  /** The store's clock in milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: (() => number) | undefined
  /** Milliseconds that no step of the clock changes. Default `performance.now`, or `clock` where that is given: then no step is seen. */
  readonly monotonicClock?: (() => number) | undefined
  /** Called with what an operator should know while the store works on. Default: a warning of the process. */
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
  /** Undefined where it depends on how the process will use the store. */
  readonly writer: 'thread' | 'inline' | undefined
  readonly clock: () => number
  readonly steps: ClockSteps
  readonly warn: (message: string) => void
}

/** @throws {TypeError} for an unknown option, or one that cannot be right; the message names it */
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
