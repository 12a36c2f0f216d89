/**
 * Has the processes of a fleet look one after another. A process whose look finds nothing tells the others, and they put
 * theirs off: where nothing is to be done, all of them together look about as often as one would.
 *
 * Nothing becomes late: one process looks in each interval, and a process that finds something notifies nobody. A notification is a hint, as
 * everything is that other processes say: a loop puts no look off for long, whatever comes.
 *
 * Where each look is paid for and processes do not notify each other, the store says how long nothing has happened, and
 * looks for what only time brings rest for a part of that.
 */
import type { Loop } from '../util/loop.ts'
import type { Hint, OperationStore, WorkQueue } from './store.ts'

/** What a {@link SharedLook} tells others by, and is told. */
export type LookStore = Pick<OperationStore, 'watch'> & Pick<WorkQueue, 'tellIdle'>

export class SharedLook {
  readonly #store: LookStore
  readonly #loop: Loop
  /** What the last look of this process was for, where it found nothing. */
  #found: string | undefined
  #saidAt = Number.NEGATIVE_INFINITY
  #unwatch: () => void = () => {}

  constructor(store: LookStore, loop: Loop) {
    this.#store = store
    this.#loop = loop
  }

  start(): void {
    this.#unwatch = this.#store.watch(hint => this.#hinted(hint))
  }

  stop(): void {
    this.#unwatch()
  }

  /**
   * Called after each look. Tells others of one that found nothing, unless that was said lately.
   *
   * @param look what was looked for; those who look for the same put their look off
   * @param found `isUrgent`: what it looks for is waited for, so it never rests
   */
  looked(look: string, { foundNothing, isUrgent = false }: { foundNothing: boolean; isUrgent?: boolean }): void {
    this.#found = foundNothing ? look : undefined
    const now = performance.now()
    if (!foundNothing || now - this.#saidAt < this.#loop.everyMs / 2) return
    this.#saidAt = now
    const restMs = this.#store.tellIdle?.(look)
    if (restMs !== undefined && !isUrgent) this.#loop.rest(restMs)
  }

  #hinted(hint: Hint): void {
    if (hint.kind !== 'idle') this.#loop.rouse()
    else if (hint.look === this.#found) {
      this.#saidAt = performance.now()
      this.#loop.putOff()
    }
  }
}
