/**
 * Passes on the hints of other processes. Several of them are notified of the same work, and the first one takes it. A
 * process that comes too late again and again waits a little before it looks, and then looks once for all hints that
 * have arrived meanwhile. One that finds work looks at once.
 */
import type { Hint } from '../store.ts'

/** This number of looks that found nothing in a row leads to no wait: between two processes each may come first. */
const FREE_LOSSES = 2
/** The first wait, in milliseconds. With each further one it doubles. */
const FIRST_MS = 2
/** The longest wait, in milliseconds. It is how late work begins after the process that took it so far is gone. */
const LONGEST_MS = 50

export class Spread {
  readonly #send: (hint: Hint) => void
  /** The types with a pending look. */
  readonly #waiting = new Map<string, NodeJS.Timeout>()
  /** How many looks in a row found nothing, by type. */
  readonly #losses = new Map<string, number>()
  /** The types for which a hint of another process has led to the next look. */
  readonly #asked = new Set<string>()

  constructor(send: (hint: Hint) => void) {
    this.#send = send
  }

  hear(hint: Hint): void {
    if (hint.kind !== 'ready') this.#send(hint)
    else this.#hearReady(hint, hint.type)
  }

  #hearReady(hint: Hint, type: string): void {
    const losses = this.#losses.get(type) ?? 0
    if (losses < FREE_LOSSES) this.#ask(hint, type)
    else if (!this.#waiting.has(type)) {
      this.#askLater(hint, type, Math.min(LONGEST_MS, FIRST_MS * 2 ** (losses - FREE_LOSSES)))
    }
  }

  /** Called after each look for work of some types. */
  looked(types: readonly string[], { found }: { found: boolean }): void {
    for (const type of types) {
      const isAsked = this.#asked.delete(type)
      if (found) this.#losses.delete(type)
      else if (isAsked) this.#losses.set(type, (this.#losses.get(type) ?? 0) + 1)
    }
  }

  stop(): void {
    for (const timer of this.#waiting.values()) clearTimeout(timer)
    this.#waiting.clear()
  }

  #ask(hint: Hint, type: string): void {
    this.#asked.add(type)
    this.#send(hint)
  }

  #askLater(hint: Hint, type: string, waitMs: number): void {
    const ask = () => {
      this.#waiting.delete(type)
      this.#ask(hint, type)
    }
    this.#waiting.set(type, setTimeout(ask, waitMs * (0.5 + Math.random() / 2)))
  }
}
