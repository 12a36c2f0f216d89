/**
 * Tells other processes what has changed. Never within a write's transaction: commits that
 * notify take their turns under one lock of the whole database. What comes within a pause is told together.
 */
import { setImmediate as turn } from 'node:timers/promises'
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

/** A progress, or a claim, is told this late at least, in milliseconds: the end of a short attempt then takes its place. */
const CHANGED_DELAY_MS = 5

export class Notifier {
  readonly #options: NotifierOptions
  #hints = new Hints()
  /** Whether someone waits for one of the hints. */
  #isUrgent = false
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined
  #sentAt = 0

  constructor(options: NotifierOptions) {
    this.#options = options
  }

  tell(hint: Hint): void {
    this.#hints.add(hint)
    const isUrgent = hint.kind !== 'changed'
    if (isUrgent && !this.#isUrgent) {
      this.#isUrgent = true
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
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
    const { pace } = this.#options
    const paceMs = this.#sentAt + pace.pauseMs() - performance.now()
    const waitMs = this.#isUrgent ? paceMs : Math.max(paceMs, CHANGED_DELAY_MS + pace.spreadMs())
    if (waitMs <= 0) this.#start()
    else this.#timer = setTimeout(() => this.#start(), waitMs)
  }

  #start(): void {
    this.#timer = undefined
    this.#sending = this.#flushAfterTurn().finally(() => {
      this.#sending = undefined
      if (!this.#hints.isEmpty) this.#schedule()
    })
  }

  /** With all that the turn of the event loop brings. */
  async #flushAfterTurn(): Promise<void> {
    await turn()
    await this.#flush()
  }

  /** A notification that cannot be sent is dropped: a scan finds what it would have told. */
  async #flush(): Promise<void> {
    if (this.#hints.isEmpty) return
    const payloads = this.#hints.write(this.#options.from)
    this.#hints = new Hints()
    this.#isUrgent = false
    await this.send(payloads).catch(() => {})
    this.#sentAt = performance.now()
  }
}
