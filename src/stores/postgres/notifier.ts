/**
 * Tells other processes what has changed. Never within a write's transaction: commits that
 * notify take their turns under one lock of the whole database. What comes within some milliseconds is told at once.
 */
import type { Hint } from '../store.ts'
import type { Connections, Statement } from './connections.ts'
import { Hints } from './hints.ts'
import type { NotificationPace } from './notification-pace.ts'

/** Options of {@link Notifier}. */
export interface NotifierOptions {
  readonly connections: Connections
  readonly notify: Statement
  readonly channel: string
  /** Who this is. */
  readonly from: string
  readonly pace: NotificationPace
}

export class Notifier {
  readonly #options: NotifierOptions
  #hints = new Hints()
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined
  #sentAt = 0

  constructor(options: NotifierOptions) {
    this.#options = options
  }

  tell(hint: Hint): void {
    this.#hints.add(hint)
    this.#schedule()
  }

  /** Sends a payload as it is. */
  async send(payloads: readonly string[]): Promise<void> {
    const { connections, notify, channel } = this.#options
    await connections.run(notify, [channel, payloads])
  }

  /** Sends what is left. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#sending
    await this.#flush()
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#sending !== undefined) return
    const wait = this.#sentAt + this.#options.pace.pauseMs() - performance.now()
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#sending = this.#flush().finally(() => {
          this.#sending = undefined
          if (!this.#hints.isEmpty) this.#schedule()
        })
      },
      Math.max(0, wait),
    )
  }

  /** A notification that cannot be sent is dropped: a scan finds what it would have told. */
  async #flush(): Promise<void> {
    if (this.#hints.isEmpty) return
    const payloads = this.#hints.write(this.#options.from)
    this.#hints = new Hints()
    await this.send(payloads).catch(() => {})
    this.#sentAt = performance.now()
  }
}
