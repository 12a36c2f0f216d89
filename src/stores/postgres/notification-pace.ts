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
/** Up to this many sending processes, notifications cost almost nothing. */
const EASY_SENDERS = 6
/** For each further group of this many wake-ups, the pause grows by one millisecond. */
const WAKEUPS_A_MS = 300
/**
 * How much longer a hint may wait for each process beyond two, in milliseconds. Then all processes together claim about
 * as often for a hint, however many they are.
 */
const SPREAD_MS = 2
/** The period over which the load is measured, in milliseconds. */
const WINDOW_MS = 1000
/** The most senders that are counted, since any role may invent more. */
const MOST_SENDERS = 1000

export class NotificationPace {
  readonly #senders = new Set<string>()
  #count = 0
  #since = 0
  #pauseMs = SHORTEST_MS
  #spreadMs = 0

  /** Counts a notification that has arrived, also one of this process. */
  arrived(from: string, now: number = performance.now()): void {
    this.#roll(now)
    this.#count++
    if (this.#senders.size < MOST_SENDERS) this.#senders.add(from)
  }

  /** Milliseconds from one notification of this process to the next. */
  pauseMs(now: number = performance.now()): number {
    this.#roll(now)
    return this.#pauseMs
  }

  /** Whether notifications cost almost nothing, because there are few of them and few senders. */
  isEasy(now: number = performance.now()): boolean {
    this.#roll(now)
    return this.#pauseMs === SHORTEST_MS && this.#spreadMs <= (EASY_SENDERS - 2) * SPREAD_MS
  }

  /** The period in milliseconds over which the processes spread their looks after a hint. */
  spreadMs(now: number = performance.now()): number {
    this.#roll(now)
    return this.#spreadMs
  }

  #roll(now: number): void {
    const passed = now - this.#since
    if (passed < WINDOW_MS) return
    const wakeups = (this.#count * this.#senders.size * 1000) / passed
    this.#pauseMs = Math.min(LONGEST_MS, SHORTEST_MS + Math.max(0, wakeups - EASY_WAKEUPS) / WAKEUPS_A_MS)
    this.#spreadMs = Math.min(LONGEST_MS, Math.max(0, this.#senders.size - 2) * SPREAD_MS)
    this.#since = now
    this.#count = 0
    this.#senders.clear()
  }
}
