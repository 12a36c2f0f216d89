/**
 * How often a process notifies. Each notification wakes every process that listens, so the cost for the server grows
 * with the number of notifications and of processes. The pause between two notifications of a process grows with that
 * cost.
 */

/** The shortest pause, in milliseconds. Hints within a pause are sent together. */
const SHORTEST_MS = 1
/** The longest pause, in milliseconds: how much later others may learn of a change under load. */
const LONGEST_MS = 100
/** Up to this many wake-ups per second, of all processes together, the pause stays the shortest. */
const EASY_WAKEUPS = 4000
/**
 * The most processes that are taken to listen. While there are more, only those do that hold a seat, for one need or
 * another.
 */
const MOST_LISTENERS = 8
/** For each further group of this many wake-ups, the pause grows by one millisecond. */
const WAKEUPS_A_MS = 300
/** From this many notifications per second on, they are frequent. Below half of it for a while they are rare again. */
const FREQUENT = 8
const CALM_MS = 5000
/**
 * The shortest pause of a process that does not listen, and so does not know how many others notify, in milliseconds. An
 * API alone with its worker is such a process too, so it adds little to the time until a handler begins.
 */
const AWAY_PAUSE_MS = 5
/** The period over which the load is measured, in milliseconds. */
const WINDOW_MS = 1000
/** The most senders that are counted, since any role may invent more. */
const MOST_SENDERS = 1000

export class NotificationPace {
  readonly #senders = new Set<string>()
  #count = 0
  #since = 0
  #pauseMs = SHORTEST_MS
  #isBusy = false
  /** When they were frequent last, by the monotonic clock. */
  #busyAt = Number.NEGATIVE_INFINITY
  #isAway = false
  #isCurrent = true

  /** Counts a notification that has arrived, also one of this process. */
  arrived(from: string, now: number = performance.now()): void {
    this.#roll(now)
    this.#count++
    if (this.#senders.size < MOST_SENDERS) this.#senders.add(from)
  }

  /** Milliseconds from one notification of this process to the next. */
  pauseMs(now: number = performance.now()): number {
    this.#roll(now)
    return this.#isAway ? Math.max(AWAY_PAUSE_MS, this.#pauseMs) : this.#pauseMs
  }

  /** Whether notifications cost almost nothing, because there are few of them and few senders. */
  isEasy(now: number = performance.now()): boolean {
    this.#roll(now)
    return this.#isAway || this.#pauseMs === SHORTEST_MS
  }

  /** Whether notifications are frequent. */
  isBusy(now: number = performance.now()): boolean {
    this.#roll(now)
    return this.#isBusy
  }

  /** Whether it has measured since notifications began to arrive again. */
  get isCurrent(): boolean {
    return this.#isCurrent
  }

  /** From now on no notifications arrive. What was measured last holds on. */
  pause(): void {
    this.#isAway = true
  }

  /** From now on notifications arrive. */
  resume(now: number = performance.now()): void {
    this.#isAway = false
    this.#isCurrent = false
    this.#begin(now)
  }

  #roll(now: number): void {
    const passed = now - this.#since
    if (passed < WINDOW_MS || this.#isAway) return
    const perSecond = (this.#count * 1000) / passed
    const wakeups = perSecond * Math.min(this.#senders.size, MOST_LISTENERS)
    this.#pauseMs = Math.min(LONGEST_MS, SHORTEST_MS + Math.max(0, wakeups - EASY_WAKEUPS) / WAKEUPS_A_MS)
    if (perSecond >= (this.#isBusy ? FREQUENT / 2 : FREQUENT)) this.#busyAt = now
    this.#isBusy = now - this.#busyAt < CALM_MS
    this.#isCurrent = true
    this.#begin(now)
  }

  #begin(now: number): void {
    this.#since = now
    this.#count = 0
    this.#senders.clear()
  }
}
