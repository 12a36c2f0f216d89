/**
 * Hints of what other processes write, from the container's change feed, read at intervals while somebody
 * listens. It is a hint and no more: where the feed breaks off, it begins anew from the present.
 */
import { Loop } from '../../loop.ts'
import type { CosmosChanges, CosmosContainer } from './container.ts'

export interface FeedOptions {
  readonly container: CosmosContainer
  readonly everyMs: number
  readonly timeoutMs: number
  readonly onCharge: ((charge: number, call: string) => void) | undefined
  /** Told of each item that has changed, as it is now. */
  readonly onItem: (resource: unknown) => void
  /** Told that something may have been missed. */
  readonly onGap: () => void
}

const PAGE = 200
/** What one turn reads at most; the rest is read by the next. */
const MOST_PAGES = 20
/** A feed that was not read for so many intervals is not caught up with: it is begun anew. */
const STALE_AFTER = 3

export class Feed {
  readonly #options: FeedOptions
  readonly #loop: Loop
  #changes: CosmosChanges | undefined
  #readAt = 0

  constructor(options: FeedOptions) {
    this.#options = options
    this.#loop = new Loop({
      name: 'change feed',
      everyMs: options.everyMs,
      turn: () => this.#turn(),
      // The next turn begins anew: a lost hint costs time, not correctness.
      onError: () => {},
    })
  }

  /** Fixes the point from which on changes are told. */
  async open(): Promise<void> {
    this.#changes = this.#options.container.items.getChangeFeedIterator({ maxItemCount: PAGE })
    await this.#next(this.#changes)
  }

  start(): void {
    this.#loop.start()
  }

  async stop(): Promise<void> {
    await this.#loop.stop()
  }

  async #turn(): Promise<void> {
    const stale = performance.now() - this.#readAt > STALE_AFTER * this.#options.everyMs + this.#options.timeoutMs
    if (this.#changes === undefined || stale) {
      await this.open()
      this.#options.onGap()
    }
    for (let page = 0; page < MOST_PAGES && this.#changes !== undefined; page++) {
      const found = await this.#next(this.#changes)
      if (found.length === 0) return
      for (const resource of found) this.#options.onItem(resource)
    }
  }

  async #next(changes: CosmosChanges): Promise<readonly unknown[]> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => reject(new Error('The change feed did not answer in time.')),
      this.#options.timeoutMs,
    )
    try {
      const { result, headers } = await Promise.race([changes.readNext(), late])
      this.#options.onCharge?.(Number(headers['x-ms-request-charge'] ?? 0), 'changes')
      this.#readAt = performance.now()
      return Array.isArray(result) ? result : []
    } catch (error) {
      // It may still be reading: it is left to itself, and not asked again.
      this.#changes = undefined
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}
