/**
 * Receives the notifications of other processes, on a connection of its own. It checks again and again that they
 * arrive: a connection may be dead without either end knowing, and behind a pooler in transaction mode none ever
 * arrives. Meanwhile it reports at intervals that something may have changed, so that every listener looks.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PacedTask } from '../../util/paced-task.ts'
import type { Hint } from '../store.ts'
import type { Connections } from './connections.ts'
import { before } from './deadline.ts'
import { hintsOf, readMessage } from './hints.ts'
import { quoteName } from './names.ts'
import type { PostgresClient, PostgresNotification } from './pool.ts'

/** Options of {@link Listener}. Durations in milliseconds. */
export interface ListenerOptions {
  readonly connections: Connections
  readonly channel: string
  /** Who this is: what it has told itself is not news. */
  readonly from: string
  /** Sends a payload to the channel, on another connection. */
  readonly send: (payloads: readonly string[]) => Promise<void>
  readonly heard: (hint: Hint) => void
  /** Called with each notification and its sender. */
  readonly arrived: (from: string) => void
  /** Called once each time that it stops receiving for a reason that lasts, and once when it receives again. */
  readonly warn: (message: string) => void
  /** How often it checks that notifications arrive. */
  readonly checkMs: number
  /** How long it takes for an answer. */
  readonly patienceMs: number
  /** How often it reports a possible change while notifications do not arrive. */
  readonly pollMs: number
}

/** The longest wait after a connection was lost. */
const MAX_BACKOFF_MS = 5000
/** How long until the next try with a server that does not allow LISTEN. */
const DEAF_RETRY_MS = 60_000

/** Notifications that do not say what changed count as one within this time. */
const UNKNOWN_EVERY_MS = 100

/** A connection that does not answer is closed after this. */
const UNLISTEN_MS = 1000

/** Nothing came back on a connection that otherwise answers. */
class Deaf extends Error {}

export class Listener {
  readonly #options: ListenerOptions
  readonly #stop = new AbortController()
  readonly #firstTried = Promise.withResolvers<void>()
  #running: Promise<void> = Promise.resolve()
  #poll: NodeJS.Timeout | undefined
  #failures = 0
  #toldDeaf = false
  #hearing = false
  #echoes = 0
  /** When the last notification of another process came. */
  #heardAt = Number.NEGATIVE_INFINITY
  #echoed: (echo: number) => void = () => {}
  /** At such a hint everyone looks at everything, and any role may send it in any number. */
  readonly #unknown = new PacedTask(() => this.#options.heard({ kind: 'unknown' }), { everyMs: UNKNOWN_EVERY_MS })

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** Whether notifications arrive. */
  get hearing(): boolean {
    return this.#hearing
  }

  /** Whether other processes listen as well, as far as notifications of theirs have come. */
  get hasCompany(): boolean {
    return this.#hearing && this.#hasHeardWithin(3 * this.#options.checkMs)
  }

  #hasHeardWithin(ms: number): boolean {
    return performance.now() - this.#heardAt < ms
  }

  /**
   * Does not listen, and only says at intervals that something may have changed. A `LISTEN` behind a pooler that shares
   * its server connections would stay there, and have the server send to clients that never asked for it.
   */
  poll({ warn }: { warn: boolean }): void {
    if (warn) this.#tellDeaf()
    this.#startPolling()
  }

  /** Resolves when notifications arrive, or when it has found that they do not; it goes on trying then. */
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
      if (wait > 0) await this.#sleep(wait)
    }
  }

  /** How long to wait before the next try. */
  #failed(error: unknown): number {
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

  /** Listens until the connection is lost or the listener is stopped. */
  async #listen(): Promise<void> {
    const { connections, channel } = this.#options
    const client = await connections.take()
    const lost = Promise.withResolvers<never>()
    lost.promise.catch(() => {})
    const onLost = () => lost.reject(new Error('The connection that listens was lost.'))
    const onNotification = (message: PostgresNotification) => this.#notified(message)
    client.on('error', onLost)
    client.on('end', onLost)
    client.on('notification', onNotification)
    try {
      await this.#within(client.query({ text: `LISTEN ${quoteName(channel)}`, values: [], rowMode: 'array' }))
      this.#heardAt = Number.NEGATIVE_INFINITY
      for (;;) {
        // What others have sent shows as well that notifications arrive here.
        if (!this.#hasHeardWithin(this.#options.checkMs)) await Promise.race([this.#check(), lost.promise])
        this.#nowHearing()
        this.#firstTried.resolve()
        await Promise.race([this.#sleep(this.#options.checkMs), lost.promise])
        if (this.#stop.signal.aborted) return await this.#unlisten(client)
      }
    } finally {
      this.#hearing = false
      client.off('notification', onNotification)
      // It may still listen, so no one else shall have it.
      connections.giveBack(client, true)
    }
  }

  /** A pooler in session mode may give the server connection to another client as it is. */
  async #unlisten(client: PostgresClient): Promise<void> {
    const unlisten = client.query({ text: 'UNLISTEN *', values: [], rowMode: 'array' })
    await before(performance.now() + UNLISTEN_MS, unlisten).catch(() => {})
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
    // Another connection has answered, so the server is there: this one is dead, and others may be.
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
    this.#options.arrived(message.from)
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
