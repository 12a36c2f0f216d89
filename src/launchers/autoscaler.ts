/**
 * The waker: as long as operations are ready, it has a wake-up call for executions that drain them.
 *
 * Where nothing comes of its calls, such as with an image that cannot start, it calls less and less often: that must not
 * start executions without end.
 */

import type { AnyOperationType } from '../model/operation-type.ts'
import type { Hint, OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { TimeLimit } from '../util/time-limit.ts'
import type { Wakeup } from './scale-trigger.ts'

/** Options of a {@link Waker}. Durations in milliseconds. */
export interface WakerOptions {
  readonly store: WorkQueue & Pick<OperationStore, 'watch'>
  readonly types: readonly AnyOperationType[]
  readonly by: Wakeup
  /** How many operations are one execution's share. */
  readonly share: number
  /** How many calls may wait at once, at most. */
  readonly max: number
  /** The longest time between two looks at the backlog. */
  readonly scanMs: number
  readonly logger: Logger
}

/** How long a call may go unanswered before it is looked after, and how long at most, in milliseconds. */
const PATIENCE_MS = { first: 30_000, longest: 15 * 60_000 } as const

/** How long a wake-up may take for an answer. */
const TIMEOUT_MS = 60_000

/** What the backlog asks for. */
interface Wanted {
  /** What is first in the queues: as long as it stays, nobody has come. */
  readonly first: string
  readonly executions: number
}

/** What was called for last. */
interface Call extends Wanted {
  readonly patienceMs: number
  /** By the monotonic clock. */
  readonly until: number
}

export class Waker {
  readonly #options: WakerOptions
  readonly #names: ReadonlySet<string>
  readonly #loop: Loop
  readonly #limit = new TimeLimit(TIMEOUT_MS, 'The wake-up did not answer in time.')
  #unwatch: () => void = () => {}
  #last: Call | undefined

  constructor(options: WakerOptions) {
    this.#options = options
    this.#names = new Set(options.types.map(({ name }) => name))
    this.#loop = new Loop({
      name: 'wake',
      everyMs: options.scanMs,
      turn: () => this.#turn(),
      onError: error =>
        options.logger.warn({ err: error }, 'Executions could not be called for, and it is tried again'),
    })
  }

  get loops(): readonly Loop[] {
    return [this.#loop]
  }

  start(): void {
    this.#unwatch = this.#options.store.watch(hint => this.#hinted(hint))
    this.#loop.start()
  }

  async stop(): Promise<void> {
    this.#unwatch()
    await this.#loop.stop()
  }

  /** The first operation after a silence is called for at once; what follows it, with the next look. */
  #hinted(hint: Hint): void {
    if (this.#last === undefined && hint.kind === 'ready' && this.#names.has(hint.type)) this.#loop.wake()
  }

  async #turn(): Promise<void> {
    const { store, share, max, by } = this.#options
    const queues = await Promise.all([...this.#names].map(name => store.queueStats(name)))
    const depth = queues.reduce((sum, queue) => sum + queue.depth, 0)
    if (depth === 0) {
      this.#last = undefined
      return
    }
    const wanted = {
      first: queues.map(({ ready }) => ready[0]).join(),
      executions: Math.min(max, Math.ceil(depth / share)),
    }
    const call = nextCall(wanted, this.#last, performance.now())
    if (call === undefined) return
    await this.#limit.within(by.call(call.executions))
    this.#last = call
  }
}

/** The call to make now; undefined where the last one may still be answered. */
export function nextCall(wanted: Wanted, last: Call | undefined, now: number): Call | undefined {
  const call = (patienceMs: number) => ({ ...wanted, patienceMs, until: now + patienceMs })
  if (last === undefined || last.first !== wanted.first) return call(PATIENCE_MS.first)
  if (now >= last.until) return call(Math.min(2 * last.patienceMs, PATIENCE_MS.longest))
  // More work has come in the meantime: that is no reason to be more patient, or less.
  return wanted.executions > last.executions ? { ...last, ...wanted } : undefined
}
