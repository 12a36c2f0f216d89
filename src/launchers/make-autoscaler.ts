/** Makes an autoscaler of the options that users give. */
import { type Duration, toMs } from '../model/duration.ts'
import { type Checks, duration, integer, type RenamedOptions, required, withMethods } from '../model/options.ts'
import { Autoscaler, type AutoscalerSettings } from './autoscaler.ts'
import type { ScaleTrigger } from './scale-trigger.ts'

/** How this process requests executions that drain the backlog. */
export interface AutoscaleOptions {
  /** Starts executions, such as `storageQueue(client)`. */
  readonly trigger: ScaleTrigger
  /** How many ready operations one execution is requested for, 1 to 10,000. Default 16. */
  readonly operationsPerExecution?: number | undefined
  /** How many executions are requested at once, 1 to 1,000. Default 10. */
  readonly maxExecutions?: number | undefined
  /** The longest time between two looks at the backlog. Default 5 s. */
  readonly pollInterval?: Duration | undefined
}

/** What the options of an autoscaler must be. */
export const AUTOSCALE_OPTIONS: Checks<AutoscaleOptions> = {
  trigger: required(withMethods('a scale trigger, such as storageQueue(client)', 'request')),
  operationsPerExecution: integer(1, 10_000),
  maxExecutions: integer(1, 1000),
  pollInterval: duration({ min: 10 }),
}

export const RENAMED_AUTOSCALE_OPTIONS: RenamedOptions<AutoscaleOptions> = {
  by: 'trigger',
  share: 'operationsPerExecution',
  max: 'maxExecutions',
  scan: 'pollInterval',
}

/** What an autoscaler works with. */
export type AutoscalerParts = Pick<AutoscalerSettings, 'store' | 'types' | 'logger'>

export function makeAutoscaler(options: AutoscaleOptions, { store, types, logger }: AutoscalerParts): Autoscaler {
  return new Autoscaler({
    store,
    types,
    logger,
    trigger: options.trigger,
    operationsPerExecution: options.operationsPerExecution ?? 16,
    maxExecutions: options.maxExecutions ?? 10,
    pollIntervalMs: toMs(options.pollInterval ?? '5s'),
  })
}
