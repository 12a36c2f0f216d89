/** The options of the PostgreSQL store, and how they are read. */
import { type Duration, HOUR, toMs } from '../../model/duration.ts'
import {
  BOOLEAN,
  type Checks,
  checkOptions,
  duration,
  FUNCTION,
  type RenamedOptions,
  STRING,
  STRINGS,
} from '../../model/options.ts'
import { emitWarning } from '../../util/warning.ts'
import { ClockSteps } from '../clock-steps.ts'
import { checkRoles } from './grants.ts'
import type { PostgresPool } from './pool.ts'
import { DEFAULT_SCHEMA } from './schema.ts'

/** Options of `postgresStore`. */
export interface PostgresStoreOptions {
  /** The schema that holds the tables, 1 to 48 bytes. Default `waybill`. */
  readonly schema?: string | undefined
  /**
   * Whether `open` creates missing tables and migrates those of an older version. Default true. If false, `open`
   * rejects for a database that needs it.
   */
  readonly migrate?: boolean | undefined
  /**
   * Roles that may use the tables besides the user who creates them; without a grant, PostgreSQL lets nobody else use
   * them. `open` grants the rights that they lack, also on tables of later migrations by this user. Default: none.
   */
  readonly grantTo?: readonly string[] | undefined
  /**
   * How long a call may take, up to 1 h, the wait for a connection included. After that the server is asked to end it.
   * Default 10 s.
   */
  readonly timeout?: Duration | undefined
  /**
   * Whether processes notify each other by NOTIFY. Receiving takes one connection; with `send` the process only sends.
   * Default true, unless the pool has only one connection. A process that does not receive polls instead.
   */
  readonly notifications?: boolean | 'send' | undefined
  /** The time between two looks for changes while no notifications arrive. Default 1 s. */
  readonly pollInterval?: Duration | undefined
  /** The time between two checks that notifications still arrive. Default 10 s. */
  readonly checkInterval?: Duration | undefined
  /** Called with warnings for the operator; the store continues to work. Default: a warning of the process. */
  readonly warn?: ((message: string) => void) | undefined
  /** A clock that replaces the server's, in milliseconds since the epoch; for tests. */
  readonly clock?: (() => number) | undefined
  /**
   * A clock in milliseconds that is never set, by which steps of `clock` are detected. Default `performance.now`, or
   * `clock` itself if that option is set: then no steps are detected.
   */
  readonly monotonicClock?: (() => number) | undefined
}

const DURATION = duration({ min: 1, max: HOUR })
const OPTIONS: Checks<PostgresStoreOptions> = {
  schema: STRING,
  migrate: BOOLEAN,
  grantTo: STRINGS,
  timeout: DURATION,
  notifications: { expected: 'true, false or send', test: value => typeof value === 'boolean' || value === 'send' },
  pollInterval: DURATION,
  checkInterval: DURATION,
  warn: FUNCTION,
  clock: FUNCTION,
  monotonicClock: FUNCTION,
}

const RENAMED: RenamedOptions<PostgresStoreOptions> = {
  timeoutMs: 'timeout',
  pollMs: 'pollInterval',
  checkMs: 'checkInterval',
}

/** The options with every default filled in. */
export interface PostgresStoreSettings {
  readonly schema: string
  readonly migrate: boolean
  readonly grantTo: readonly string[]
  readonly notifications: boolean | 'send'
  readonly warn: (message: string) => void
  readonly timeoutMs: number
  readonly pollMs: number
  readonly checkMs: number
  readonly clock: () => number | null
  readonly steps: ClockSteps
}

/** @throws {TypeError} for an unknown or invalid option; the message names it */
export function readPostgresOptions(pool: PostgresPool, options: PostgresStoreOptions): PostgresStoreSettings {
  checkOptions('postgresStore()', options, OPTIONS, RENAMED)
  return {
    schema: options.schema ?? DEFAULT_SCHEMA,
    migrate: options.migrate ?? true,
    grantTo: checkRoles('grantTo', options.grantTo ?? []),
    timeoutMs: toMs(options.timeout ?? '10s'),
    notifications: options.notifications ?? pool.options?.max !== 1,
    pollMs: toMs(options.pollInterval ?? '1s'),
    checkMs: toMs(options.checkInterval ?? '10s'),
    warn: options.warn ?? emitWarning,
    clock: options.clock ?? (() => null),
    steps: new ClockSteps(options.monotonicClock ?? options.clock),
  }
}
