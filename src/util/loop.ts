/**
 * A loop that cannot die: it turns when woken and at least once an interval, one turn at a time;
 * a turn that fails is reported and tried again with backoff.
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

/** The longest wait after a failure, in milliseconds: what comes back is noticed within it. */
const MAX_BACKOFF_MS = 5000

/** The shortest and the longest time from one turn to the next, in intervals. */
const SHORTEST = 0.9
const LONGEST = 1.1

/** A loop that is put off turns all the same this many intervals after its last turn. */
const MOST_PUT_OFF = 10

/** Every question to a store or an engine ends within this time: a turn that takes longer hangs. */
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
  /** When it last turned or was put off: it is well either way. */
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
   * Whether it has turned lately: within three intervals, the longest backoff and the longest turn. A turn that fails is
   * one as well: a new process would not help while the store is down, and could not even start without it.
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

  /** Turns now, before this call returns as far as the turn is synchronous; or once more after the turn under way. */
  wake(): void {
    if (this.#stopped) return
    this.#woken = true
    if (this.#turning === undefined && this.#failures === 0) this.#run()
  }

  /**
   * Puts the next turn off, since another process has just done the same. That one comes first again after an interval;
   * where it does not, this one turns within two. However often it is put off, it turns within eleven.
   */
  putOff(): void {
    const now = performance.now()
    if (this.#stopped || this.#turning !== undefined || this.#failures > 0) return
    if (now - this.#turnedAt > (MOST_PUT_OFF - 1) * this.#options.everyMs) return
    this.#aliveAt = now
    clearTimeout(this.#timer)
    this.#sleep(this.#options.everyMs * (LONGEST + Math.random()))
  }

  /** Called in a turn: makes the pause after it this long at least, in milliseconds, unless it is woken or roused. */
  rest(ms: number): void {
    this.#restMs = ms
  }

  /** Ends a rest: the next turn comes within an interval. */
  rouse(): void {
    if (this.#restMs === 0) return
    this.#restMs = 0
    if (this.#stopped || this.#turning !== undefined || this.#failures > 0) return
    clearTimeout(this.#timer)
    this.#sleep()
  }

  /** Turns no more. Resolves when the turn under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#turning
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
    this.#timer = setTimeout(() => this.#run(), delay)
    this.#timer.unref()
  }
}
