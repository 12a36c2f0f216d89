/** The listeners of a process to hints, by how much they need them. */
import { HintListeners } from '../hint-listeners.ts'
import type { Hint, HintNeed } from '../store.ts'

/** What those who wait need, as the name of a seat. */
export const WAITS = 'waits'

/** So long after the last request that waits, the next one is expected, in milliseconds. */
const LINGER_MS = 10_000

export class Audience {
  readonly #soon = new HintListeners()
  readonly #rarely = new HintListeners()
  readonly #work = new Map<string, HintListeners>()
  /** When someone waited last, by the monotonic clock. */
  #waitedAt = Number.NEGATIVE_INFINITY
  /** Called when someone begins to wait. */
  onArrival: (() => void) | undefined

  add(listener: (hint: Hint) => void, need: HintNeed): () => void {
    if (need === 'rarely') return this.#rarely.add(listener)
    if (need !== 'soon') return this.#addWork(listener, need.work)
    const remove = this.#soon.add(listener)
    this.onArrival?.()
    return () => {
      this.#waitedAt = performance.now()
      remove()
    }
  }

  #addWork(listener: (hint: Hint) => void, work: string): () => void {
    const listeners = this.#work.get(work) ?? new HintListeners()
    this.#work.set(work, listeners)
    const remove = listeners.add(listener)
    return () => {
      remove()
      if (listeners.isEmpty) this.#work.delete(work)
    }
  }

  /** Whether someone waits for what hints announce. */
  get isWaiting(): boolean {
    return !this.#soon.isEmpty
  }

  /** The names of all for which hints should come soon. */
  needs(now: number = performance.now()): string[] {
    const waits = this.isWaiting || now - this.#waitedAt < LINGER_MS ? [WAITS] : []
    return [...waits, ...this.#work.keys()]
  }

  /** Sends a hint to all of them. */
  send(hint: Hint): void {
    this.#soon.send(hint)
    this.sendToWork(hint)
    this.#rarely.send(hint)
  }

  sendToWaiting(hint: Hint): void {
    this.#soon.send(hint)
  }

  sendToWork(hint: Hint): void {
    for (const listeners of this.#work.values()) listeners.send(hint)
  }

  clear(): void {
    this.#soon.clear()
    this.#rarely.clear()
    this.#work.clear()
  }
}
