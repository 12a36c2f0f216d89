/**
 * The contract of a queue behind the HTTP side that a user of it would write: `serve.ts` is that side, `peers/` and
 * `floors.ts` hold the implementations.
 */

/** What is posted, and given back with the times of the handler. */
export type Order = Readonly<Record<string, unknown>>

/** A result: the order, and when its handler began and ended, in milliseconds since the epoch. */
export interface Result extends Order {
  readonly startedAt: number
  readonly endedAt: number
}

/** What is known of one order; `result` once its handler has ended. */
export interface State {
  readonly result?: Result | undefined
}

/** A queue, opened. */
export interface Queue {
  /** Resolves when the order is durable. */
  submit(id: string, order: Order): Promise<void>
  /** Undefined for an id that was never submitted. */
  read(id: string): Promise<State | undefined>
  /** Resolves when the order has ended, or after some time. Left out where the queue has no such thing: it is read every 10 ms. */
  ended?(id: string, timeoutMs: number): Promise<void>
  /** How many orders have not ended. */
  unfinished(): Promise<number>
  /** Begins to run the handler for what is submitted. */
  work(handler: (order: Order) => Result): Promise<void>
  close(): Promise<void>
}

/** What a queue is opened with. */
export interface QueueInit {
  /** Where its service is; a path for one that is embedded. */
  readonly url: string
  /** Whether this process accepts orders, works on them, or both. */
  readonly role: 'api' | 'worker' | 'both'
  /** How many orders are worked on at once. */
  readonly concurrency: number
}

/** What a module of a queue exports as `open`. */
export type OpenQueue = (init: QueueInit) => Promise<Queue>

/** The handler that all of them run. */
export function stamp(order: Order): Result {
  const startedAt = now()
  return { ...order, startedAt, endedAt: now() }
}

/** Milliseconds since the epoch, with the fractions that `Date.now` leaves out. */
export function now(): number {
  return performance.timeOrigin + performance.now()
}
