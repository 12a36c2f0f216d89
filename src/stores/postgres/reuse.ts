/**
 * When to open a further connection. A new one costs the server as much as a hundred statements: it is a process of its
 * own, each statement is parsed in it again, and is planned five times before its plan is kept. So a statement waits for
 * a connection that the store uses just now. A further one is opened when such waits add up to what it costs to open it.
 */
import type { PostgresPool } from './pool.ts'

/** All plans take this many times as long as to connect, which is measured: everything takes longer on a busy machine. */
const PLANS = 8
/** The shortest and the longest wait that leads to a further connection, in milliseconds. */
const [SHORTEST_MS, LONGEST_MS] = [50, 500]
/** The longest as a part of the time limit of a call. */
const LONGEST_PART = 0.05

/** The right to take a connection out of the pool. */
export interface Turn {
  /** Whether it opens a connection. */
  readonly isNew: boolean
  readonly at: number
}

/** Options of {@link Reuse}. */
export interface ReuseOptions {
  readonly pool: Pick<PostgresPool, 'idleCount'>
  /** How long a call may take, in milliseconds. */
  readonly limitMs: number
}

export class Reuse {
  readonly #pool: Pick<PostgresPool, 'idleCount'>
  readonly #longestMs: number
  readonly #waiting: ((turn: Turn) => void)[] = []
  /** How many connections are in use, or about to be. */
  #used = 0
  /** How many idle connections are about to be taken out of the pool. */
  #promised = 0
  #patienceMs: number
  /** How long statements have waited since the last opening, without the present wait. */
  #waitedMs = 0
  /** When the present wait began. */
  #since = 0
  #timer: NodeJS.Timeout | undefined

  constructor({ pool, limitMs }: ReuseOptions) {
    this.#pool = pool
    this.#longestMs = Math.min(LONGEST_MS, limitMs * LONGEST_PART)
    this.#patienceMs = Math.min(SHORTEST_MS, this.#longestMs)
  }

  /** Resolves when the caller should take a connection out of the pool. */
  async turn(): Promise<Turn> {
    if (this.#waiting.length === 0 && this.#isAnyIdle) return this.#grant(false)
    if (this.#used === 0) return this.#grant(true)
    const { promise, resolve } = Promise.withResolvers<Turn>()
    if (this.#waiting.push(resolve) === 1) this.#openAfter(this.#patienceMs - this.#waitedMs)
    return await promise
  }

  /** Called when the connection of a turn was taken, or could not be. */
  taken({ isNew, at }: Turn): void {
    if (isNew) this.#measure(performance.now() - at)
    else this.#promised--
    this.#serve()
  }

  /** Called when a connection was given back, or could not be taken. */
  ended(): void {
    this.#used--
    this.#serve()
  }

  /** Pools that do not say how many are idle open connections as they did before. */
  get #isAnyIdle(): boolean {
    return (this.#pool.idleCount ?? Number.POSITIVE_INFINITY) > this.#promised
  }

  #grant(isNew: boolean): Turn {
    this.#used++
    if (!isNew) this.#promised++
    return { isNew, at: performance.now() }
  }

  #measure(openingMs: number): void {
    this.#patienceMs = Math.min(this.#longestMs, Math.max(SHORTEST_MS, PLANS * openingMs))
  }

  /** Where none is in use, none would be given back. */
  #serve(): void {
    while (this.#waiting.length > 0 && (this.#isAnyIdle || this.#used === 0)) {
      this.#waiting.shift()?.(this.#grant(!this.#isAnyIdle))
      if (this.#waiting.length > 0) continue
      clearTimeout(this.#timer)
      this.#waitedMs += performance.now() - this.#since
    }
  }

  /** Each further one is opened in half of the time, since the server may not answer on those in use. */
  #openAfter(ms: number): void {
    this.#since = performance.now()
    this.#timer = setTimeout(
      () => {
        this.#waitedMs = 0
        this.#waiting.shift()?.(this.#grant(true))
        if (this.#waiting.length > 0) this.#openAfter(ms / 2)
      },
      Math.max(0, ms),
    )
  }
}
