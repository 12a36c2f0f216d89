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
  /** Whether this process can do no further work now. */
  readonly isFull: () => boolean
  /** How often a process that does not listen looks for work. */
  readonly pollMs: number
}

/** How often a process that listens considers whether to go on, in milliseconds. */
export const STAY_MS = 250
/** How often a process that does not listen looks for a free seat, in milliseconds. */
const SEARCH_MS = 500
/**
 * How often requests that wait read their operations where this process does not listen, in milliseconds. The first one
 * looks for a free seat as well, but no more often than that.
 */
const WAITING_POLL_MS = 50
/** A process that needs no hint soon listens for a moment from time to time, to learn how frequent they are. */
const REST_MS = 30_000
/** So that a worker which polls as often as its store does not poll twice. */
const POLL_PART = 0.85

export class Attendance {
  readonly #options: AttendanceOptions
  readonly #seats: Seats

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

  async #untilReturn(signal: AbortSignal): Promise<void> {
    const { audience, pollMs } = this.#options
    const beganAt = performance.now()
    let [polledAt, searchedAt] = [beganAt, beganAt]
    while (!signal.aborted) {
      const isNew = await this.#nap(audience.isWaiting ? WAITING_POLL_MS : SEARCH_MS, signal)
      const now = performance.now()
      if (!isNew && audience.isWaiting) audience.sendToWaiting({ kind: 'unknown' })
      if (now - polledAt >= POLL_PART * pollMs) {
        polledAt = now
        audience.sendToWork({ kind: 'unknown' })
      }
      if (now - searchedAt < (isNew ? WAITING_POLL_MS : POLL_PART * SEARCH_MS)) continue
      searchedAt = now
      if (await this.#mayReturn(now - beganAt)) return
    }
  }

  async #mayReturn(awayMs: number): Promise<boolean> {
    const needs = this.#needs()
    return needs.length === 0 ? awayMs > REST_MS : await this.#isAnyFree(needs)
  }

  /** The regular looks go on where this one fails. */
  async #isAnyFree(needs: readonly string[]): Promise<boolean> {
    return await this.#seats.isAnyFree(this.#options.connections, needs).catch(() => false)
  }

  /** A process that can do no further work needs no hint about it. */
  #needs(): string[] {
    const { audience, isFull } = this.#options
    return isFull() ? audience.needs().filter(need => need === WAITS) : audience.needs()
  }

  /**
   * Waits about as long, so that the processes of a fleet do not look at the same moment. True if someone has begun to
   * wait meanwhile.
   */
  async #nap(ms: number, signal: AbortSignal): Promise<boolean> {
    const { audience } = this.#options
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const end = () => resolve(false)
    const timer = setTimeout(end, ms * (0.9 + Math.random() / 5)).unref()
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
