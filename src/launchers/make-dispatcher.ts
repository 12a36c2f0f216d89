/** Makes a dispatcher of the options that users give. */
import { type Duration, toMs } from '../model/duration.ts'
import { type Checks, duration, integer, type RenamedOptions, required, withMethods } from '../model/options.ts'
import { Dispatcher, type DispatcherSettings } from './dispatcher.ts'
import type { Launcher } from './launcher.ts'

/** How this process starts one execution for each operation on another engine. */
export interface DispatcherOptions {
  readonly launcher: Launcher
  /** How long an execution may take from its start to its claim before another one is started. Default 2 minutes. */
  readonly claimTimeout?: Duration | undefined
  /** The longest time between two looks at the queue when no hint comes. Default 1 s. */
  readonly pollInterval?: Duration | undefined
  /** The time between two looks at the executions. Default 10 s. */
  readonly reconcileInterval?: Duration | undefined
  /**
   * How many executions of the launcher's engine may run at once, over all processes that use the store, from 1 to
   * 10,000. More operations wait in the queue. Default: unlimited.
   */
  readonly maxExecutions?: number | undefined
}

/** What the options of a dispatcher must be. */
export const DISPATCHER_OPTIONS: Checks<DispatcherOptions> = {
  launcher: required(
    withMethods('a launcher, such as processLauncher({ entry: "./job.ts" })', 'start', 'stop', 'inspect'),
  ),
  claimTimeout: duration({ min: 1000 }),
  pollInterval: duration({ min: 10 }),
  reconcileInterval: duration({ min: 50 }),
  maxExecutions: integer(1, 10_000),
}

export const RENAMED_DISPATCHER_OPTIONS: RenamedOptions<DispatcherOptions> = {
  hold: 'claimTimeout',
  scan: 'pollInterval',
  reconcile: 'reconcileInterval',
}

/** What a dispatcher works with. */
export type DispatcherParts = Pick<DispatcherSettings, 'store' | 'types' | 'logger' | 'metrics'>

/** @throws {TypeError} where the launcher does not name its engine */
export function makeDispatcher(options: DispatcherOptions, parts: DispatcherParts): Dispatcher {
  const { launcher } = options
  if (typeof launcher.engine !== 'string' || launcher.engine === '') {
    const given = JSON.stringify(launcher.engine)
    throw new TypeError(`dispatcher.launcher.engine must be the name of its engine, such as "process", not ${given}.`)
  }
  return new Dispatcher({
    ...parts,
    launcher,
    claimTimeoutMs: toMs(options.claimTimeout ?? '2m'),
    pollIntervalMs: toMs(options.pollInterval ?? '1s'),
    reconcileIntervalMs: toMs(options.reconcileInterval ?? '10s'),
    maxExecutions: options.maxExecutions,
  })
}
