/**
 * The listeners of a store's hints. A store sends hints in the middle of its own work, or on the stack of a driver:
 * what a listener throws must neither fail that work nor keep the hint from the other listeners.
 */
import { emitWarning } from '../util/warning.ts'
import type { Hint } from './store.ts'

export class HintListeners {
  readonly #listeners = new Set<(hint: Hint) => void>()

  /** Whether anyone listens. */
  get isEmpty(): boolean {
    return this.#listeners.size === 0
  }

  /** Sends each hint to the listener until the returned function is called. */
  add(listener: (hint: Hint) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Sends a hint to every listener, in the order in which they were added. Never throws; a listener's error becomes a warning of the process. */
  send(hint: Hint): void {
    for (const listener of this.#listeners) {
      try {
        listener(hint)
      } catch (error) {
        emitWarning(`A listener of the store's hints threw: ${String(error)}`)
      }
    }
  }

  clear(): void {
    this.#listeners.clear()
  }
}
