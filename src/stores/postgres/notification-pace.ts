/**
 * How often a process notifies. Each notification wakes every process that listens, so the cost for the server grows
 * with the notifications and with the processes; the pause between two of one process grows with that cost.
 */

/** The shortest pause, in milliseconds: what comes within it is sent together. */
const SHORTEST_MS = 1
/** The longest pause, in milliseconds: how much later others may learn of a change under load. */
const LONGEST_MS = 100
/** Wake-ups a second, of all processes together, up to which the pause stays the shortest. */
const EASY_WAKEUPS = 4000
/** As many processes may notify as long as it costs next to nothing. */
const EASY_SENDERS = 6
/** For as many more the pause grows by a millisecond. */
const WAKEUPS_A_MS = 300
/** How much longer a hint may wait for each process beside two, in milliseconds: in all they then claim for it about as often, however many they are. */
const SPREAD_MS = 2
/** Over how long the load is measured, in milliseconds. */
const WINDOW_MS = 1000
/** The most senders to tell apart: any role may invent more. */
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

  /** Whether so few notifications are sent, by so few, that they cost next to nothing. */
  isEasy(now: number = performance.now()): boolean {
    this.#roll(now)
    return this.#pauseMs === SHORTEST_MS && this.#spreadMs <= (EASY_SENDERS - 2) * SPREAD_MS
  }

  /** Within how many milliseconds the processes that have learned of work look for it, each at a time of its own. */
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
