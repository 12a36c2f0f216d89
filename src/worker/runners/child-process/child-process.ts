/**
 * Runs handlers in child processes, one attempt in each at a time, so that heavy computing blocks nothing else, and a
 * crash ends only its own attempt, at once and with a reason.
 */

import { guardLogger, type Logger } from '../../../util/logger.ts'
import type { Niceness } from '../../../util/niceness.ts'
import { fileUrl } from '../../handlers.ts'
import type { Runner } from '../runner.ts'
import { ChildPool } from './child-pool.ts'
import { refuseInChild } from './environment.ts'
import { removeStraySpools } from './spool.ts'

/** Options of {@link childProcessRunner}. Durations in milliseconds. */
export interface ChildProcessOptions {
  /** The handler files: URLs, or paths from the working directory. */
  readonly files: readonly (string | URL)[]
  /** The most children: as many as attempts run at once. */
  readonly concurrency: number
  readonly logger: Logger
  /** Arguments for Node itself, such as `--max-old-space-size=512`. Default: those of this process that suit a child. */
  readonly execArgv?: readonly string[] | undefined
  /**
   * The scheduling priority of the children once they have loaded their handlers: `idle`, or a nice value from 0
   * (normal) to 19 (lowest). Default `idle`: the API answers as fast as on an idle machine, even if every core
   * computes.
   */
  readonly niceness?: Niceness | undefined
  /**
   * How many attempts a child runs before it is replaced, which limits memory leaks. 1: a new child for each attempt.
   * Default 10,000.
   */
  readonly maxAttemptsPerChild?: number | undefined
  /** How long a child may take to load the handlers. Default 1 minute. */
  readonly startTimeoutMs?: number | undefined
  /** How long a child may have nothing to do before it ends, as long as another one is idle. Default 1 minute. */
  readonly idleMs?: number | undefined
}

const MINUTE_MS = 60_000

/** Makes a runner that starts children as they are needed. */
export function childProcessRunner(options: ChildProcessOptions): Runner {
  const logger = guardLogger(options.logger)
  const pool = new ChildPool({
    files: options.files.map(fileUrl),
    concurrency: options.concurrency,
    execArgv: options.execArgv,
    niceness: options.niceness ?? 'idle',
    maxAttemptsPerChild: options.maxAttemptsPerChild ?? 10_000,
    startTimeoutMs: options.startTimeoutMs ?? MINUTE_MS,
    idleMs: options.idleMs ?? MINUTE_MS,
    report: (error, message) => logger.error({ err: error }, message),
  })
  return {
    start: async (onRoom = () => {}) => {
      refuseInChild()
      await removeStraySpools()
      return await pool.start(onRoom)
    },
    room: () => pool.room(),
    run: (task, context) => pool.run(task, context),
    close: () => pool.close(),
  }
}
