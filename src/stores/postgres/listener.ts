/**
 * Receives the notifications of other processes, on a connection of its own. It checks regularly that they arrive: a
 * connection may be dead without either end knowing, and behind a pooler in transaction mode none ever arrives.
 * Meanwhile it reports at intervals that something may have changed, so that every listener looks.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PacedTask } from '../../util/paced-task.ts'
import type { Hint } from '../store.ts'
import { type Attendance, STAY_MS } from './attendance.ts'
import type { Connections } from './connections.ts'
import { before } from './deadline.ts'
import { hintsOf, readMessage } from './hints.ts'
import { quoteName } from './names.ts'
import type { PostgresClient, PostgresNotification } from './pool.ts'

/** Options of {@link Listener}. Durations in milliseconds. */
export interface ListenerOptions {
  readonly connections: Connections
  readonly channel: string
  /** The sender id of this process, whose own notifications are ignored. */
  readonly from: string
  readonly attendance: Attendance
  /** Sends a payload to the channel, on another connection. */
  readonly send: (payloads: readonly string[]) => Promise<void>
  readonly heard: (hint: Hint) => void
  /** Called with each notification about a change, and its sender. */
  readonly arrived: (from: string) => void
  /** Called once each time that it stops receiving for a reason that lasts, and once when it receives again. */
  readonly warn: (message: string) => void
  /** How often it checks that notifications arrive. */
  readonly checkMs: number
  /** How long it waits for an answer. */
  readonly patienceMs: number
  /** How often it reports a possible change while notifications do not arrive. */
  readonly pollMs: number
}

/** The longest wait after a connection was lost. */
const MAX_BACKOFF_MS = 5000
/** The time until the next try if notifications do not arrive, as behind a pooler. */
const DEAF_RETRY_MS = 60_000

/** Notifications that do not say what changed count as one within this time. */
const UNKNOWN_EVERY_MS = 100

/** A connection that does not answer is closed after this. */
const UNLISTEN_MS = 1000

/** Notifications do not arrive on a connection that otherwise answers. */
class Deaf extends Error {}

export class Listener {
  readonly #options: ListenerOptions
  readonly #stop = new AbortController()
  readonly #firstTried = Promise.withResolvers<void>()
  #running: Promise<void> = Promise.resolve()
  #poll: NodeJS.Timeout | undefined
  #failures = 0
  #toldDeaf = false
  #isAway = false
  /** Counts the connections that have listened. */
  #session = 0
  #hearing = false
  #echoes = 0
  /** When the last notification of another process came. */
  #heardAt = Number.NEGATIVE_INFINITY
  #echoed: (echo: number) => void = () => {}
  /** Paces the hint `unknown`: it makes every listener read everything, and any role may send any number of them. */
  readonly #unknown = new PacedTask(() => this.#options.heard({ kind: 'unknown' }), { everyMs: UNKNOWN_EVERY_MS })

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** Whether notifications arrive. */
  get hearing(): boolean {
    return this.#hearing
  }

  /** Whether it does not listen because others do. */
  get isAway(): boolean {
    return this.#isAway && !this.#hearing
  }

  /** Whether other processes are there, as far as their notifications have arrived recently. */
  get hasCompany(): boolean {
    return this.#hearing && this.#hasHeardWithin(3 * this.#options.checkMs)
  }

  #hasHeardWithin(ms: number): boolean {
    return performance.now() - this.#heardAt < ms
  }

  /**
   * Does not listen, but reports at intervals that something may have changed. Behind a pooler that shares server
   * connections, a `LISTEN` would stay in the server session, and notifications would be sent to clients that did not
   * request them.
   */
  poll({ warn }: { warn: boolean }): void {
    if (warn) this.#tellDeaf()
    this.#startPolling()
  }

  /** Resolves when notifications arrive, or when it has found that they do not; then it keeps trying. */
  async start(): Promise<void> {
    this.#startPolling()
    this.#running = this.#run()
    await this.#firstTried.promise
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#unknown.stop()
    await this.#running
    clearInterval(this.#poll)
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let wait = 0
      try {
        await this.#listen()
      } catch (error) {
        wait = this.#failed(error)
      }
      this.#firstTried.resolve()
      if (this.#isAway) await this.#options.attendance.away(this.#stop.signal)
      else if (wait > 0) await this.#sleep(wait)
    }
  }

  /** How long to wait before the next try. */
  #failed(error: unknown): number {
    this.#isAway = false
    this.#startPolling()
    if (error instanceof Deaf && !this.#stop.signal.aborted && this.#failures++ > 0) {
      this.#tellDeaf()
      return DEAF_RETRY_MS
    }
    return Math.min(50 * 2 ** this.#failures++, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2)
  }

  #tellDeaf(): void {
    if (this.#toldDeaf) return
    this.#toldDeaf = true
    this.#options.warn(
      `Notifications of PostgreSQL do not arrive, as behind a pooler in transaction mode: ` +
        `the store polls every ${this.#options.pollMs} ms instead, so work begins a little later.`,
    )
  }

  /** Listens until the connection is lost, the listener is stopped, or this process should not listen any longer. */
  async #listen(): Promise<void> {
    const { connections, channel, attendance } = this.#options
    const client = await connections.take()
    const lost = Promise.withResolvers<never>()
    lost.promise.catch(() => {})
    const onLost = () => lost.reject(new Error('The connection that listens was lost.'))
    const onNotification = (message: PostgresNotification) => this.#notified(message)
    client.on('error', onLost)
    client.on('end', onLost)
    client.on('notification', onNotification)
    let isClean = false
    try {
      await this.#within(client.query({ text: `LISTEN ${quoteName(channel)}`, values: [], rowMode: 'array' }))
      // They have arrived before, and others notify often: the next check comes soon enough.
      this.#heardAt = this.#isAway ? performance.now() : Number.NEGATIVE_INFINITY
      await Promise.race([this.#stay(client, ++this.#session), lost.promise])
      this.#isAway = !this.#stop.signal.aborted
      isClean = await this.#unlisten(client)
    } finally {
      this.#session++
      this.#hearing = false
      attendance.forget()
      client.off('notification', onNotification)
      client.off('error', onLost)
      client.off('end', onLost)
      // Where the connection may still listen, it is closed and not used for anything else.
      connections.giveBack(client, !isClean)
    }
  }

  /** Resolves when it should not listen any longer, or when its connection is lost. */
  async #stay(client: PostgresClient, session: number): Promise<void> {
    const { checkMs, patienceMs, attendance } = this.#options
    const isOver = () => this.#stop.signal.aborted || session !== this.#session
    for (let checkAt = 0; !isOver(); ) {
      // A notification of another process proves as well that they arrive.
      const isDue = performance.now() >= checkAt
      if (isDue && !this.#hasHeardWithin(checkMs)) await this.#check()
      if (isOver()) return
      if (isDue) checkAt = performance.now() + checkMs
      this.#nowHearing()
      this.#firstTried.resolve()
      if (!(await before(performance.now() + patienceMs, attendance.stays(client)))) return
      await this.#sleep(Math.min(STAY_MS, checkMs))
    }
  }

  /** A pooler in session mode may give the server connection to another client as it is. */
  async #unlisten(client: PostgresClient): Promise<boolean> {
    const leave = async () => {
      await this.#options.attendance.leave(client)
      await client.query({ text: 'UNLISTEN *', values: [], rowMode: 'array' })
      return true
    }
    return await before(performance.now() + UNLISTEN_MS, leave()).catch(() => false)
  }

  /** Sends itself an echo on another connection, and waits for it on this one. */
  async #check(): Promise<void> {
    const echo = ++this.#echoes
    const { from, send, connections } = this.#options
    const began = performance.now()
    const echoed = new Promise<void>(resolve => {
      this.#echoed = heard => heard === echo && resolve()
    })
    await send([JSON.stringify({ from, echo })])
    const heard = await Promise.race([echoed.then(() => true), this.#sleep(this.#options.patienceMs).then(() => false)])
    if (heard || this.#stop.signal.aborted) return
    // Another connection has answered, so the server works: this connection is dead, and others may be dead too.
    connections.suspect(began)
    throw new Deaf('No notification arrives.')
  }

  #nowHearing(): void {
    this.#failures = 0
    if (this.#hearing) return
    this.#hearing = true
    clearInterval(this.#poll)
    if (this.#toldDeaf) this.#options.warn('Notifications of PostgreSQL arrive again.')
    this.#toldDeaf = false
    // Something may have changed before it listened.
    this.#options.heard({ kind: 'unknown' })
  }

  #notified({ channel, payload }: PostgresNotification): void {
    if (channel !== this.#options.channel) return
    const message = readMessage(payload)
    if (message.echo === undefined && message.idle === undefined) this.#options.arrived(message.from)
    if (message.from === this.#options.from) {
      if (message.echo !== undefined) this.#echoed(message.echo)
      return
    }
    this.#heardAt = performance.now()
    for (const hint of hintsOf(message)) hint.kind === 'unknown' ? this.#unknown.request() : this.#options.heard(hint)
  }

  #startPolling(): void {
    clearInterval(this.#poll)
    if (this.#stop.signal.aborted) return
    this.#poll = setInterval(() => this.#options.heard({ kind: 'unknown' }), this.#options.pollMs).unref()
  }

  async #within<T>(promise: Promise<T>): Promise<T> {
    const late = this.#sleep(this.#options.patienceMs).then(() => {
      throw new Error('PostgreSQL did not answer in time.')
    })
    return await Promise.race([promise, late])
  }

  /** Ends early when the listener is stopped. */
  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {})
  }
}
