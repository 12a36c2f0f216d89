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
  /** Who claims each of it; undefined for a listener that claims nothing. */
  readonly #holders = new Map<string, (string | undefined)[]>()
  /** When someone waited last, by the monotonic clock. */
  #waitedAt = Number.NEGATIVE_INFINITY
  /** Called when someone begins to wait. */
  onArrival: (() => void) | undefined

  add(listener: (hint: Hint) => void, need: HintNeed): () => void {
    if (need === 'rarely') return this.#rarely.add(listener)
    if (need !== 'soon') return this.#addWork(listener, need)
    const remove = this.#soon.add(listener)
    this.onArrival?.()
    return () => {
      this.#waitedAt = performance.now()
      remove()
    }
  }

  #addWork(listener: (hint: Hint) => void, { work, holder }: { work: string; holder?: string }): () => void {
    const listeners = this.#work.get(work) ?? new HintListeners()
    const holders = this.#holders.get(work) ?? []
    this.#work.set(work, listeners)
    this.#holders.set(work, holders)
    const remove = listeners.add(listener)
    holders.push(holder)
    return () => {
      remove()
      holders.splice(holders.indexOf(holder), 1)
      if (listeners.isEmpty) this.#work.delete(work)
      if (listeners.isEmpty) this.#holders.delete(work)
    }
  }

  /** Who claims some work; undefined for a listener that claims nothing. */
  holdersOf(need: string): readonly (string | undefined)[] {
    return this.#holders.get(need) ?? []
  }

  /** Whether a listener claims as this holder. */
  hasHolder(holder: string): boolean {
    return [...this.#holders.values()].some(holders => holders.includes(holder))
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
    this.#holders.clear()
  }
}
