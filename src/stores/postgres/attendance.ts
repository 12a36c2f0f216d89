/**
 * Whether this process listens. While notifications are rare, all processes do. While they are frequent, each of them
 * would wake all, so only those listen that hold a seat for what they need. The others look for work by themselves, and
 * listen again as soon as a seat is free.
 */
import { type Audience, WAITS } from './audience.ts'
import type { Connections } from './connections.ts'
import type { NotificationPace } from './notification-pace.ts'
import type { PostgresClient } from './pool.ts'
import { Seats } from './seats.ts'

/** Options of {@link Attendance}. Durations in milliseconds. */
export interface AttendanceOptions {
  readonly connections: Connections
  readonly channel: string
  readonly pace: NotificationPace
  readonly audience: Audience
  /** Whether a holder of leases can take no further work now. */
  readonly isFull: (holder: string) => boolean
  /** How often a process that does not listen looks for work. */
  readonly pollMs: number
}

/** How often a process that listens considers whether to go on, in milliseconds. */
export const STAY_MS = 250
/** How often a process with requests that wait looks for a free seat while it does not listen, in milliseconds. */
const SEARCH_MS = 500
/** The same for any other process. Those that look for work ask for a seat with each look that may find nothing. */
const RARE_SEARCH_MS = 1500
/**
 * How often requests that wait read their operations where this process does not listen, in milliseconds. The first one
 * looks for a free seat as well, but no more often than that.
 */
const WAITING_POLL_MS = 50
/** A process that needs no hint soon listens for a moment from time to time, to learn how frequent they are. */
const REST_MS = 30_000
/** The shortest and the longest pause between two looks, in intervals: a worker with the same interval looks only then. */
const [SHORTEST_PART, LONGEST_PART] = [0.8, 0.88]

export class Attendance {
  readonly #options: AttendanceOptions
  readonly #seats: Seats
  /** When it looked for a seat last, by the monotonic clock. */
  #searchedAt = Number.NEGATIVE_INFINITY
  /** When it looks for a seat next, by the monotonic clock. */
  #searchAt = Number.POSITIVE_INFINITY
  #isSeatFree = false
  #endNap: () => void = () => {}

  constructor(options: AttendanceOptions) {
    this.#options = options
    this.#seats = new Seats(options.channel)
  }

  /** Whether this process goes on listening. It takes and releases seats for that. */
  async stays(client: PostgresClient): Promise<boolean> {
    const { pace } = this.#options
    const needs = this.#needs()
    const isBusy = pace.isBusy()
    for (const need of this.#seats.held) {
      if (!isBusy || !needs.includes(need)) await this.#seats.release(client, need)
    }
    if (!isBusy || this.#seats.held.length > 0) return true
    for (const need of needs) if (await this.#seats.take(client, need)) return true
    const wanted = this.#options.audience.needs()
    // One that needs nothing has come to learn how frequent notifications are.
    if (wanted.length === 0) return !pace.isCurrent
    // One that can do no more has made room for another one, which may not be there.
    return wanted.length > needs.length && (await this.#isAnyFree(wanted))
  }

  /** Gives all seats back, since this session listens no longer. */
  async leave(client: PostgresClient): Promise<void> {
    for (const need of this.#seats.held) await this.#seats.release(client, need)
  }

  /** The session that listened has ended. */
  forget(): void {
    this.#seats.forget()
  }

  /** Resolves when this process should listen again. Until then its listeners look by themselves. */
  async away(signal: AbortSignal): Promise<void> {
    const { pace } = this.#options
    pace.pause()
    await this.#untilReturn(signal)
    pace.resume()
  }

  /** The seats that this process would take, for a statement that asks for them beside something else. */
  get wantedSeats(): readonly string[] {
    return this.#seats.namesOf(this.#needs())
  }

  /** Called with the answer to such a statement: it needs no look of its own for a while. */
  searched(isSeatFree: boolean): void {
    this.#noteSearch()
    if (!isSeatFree) return
    this.#isSeatFree = true
    this.#endNap()
  }

  async #untilReturn(signal: AbortSignal): Promise<void> {
    const { audience } = this.#options
    const beganAt = performance.now()
    let pollAt = this.#nextPoll()
    this.#noteSearch()
    this.#isSeatFree = false
    while (!signal.aborted) {
      const isNew = await this.#nap(Math.min(pollAt, this.#searchAt), signal)
      const now = performance.now()
      if (!isNew && audience.isWaiting) audience.sendToWaiting({ kind: 'unknown' })
      if (now >= pollAt) {
        pollAt = this.#nextPoll()
        audience.sendToWork({ kind: 'unknown' })
      }
      if (this.#isSeatFree) return
      if (isNew) this.#searchAt = Math.min(this.#searchAt, this.#searchedAt + WAITING_POLL_MS)
      if (now < this.#searchAt) continue
      this.#noteSearch()
      if (await this.#mayReturn(now - beganAt)) return
    }
  }

  #nextPoll(): number {
    const part = SHORTEST_PART + Math.random() * (LONGEST_PART - SHORTEST_PART)
    return performance.now() + part * this.#options.pollMs
  }

  #noteSearch(): void {
    this.#searchedAt = performance.now()
    this.#searchAt = this.#searchedAt + around(this.#options.audience.isWaiting ? SEARCH_MS : RARE_SEARCH_MS)
  }

  async #mayReturn(awayMs: number): Promise<boolean> {
    const needs = this.#needs()
    return needs.length === 0 ? awayMs > REST_MS : await this.#isAnyFree(needs)
  }

  /** The regular looks go on where this one fails. */
  async #isAnyFree(needs: readonly string[]): Promise<boolean> {
    return await this.#seats.isAnyFree(this.#options.connections, needs).catch(() => false)
  }

  /** Work that all who claim it here can take no more of needs no hint. */
  #needs(): string[] {
    const { audience, isFull } = this.#options
    const canTake = (holder: string | undefined) => holder === undefined || !isFull(holder)
    return audience.needs().filter(need => need === WAITS || audience.holdersOf(need).some(canTake))
  }

  /** Waits until a time, and not as long while requests wait. True if someone has begun to wait meanwhile. */
  async #nap(until: number, signal: AbortSignal): Promise<boolean> {
    const { audience } = this.#options
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const end = () => resolve(false)
    const longestMs = audience.isWaiting ? around(WAITING_POLL_MS) : Number.POSITIVE_INFINITY
    const timer = setTimeout(end, Math.min(longestMs, Math.max(0, until - performance.now()))).unref()
    this.#endNap = end
    signal.addEventListener('abort', end, { once: true })
    audience.onArrival = () => resolve(true)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      audience.onArrival = undefined
    }
  }
}

/** So that the processes of a fleet do not look at the same moment. */
function around(ms: number): number {
  return ms * (0.9 + Math.random() / 5)
}
