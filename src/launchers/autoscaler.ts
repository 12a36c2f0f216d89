/**
 * The autoscaler: while operations are ready, it asks a scale trigger for executions that drain them.
 *
 * If no execution appears, for instance because its image cannot start, it asks less and less often. Otherwise it would
 * start executions without end.
 */

import type { AnyOperationType } from '../model/operation-type.ts'
import type { Hint, OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { TimeLimit } from '../util/time-limit.ts'
import type { ScaleTrigger } from './scale-trigger.ts'

/** What an {@link Autoscaler} is made of. Durations in milliseconds. */
export interface AutoscalerSettings {
  readonly store: WorkQueue & Pick<OperationStore, 'watch'>
  readonly types: readonly AnyOperationType[]
  readonly trigger: ScaleTrigger
  readonly operationsPerExecution: number
  readonly maxExecutions: number
  readonly pollIntervalMs: number
  readonly logger: Logger
}

/** How long a request may stay unanswered before it is repeated: at first, and at most. In milliseconds. */
const PATIENCE_MS = { first: 30_000, longest: 15 * 60_000 } as const

/** How long a trigger may take to answer, in milliseconds. */
const TIMEOUT_MS = 60_000

/** What is ready, and what was requested for it. */
interface Demand {
  /** The first operation of each queue. While it stays the first, no execution has started to work. */
  readonly first: string
  readonly executions: number
}

/** The last request that was made. */
interface ScaleRequest extends Demand {
  readonly patienceMs: number
  /** When it is repeated, by the monotonic clock. */
  readonly until: number
}

export class Autoscaler {
  readonly #settings: AutoscalerSettings
  readonly #names: ReadonlySet<string>
  readonly #loop: Loop
  readonly #limit = new TimeLimit(TIMEOUT_MS, 'The scale trigger did not answer in time.')
  #unwatch: () => void = () => {}
  #last: ScaleRequest | undefined

  constructor(settings: AutoscalerSettings) {
    this.#settings = settings
    this.#names = new Set(settings.types.map(({ name }) => name))
    this.#loop = new Loop({
      name: 'autoscale',
      everyMs: settings.pollIntervalMs,
      turn: () => this.#turn(),
      onError: error => settings.logger.warn({ err: error }, 'Could not request executions; will retry'),
    })
  }

  get loops(): readonly Loop[] {
    return [this.#loop]
  }

  start(): void {
    this.#unwatch = this.#settings.store.watch(hint => this.#hinted(hint), { work: 'autoscaling' })
    this.#loop.start()
  }

  async stop(): Promise<void> {
    this.#unwatch()
    await this.#loop.stop()
  }

  /** The first operation on an empty backlog causes a request at once, later ones at the next poll. */
  #hinted(hint: Hint): void {
    if (this.#last === undefined && hint.kind === 'ready' && this.#names.has(hint.type)) this.#loop.wake()
  }

  async #turn(): Promise<void> {
    const { store, operationsPerExecution, maxExecutions, trigger } = this.#settings
    const queues = await Promise.all([...this.#names].map(name => store.queueStats(name)))
    const depth = queues.reduce((sum, queue) => sum + queue.depth, 0)
    if (depth === 0) {
      this.#last = undefined
      return
    }
    const demand = {
      first: queues.map(({ ready }) => ready[0]).join(),
      executions: Math.min(maxExecutions, Math.ceil(depth / operationsPerExecution)),
    }
    const request = nextRequest(demand, this.#last, performance.now())
    if (request === undefined) return
    await this.#limit.within(trigger.request(request.executions))
    this.#last = request
  }
}

/** The request to make now; undefined while the last one may still be answered. */
export function nextRequest(demand: Demand, last: ScaleRequest | undefined, now: number): ScaleRequest | undefined {
  const request = (patienceMs: number) => ({ ...demand, patienceMs, until: now + patienceMs })
  if (last === undefined || last.first !== demand.first) return request(PATIENCE_MS.first)
  if (now >= last.until) return request(Math.min(2 * last.patienceMs, PATIENCE_MS.longest))
  // A larger backlog does not show that executions start, so the time until the next repetition stays the same.
  return demand.executions > last.executions ? { ...last, ...demand } : undefined
}
