/**
 * Group commit: calls that arrive during a write are written together by the next write. There is no timer: only a
 * write under way delays a call, so a single call is written at once.
 */

/** What became of one item of a batch. */
export type BatchResult<Result> = { readonly value: Result } | { readonly error: unknown }

/**
 * Writes a batch, and returns one answer for each item. An answer may be a promise: the next batch does not wait for
 * it.
 */
export type WriteItems<Item, Result> = (
  items: readonly Item[],
) => Promise<readonly BatchResult<Result | Promise<Result>>[]>

/** Options of a {@link Batcher}. */
export interface BatcherOptions {
  /** The most items of one batch. Default 500. */
  readonly limit?: number | undefined
  /**
   * A batch of this many items is written before the turn of the event loop ends, so that the writer, such as a thread,
   * works while the loop reads further requests. Default: a batch waits for the end of the turn, and contains all calls
   * of that turn.
   */
  readonly earlyAt?: number | undefined
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (value: Result | Promise<Result>) => void
  readonly reject: (error: unknown) => void
}

/** Combines single calls into batches, and writes one batch at a time. */
export class Batcher<Item, Result> {
  readonly #write: WriteItems<Item, Result>
  readonly #limit: number
  readonly #earlyAt: number
  #waiting: Waiting<Item, Result>[] = []
  /** True from the first item of a batch until no batch is under way and no item waits. */
  #busy = false
  /** The batch that is to be written at the end of this turn of the event loop. */
  #turn: NodeJS.Immediate | undefined
  #idle: (() => void)[] = []

  /**
   * @param write writes a batch, and returns one answer for each item, in order; if it rejects, every item of the batch
   * rejects
   */
  constructor(write: WriteItems<Item, Result>, { limit = 500, earlyAt = Infinity }: BatcherOptions = {}) {
    this.#write = write
    this.#limit = limit
    this.#earlyAt = earlyAt
  }

  /** Whether an item that satisfies the condition waits for the next batch. */
  holds(condition: (item: Item) => boolean): boolean {
    return this.#waiting.some(({ item }) => condition(item))
  }

  /** Whether a batch is written at the end of this turn of the event loop. */
  get isCollecting(): boolean {
    return this.#turn !== undefined
  }

  /** Puts an item into the next batch. */
  add(item: Item): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (!this.#busy) this.#flushAfterTurn()
      else if (this.#turn !== undefined && this.#waiting.length >= this.#earlyAt) void this.#flush()
    })
  }

  /** Writes after this turn of the event loop, so that every request that is read in the turn joins the batch. */
  #flushAfterTurn(): void {
    this.#busy = true
    this.#turn = setImmediate(() => void this.#flush())
  }

  /** Resolves when nothing waits and nothing is being written. */
  async drained(): Promise<void> {
    if (this.#busy) await new Promise<void>(resolve => this.#idle.push(resolve))
  }

  async #flush(): Promise<void> {
    clearImmediate(this.#turn)
    this.#turn = undefined
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#limit)
      await this.#settle(batch)
    }
    this.#busy = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  async #settle(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#write(batch.map(({ item }) => item))
      batch.forEach(({ resolve, reject }, index) => {
        const result = results[index]
        if (result === undefined) reject(new Error('The batch was written without an answer for this item.'))
        else if ('value' in result) resolve(result.value)
        else reject(result.error)
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
}
