/**
 * Makes the processes of a fleet look for work one after another. A process whose look finds nothing notifies the
 * others, and they postpone their own look. So while there is nothing to do, all of them together look about as often
 * as one process would.
 *
 * Nothing becomes late: one process looks in each interval, and a process that finds something notifies nobody. A
 * notification is only a hint: whatever arrives, a loop does not postpone its look for long.
 *
 * In a store where each look costs money and processes do not notify each other, the store knows how long nothing has
 * happened. Looks for work that only the passing of time can bring then rest for a part of that time.
 */
import type { Loop } from '../util/loop.ts'
import type { Hint, OperationStore, WorkQueue } from './store.ts'

/** The part of a store through which a {@link SharedLook} notifies other processes and is notified. */
export type LookStore = Pick<OperationStore, 'watch'> & Pick<WorkQueue, 'tellIdle'>

export class SharedLook {
  readonly #store: LookStore
  readonly #loop: Loop
  /** What the last look of this process was for, if it found nothing. */
  #found: string | undefined
  #saidAt = Number.NEGATIVE_INFINITY
  #unwatch: () => void = () => {}

  constructor(store: LookStore, loop: Loop) {
    this.#store = store
    this.#loop = loop
  }

  start(): void {
    this.#unwatch = this.#store.watch(hint => this.#hinted(hint), 'rarely')
  }

  stop(): void {
    this.#unwatch()
  }

  /**
   * Called after each look. Notifies other processes of a look that found nothing, unless it did so recently.
   *
   * @param look what was looked for; other processes postpone their look for the same
   * @param found `isUrgent`: someone waits for the result of the look, so it never rests
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
