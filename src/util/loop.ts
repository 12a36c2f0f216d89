/**
 * A loop that errors cannot end. It runs a turn when it is woken and at least once in each interval, one turn at a
 * time. A turn that fails is reported and repeated with backoff.
 */

/** Options of a {@link Loop}. */
export interface LoopOptions {
  readonly name: string
  /** The longest time between two turns, in milliseconds. */
  readonly everyMs: number
  /** One turn. */
  readonly turn: () => Promise<void>
  /** Called with each turn that failed. */
  readonly onError: (error: unknown, loop: string) => void
}

/** The longest wait after a failure, in milliseconds. A store or engine that recovers is noticed within this time. */
const MAX_BACKOFF_MS = 5000

/** The shortest and the longest time from one turn to the next, in intervals. */
const SHORTEST = 0.9
const LONGEST = 1.1

/** A loop that is put off again and again still turns after this many intervals. */
const MOST_PUT_OFF = 10

/** A timer of more milliseconds fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Every call of a store or an engine ends within this time, in milliseconds: a turn that takes longer is stuck. */
const LONGEST_TURN_MS = 60_000

export class Loop {
  readonly #options: LoopOptions
  /** The shortest pause after this turn, in milliseconds. */
  #restMs = 0
  #timer: NodeJS.Timeout | undefined
  #turning: Promise<void> | undefined
  #woken = false
  #stopped = true
  #failures = 0
  #turnedAt = performance.now()
  /** When it last turned or was put off. Both show that it is healthy. */
  #aliveAt = this.#turnedAt

  constructor(options: LoopOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  /** The longest time between two turns, in milliseconds, unless it is put off. */
  get everyMs(): number {
    return this.#options.everyMs
  }

  /** Milliseconds since the last turn ended or was put off, or since the start. */
  get idleMs(): number {
    return performance.now() - this.#aliveAt
  }

  /**
   * Whether it has turned recently: within three intervals plus the longest backoff and the longest turn. A turn that
   * fails counts too: while the store is down, a restart of the process would not help, and the new process could not
   * even start.
   */
  get healthy(): boolean {
    return this.#stopped || this.idleMs < 3 * this.#options.everyMs + MAX_BACKOFF_MS + LONGEST_TURN_MS
  }

  start(): void {
    this.#stopped = false
    this.#failures = 0
    this.#turned()
    this.wake()
  }

  /**
   * Begins a turn at once: its synchronous part runs before this call returns. If a turn is under way, another one
   * follows it.
   */
  wake(): void {
    if (this.#stopped) return
    this.#woken = true
    if (this.#turning === undefined && this.#failures === 0) this.#run()
  }

  /**
   * Postpones the next turn, since another process has just done the same work. That process is expected to turn again
   * after an interval; if it does not, this loop turns within two intervals. However often it is postponed, it turns
   * within eleven intervals.
   */
  putOff(): void {
    const now = performance.now()
    if (!this.#isIdle) return
    if (now - this.#turnedAt > (MOST_PUT_OFF - 1) * this.#options.everyMs) return
    this.#aliveAt = now
    clearTimeout(this.#timer)
    this.#sleep(this.#options.everyMs * (LONGEST + Math.random()))
  }

  /**
   * Called during a turn: the pause after it lasts at least this long, in milliseconds, unless `wake` or `rouse` is
   * called.
   */
  rest(ms: number): void {
    this.#restMs = ms
  }

  /** Ends a rest: the next turn comes within an interval. */
  rouse(): void {
    if (this.#restMs === 0) return
    this.#restMs = 0
    if (!this.#isIdle) return
    clearTimeout(this.#timer)
    this.#sleep()
  }

  /** Stops the loop. Resolves when the turn under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#turning
  }

  /** Whether it only waits for its next regular turn. */
  get #isIdle(): boolean {
    return !this.#stopped && this.#turning === undefined && this.#failures === 0
  }

  #run(): void {
    clearTimeout(this.#timer)
    this.#turning = this.#turnWhileWoken().finally(() => {
      this.#turning = undefined
      if (!this.#stopped) this.#sleep()
    })
  }

  async #turnWhileWoken(): Promise<void> {
    do {
      this.#woken = false
      this.#restMs = 0
      await this.#turn()
    } while (this.#woken && !this.#stopped && this.#failures === 0)
  }

  async #turn(): Promise<void> {
    try {
      await this.#options.turn()
      this.#failures = 0
    } catch (error) {
      this.#failures++
      this.#options.onError(error, this.#options.name)
    }
    this.#turned()
  }

  #turned(): void {
    this.#turnedAt = performance.now()
    this.#aliveAt = this.#turnedAt
  }

  /** Jittered, so that the loops of many processes do not turn at the same moment. */
  #delay(): number {
    if (this.#failures === 0) return this.#options.everyMs * (SHORTEST + Math.random() * (LONGEST - SHORTEST))
    return Math.min(100 * 2 ** this.#failures, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2)
  }

  #sleep(delay = Math.max(this.#restMs, this.#delay())): void {
    this.#timer = setTimeout(() => this.#run(), Math.min(delay, LONGEST_TIMER_MS))
    this.#timer.unref()
  }
}
