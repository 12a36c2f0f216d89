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
  /** Whether `open` migrates a database that an older version has made, or none. Default true; without it such a database is refused. */
  readonly migrate?: boolean | undefined
  /**
   * Roles that may work with the tables, beside the user who makes them: PostgreSQL lets nobody else. `open` grants
   * what they lack, also on tables of later migrations by this user. Default: none.
   */
  readonly grantTo?: readonly string[] | undefined
  /** How long a call may take, up to 1 h, the wait for a connection included. Then the server is asked to end it. Default 10 s. */
  readonly timeout?: Duration | undefined
  /** Whether processes notify each other by NOTIFY. To receive takes one connection; `send` only sends. Default true, unless the pool has only one connection. A process that does not receive polls instead. */
  readonly notifications?: boolean | 'send' | undefined
  /** The time between two looks for changes while no notifications arrive. Default 1 s. */
  readonly pollInterval?: Duration | undefined
  /** The time between two checks that notifications still arrive. Default 10 s. */
  readonly checkInterval?: Duration | undefined
  /** Called with what an operator should know while the store works on. Default: a warning of the process. */
  readonly warn?: ((message: string) => void) | undefined
  /** Stands in for the server's clock, in milliseconds since the epoch: for tests. */
  readonly clock?: (() => number) | undefined
  /** Milliseconds that no step of the clock changes. Default `performance.now`, or `clock` where that is given: then no step is seen. */
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

/** @throws {TypeError} for an unknown option, or one that cannot be right; the message names it */
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
