/**
 * Notifies other processes of changes. Hints within a pause are sent together, separately from the writes, because
 * commits that notify are serialized by a lock of the whole database. While there are few notifications, one write at a
 * time sends its own hints, which saves a round trip.
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
  /** The sender id of this process. */
  readonly from: string
  readonly pace: NotificationPace
}

/** The shortest delay of a `changed` hint, in milliseconds: the end of a short attempt then replaces it. */
const CHANGED_DELAY_MS = 5

/**
 * After a write with hints has failed, perhaps because of that lock, no write sends hints for this time, in
 * milliseconds.
 */
const APART_MS = 10_000

export class Notifier {
  readonly #options: NotifierOptions
  #hints = new Hints()
  /** Whether one of the hints is urgent, since someone waits for it. */
  #isUrgent = false
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined
  #sentAt = 0
  #isWriting = false
  #apartUntil = Number.NEGATIVE_INFINITY

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

  /**
   * Writes, with the payloads of hints and of all that is to be told beside them; their statement sends them. Where it
   * should not, the payloads are null, and the hints are told after the write.
   */
  async tellWith<T>(hints: readonly Hint[], write: (payloads: readonly string[] | null) => Promise<T>): Promise<T> {
    if (hints.length === 0 || !this.#mayJoin()) {
      const result = await write(null)
      for (const hint of hints) this.tell(hint)
      return result
    }
    for (const hint of hints) this.#hints.add(hint)
    const payloads = this.#take()
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isWriting = true
    const began = performance.now()
    try {
      const result = await write(payloads)
      // Half of the time at most: where a commit takes long, others wait for their turn as long.
      this.#apartUntil = 2 * performance.now() - began
      return result
    } catch (error) {
      this.#apartUntil = performance.now() + APART_MS
      throw error
    } finally {
      this.#sentAt = performance.now()
      this.#isWriting = false
    }
  }

  #mayJoin(): boolean {
    if (this.#isWriting || this.#sending !== undefined || performance.now() < this.#apartUntil) return false
    const { pace } = this.#options
    return !this.#isUrgent && pace.isEasy() && performance.now() - this.#sentAt >= pace.pauseMs()
  }

  /** Sends payloads unchanged. */
  async send(payloads: readonly string[]): Promise<void> {
    const { connections, notify, channel } = this.#options
    await connections.run(notify, [channel, payloads])
  }

  /** Sends the remaining hints. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#sending
    await this.#flush()
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#sending !== undefined) return
    const { pace } = this.#options
    const paceMs = this.#sentAt + pace.pauseMs() - performance.now()
    const waitMs = this.#isUrgent ? paceMs : Math.max(paceMs, CHANGED_DELAY_MS)
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

  /** Sends after this turn of the event loop, with all hints of the turn. */
  async #flushAfterTurn(): Promise<void> {
    await turn()
    await this.#flush()
  }

  /** A notification that cannot be sent is dropped: regular scans find the change later. */
  async #flush(): Promise<void> {
    if (this.#hints.isEmpty) return
    await this.send(this.#take()).catch(() => {})
    this.#sentAt = performance.now()
  }

  #take(): string[] {
    const payloads = this.#hints.write(this.#options.from)
    this.#hints = new Hints()
    this.#isUrgent = false
    return payloads
  }
}
