/**
 * Writes that a batch has skipped because another transaction holds their rows. They are tried again together, and
 * skipped again while the rows are locked. So neither the batches nor other retries wait for them.
 */
import type { BatchResult } from '../../util/batcher.ts'

/** The answer for an item that was skipped: no part of it is written. */
export const BUSY: unique symbol = Symbol('busy')

/** How long an item is retried, in milliseconds. */
const PATIENCE_MS = 1000
/** The fewest tries, since on a slow machine the time may be over before a fair number of them. */
const LEAST_TRIES = 5
/** The longest pause between two tries, in milliseconds. */
const LONGEST_PAUSE_MS = 50
/** The most items of one try. */
const MOST_ITEMS = 500

/** Options of {@link BusyLane}. */
export interface BusyLaneOptions<Item, Result> {
  readonly write: (items: readonly Item[]) => Promise<readonly BatchResult<Result | typeof BUSY>[]>
  readonly key: (item: Item) => string
  /** When an item must be given up at the latest, by the monotonic clock. */
  readonly until: (item: Item) => number
}

interface Waiting<Item, Result> {
  readonly item: Item
  /** By the monotonic clock. */
  readonly until: number
  tries: number
  readonly resolve: (value: Result) => void
  readonly reject: (error: unknown) => void
}

export class BusyLane<Item, Result> {
  readonly #options: BusyLaneOptions<Item, Result>
  /** The waiting items by key, in the order in which they came. */
  readonly #waiting = new Map<string, Waiting<Item, Result>[]>()
  #running: Promise<void> | undefined
  #pauseMs = 0

  constructor(options: BusyLaneOptions<Item, Result>) {
    this.#options = options
  }

  /**
   * Whether an item of the same key waits here. A later item of the key must wait here too, or it would be written
   * first.
   */
  holds(item: Item): boolean {
    return this.#waiting.size > 0 && this.#waiting.has(this.#options.key(item))
  }

  /** Resolves with the result; rejects when the row was held all the time. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      const until = Math.min(performance.now() + PATIENCE_MS, this.#options.until(item))
      const waiting = { item, until, tries: 0, resolve, reject }
      const key = this.#options.key(item)
      const before = this.#waiting.get(key)
      if (before === undefined) {
        this.#waiting.set(key, [waiting])
        // Most rows are locked only for the duration of a statement.
        this.#pauseMs = 0
      } else before.push(waiting)
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing waits. */
  async drained(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      await new Promise(resolve => setTimeout(resolve, this.#pauseMs))
      this.#pauseMs = Math.min(2 * this.#pauseMs + 1, LONGEST_PAUSE_MS)
      await this.#try()
    }
    this.#running = undefined
  }

  async #try(): Promise<void> {
    const tried = [...this.#waiting.values()].flat().slice(0, MOST_ITEMS)
    const answers = await this.#options.write(tried.map(({ item }) => item))
    for (const [index, waiting] of tried.entries()) this.#settle(waiting, answers[index])
  }

  #settle(waiting: Waiting<Item, Result>, answer: BatchResult<Result | typeof BUSY> | undefined): void {
    waiting.tries++
    if (isBusy(answer) && !isOver(waiting)) {
      this.#putBack(waiting)
      return
    }
    this.#remove(waiting)
    if (answer === undefined) waiting.reject(new Error('The batch was written without an answer for this item.'))
    else if ('error' in answer) waiting.reject(answer.error)
    else if (answer.value === BUSY) waiting.reject(heldError())
    else waiting.resolve(answer.value)
  }

  /** Puts an item back behind the other keys, so that each key gets its turn. */
  #putBack({ item }: Waiting<Item, Result>): void {
    const key = this.#options.key(item)
    const group = this.#waiting.get(key)
    if (group === undefined) return
    this.#waiting.delete(key)
    this.#waiting.set(key, group)
  }

  #remove(waiting: Waiting<Item, Result>): void {
    const key = this.#options.key(waiting.item)
    const left = this.#waiting.get(key)?.filter(it => it !== waiting) ?? []
    if (left.length > 0) this.#waiting.set(key, left)
    else this.#waiting.delete(key)
  }
}

function isBusy(answer: BatchResult<unknown> | undefined): boolean {
  return answer !== undefined && 'value' in answer && answer.value === BUSY
}

function isOver({ until, tries }: Waiting<unknown, never>): boolean {
  return performance.now() >= until && tries >= LEAST_TRIES
}

function heldError(): Error {
  return new Error(
    'Another transaction holds the row or the idempotency key, and nothing was written. ' +
      'Look for a transaction that stays open in pg_stat_activity ("idle in transaction").',
  )
}
