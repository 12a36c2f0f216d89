/**
 * Passes on the hints of other processes. All processes are notified of work at the same time, but only one of them
 * takes it. So the more processes there are, the longer each waits before it looks. It then looks once for all hints
 * that have arrived meanwhile.
 */
import type { Hint } from '../store.ts'
import type { NotificationPace } from './notification-pace.ts'

/** Options of {@link Spread}. */
export interface SpreadOptions {
  readonly pace: Pick<NotificationPace, 'spreadMs'>
  readonly send: (hint: Hint) => void
}

export class Spread {
  readonly #options: SpreadOptions
  /** The types with a pending look. */
  readonly #waiting = new Map<string, NodeJS.Timeout>()

  constructor(options: SpreadOptions) {
    this.#options = options
  }

  hear(hint: Hint): void {
    const spreadMs = hint.kind === 'ready' ? this.#options.pace.spreadMs() : 0
    if (hint.kind !== 'ready' || spreadMs === 0) this.#options.send(hint)
    else if (!this.#waiting.has(hint.type)) this.#sendLater(hint, hint.type, spreadMs)
  }

  stop(): void {
    for (const timer of this.#waiting.values()) clearTimeout(timer)
    this.#waiting.clear()
  }

  #sendLater(hint: Hint, type: string, spreadMs: number): void {
    const send = () => {
      this.#waiting.delete(type)
      this.#options.send(hint)
    }
    this.#waiting.set(type, setTimeout(send, Math.random() * spreadMs))
  }
}
