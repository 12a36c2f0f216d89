/**
 * Makes hints about the writes of other processes from the container's change feed, which is read at intervals while
 * something listens. They are only hints: if the feed breaks off, it begins again at the present.
 */
import { Loop } from '../../util/loop.ts'
import type { CosmosChanges, CosmosContainer } from './container.ts'

export interface FeedOptions {
  readonly container: CosmosContainer
  readonly everyMs: number
  readonly timeoutMs: number
  /** A clock in milliseconds that is never set. */
  readonly monotonic: () => number
  readonly onCharge: ((charge: number, call: string) => void) | undefined
  /** Called with each item that has changed, as it is now. */
  readonly onItem: (resource: unknown) => void
  /** Called when changes may have been missed. */
  readonly onGap: () => void
}

const PAGE = 200
/**
 * After this many pages in one turn, the feed is behind: it reports that changes may have been missed, and reads on.
 */
const MOST_PAGES = 20
/** While nothing happens, the time between two reads grows to this part of the time since the last change. */
const IDLE_PART = 0.1
const LONGEST_PAUSE_MS = 30_000
/**
 * After a break of this many intervals plus the time of one call, the missed part is not read: the feed begins again at
 * the present.
 */
const STALE_AFTER = 3

export class Feed {
  readonly #options: FeedOptions
  readonly #loop: Loop
  #changes: CosmosChanges | undefined
  #turnedAt = 0
  /** When the feed was last read, and when a change last happened in any process; by the monotonic clock. */
  #readAt: number
  #activeAt: number

  constructor(options: FeedOptions) {
    this.#options = options
    this.#readAt = this.#activeAt = options.monotonic()
    this.#loop = new Loop({
      name: 'change feed',
      everyMs: options.everyMs,
      turn: () => this.#turn(),
      // The next turn starts again: a lost hint costs time, not correctness.
      onError: () => {},
    })
  }

  /** Fixes the point after which changes are reported. */
  async open(): Promise<void> {
    this.#changes = this.#options.container.items.getChangeFeedIterator({ maxItemCount: PAGE })
    await this.#next(this.#changes)
  }

  start(): void {
    this.#activeAt = this.#options.monotonic()
    this.#loop.start()
  }

  async stop(): Promise<void> {
    await this.#loop.stop()
  }

  /** Called when something has happened in this process: others may react to it, so the feed is read sooner. */
  touch(): void {
    const wasQuiet = this.pauseMs > this.#options.everyMs
    this.#activeAt = this.#options.monotonic()
    if (wasQuiet) this.#loop.wake()
  }

  /** How long no look is needed, in milliseconds: a part of the time since the last change. */
  get pauseMs(): number {
    const idle = this.#options.monotonic() - this.#activeAt
    return Math.max(this.#options.everyMs, Math.min(idle * IDLE_PART, LONGEST_PAUSE_MS))
  }

  async #turn(): Promise<void> {
    const { everyMs, timeoutMs, monotonic, onGap } = this.#options
    const stale = performance.now() - this.#turnedAt > STALE_AFTER * everyMs + timeoutMs
    this.#turnedAt = performance.now()
    if (this.#changes === undefined || stale) {
      await this.open()
      onGap()
    } else if (this.pauseMs > everyMs && monotonic() - this.#readAt < this.pauseMs) return
    if (await this.#readOn()) return
    onGap()
    this.#loop.wake()
  }

  /** Reads on, and returns whether everything has been read. */
  async #readOn(): Promise<boolean> {
    for (let page = 0; page < MOST_PAGES && this.#changes !== undefined; page++) {
      const found = await this.#next(this.#changes)
      if (found.length === 0) return true
      this.#activeAt = this.#options.monotonic()
      for (const resource of found) this.#options.onItem(resource)
    }
    return this.#changes === undefined
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
      this.#readAt = this.#options.monotonic()
      this.#turnedAt = performance.now()
      return Array.isArray(result) ? result : []
    } catch (error) {
      // The iterator may still be reading. It is abandoned and not used again.
      this.#changes = undefined
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}
