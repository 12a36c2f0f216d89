/** Hints between this process and all others, and within it. */
import type { Operation } from '../../model/operation.ts'
import { changeHints, type Hint, type HintNeed } from '../store.ts'
import { Attendance } from './attendance.ts'
import { Audience } from './audience.ts'
import type { Connections, Statement } from './connections.ts'
import { Listener } from './listener.ts'
import { channelOf } from './names.ts'
import { NotificationPace } from './notification-pace.ts'
import { Notifier } from './notifier.ts'
import { Spread } from './spread.ts'

/** Options of {@link Hub}. */
export interface HubOptions {
  readonly connections: Connections
  readonly notify: Statement
  readonly schema: string
  /** Whether it receives notifications of other processes as well as sending its own. */
  readonly notifications: boolean | 'send'
  readonly warn: (message: string) => void
  readonly timeoutMs: number
  readonly pollMs: number
  readonly checkMs: number
}

/** How long a notification that was sent may take to arrive, in milliseconds. */
const PATIENCE_MS = 3000

/** How long looks rest for which nobody waits, in a process that does not listen, in milliseconds. */
const AWAY_REST_MS = 10_000

/** If the last claim was this long ago and gave all that was asked for, its holder can do no further work. */
const FULL_MS = 50

export class Hub {
  readonly #options: HubOptions
  readonly #audience = new Audience()
  readonly #notifier: Notifier
  readonly #listener: Listener
  readonly #spread: Spread
  readonly #attendance: Attendance
  /** When the holders last claimed whose last claim gave all that they asked for. */
  readonly #filledAt = new Map<string, number>()
  /** The holders whose last claim found nothing. */
  readonly #idle = new Set<string>()

  constructor(options: HubOptions) {
    this.#options = options
    const from = Math.random().toString(36).slice(2, 12)
    const { connections, notify, warn, pollMs, checkMs } = options
    const channel = channelOf(options.schema)
    const pace = new NotificationPace()
    const audience = this.#audience
    const isFull = (holder: string) => this.#isFull(holder)
    this.#attendance = new Attendance({ connections, channel, pace, audience, pollMs, isFull })
    this.#spread = new Spread(hint => audience.send(hint))
    this.#notifier = new Notifier({ connections, notify, channel, from, pace })
    this.#listener = new Listener({
      connections,
      channel,
      from,
      attendance: this.#attendance,
      send: payloads => this.#notifier.send(payloads),
      heard: hint => this.#spread.hear(hint),
      arrived: sender => pace.arrived(sender),
      warn,
      checkMs,
      patienceMs: Math.min(PATIENCE_MS, options.timeoutMs),
      pollMs,
    })
  }

  /**
   * Resolves when notifications arrive, or when it is clear that they do not.
   *
   * @param session whether connections keep their sessions; otherwise LISTEN does not work
   */
  async start(session: boolean): Promise<void> {
    const { notifications } = this.#options
    if (notifications === true && session) await this.#listener.start()
    else this.#listener.poll({ warn: notifications === true })
  }

  watch(listener: (hint: Hint) => void, need: HintNeed): () => void {
    const remove = this.#audience.add(listener, need)
    return () => {
      remove()
      if (typeof need === 'string' || need.holder === undefined) return
      this.#filledAt.delete(need.holder)
      this.#idle.delete(need.holder)
    }
  }

  /**
   * Whether a claim would probably find nothing: the last one of this holder did so, and no hint has come since. Hints of
   * other processes do not come, since this one does not listen.
   */
  isIdle(holder: string): boolean {
    return this.#listener.isAway && this.#idle.has(holder)
  }

  /** The seats to ask for with a look that takes nothing. */
  get wantedSeats(): readonly string[] {
    return this.#attendance.wantedSeats
  }

  /** Called after such a look. */
  searched(isSeatFree: boolean): void {
    this.#attendance.searched(isSeatFree)
  }

  /** Called after each claim: hints come first to processes that find something, and that have room for it. */
  claimed(holder: string, types: readonly string[], { count, limit }: { count: number; limit: number }): void {
    this.#spread.looked(types, { found: count > 0 })
    // Others, such as those who deliver webhooks, take none of the work that seats are for.
    if (!this.#audience.hasHolder(holder)) return
    if (count < limit) this.#filledAt.delete(holder)
    else this.#filledAt.set(holder, performance.now())
    if (count > 0) this.#idle.delete(holder)
    else this.#idle.add(holder)
  }

  #isFull(holder: string): boolean {
    return (this.#filledAt.get(holder) ?? Number.POSITIVE_INFINITY) < performance.now() - FULL_MS
  }

  /** Sends a hint to all processes. Listeners of this process get it at once. */
  tell(hint: Hint): void {
    this.#send(hint)
    if (this.#options.notifications) this.#notifier.tell(hint)
  }

  /** Sends the hints about an operation that was written: what has changed, and whether it is ready. */
  tellOf(operation: Operation): void {
    for (const hint of changeHints(operation)) this.tell(hint)
    if (isReady(operation)) this.tell({ kind: 'ready', type: operation.type })
  }

  /**
   * Notifies other processes, if there are any, that a look found nothing.
   *
   * @returns how long the next such look may wait, in milliseconds, where those that hold seats look; else undefined
   */
  tellIdle(look: string): number | undefined {
    if (this.#listener.isAway) return AWAY_REST_MS
    if (this.#options.notifications === true && this.#listener.hasCompany) this.#notifier.tell({ kind: 'idle', look })
    return undefined
  }

  /**
   * Writes, and then sends hints to all processes.
   *
   * @param hints the hints that are sent after the write, even if it changed less than they say
   * @param write receives the payloads that its statement must send to other processes; null for none
   */
  async tellWith<T>(hints: readonly Hint[], write: (payloads: readonly string[] | null) => Promise<T>): Promise<T> {
    const result = await (this.#options.notifications ? this.#notifier.tellWith(hints, write) : write(null))
    for (const hint of hints) this.#send(hint)
    return result
  }

  /** Sends a hint of this process to its own listeners. */
  #send(hint: Hint): void {
    if (hint.kind === 'ready') this.#idle.clear()
    this.#audience.send(hint)
  }

  /** Sends the last notifications, and stops listening. */
  async close(): Promise<void> {
    await this.#listener.stop()
    this.#spread.stop()
    await this.#notifier.close()
    this.#audience.clear()
  }
}

/** Whether a worker may claim an operation in its present state. */
export function isReady({ status, runAt }: Operation): boolean {
  return status === 'pending' && runAt === null
}
