/**
 * Waiting for operations to change: any number of waiters in a process share one subscription to
 * the store, hold no connection of it, and are woken by its hints; a slow re-read stands under them.
 */
import { timerMs } from '../model/duration.ts'
import type { Operation } from '../model/operation.ts'
import type { Hint, OperationStore } from '../stores/store.ts'

/** Options of {@link Changes}. */
export interface ChangesOptions {
  readonly store: Pick<OperationStore, 'read' | 'watch'>
  /** The most waiters at once. */
  readonly limit: number
}

/** A read that is under way. */
type Reading = Promise<Operation | undefined>

interface Waiter {
  readonly wake: (reading: Reading) => void
}

/** After a hint that does not name what has changed, all that is waited for is read again: at once, and then not within this time. */
const REREAD_EVERY_MS = 5
/** Nor within ten times what the last such reads took, however much is waited for. */
const REREAD_SHARE = 10
/** Hints may be lost: everything that is waited for is read again after this time all the same. */
const BACKSTOP_MS = 5000
/** How many are read before others get their turn of the event loop. */
const REREAD_CHUNK = 200

/** Subscriptions to single operations. */
export class Changes {
  readonly #options: ChangesOptions
  readonly #waiters = new Map<string, Set<Waiter>>()
  #closed = false
  #count = 0
  #unwatch: (() => void) | undefined
  #backstop: NodeJS.Timeout | undefined
  #reread: NodeJS.Timeout | undefined
  #isRereading = false
  /** A hint came while what is waited for was read again: it may have been read before the change. */
  #isStale = false
  /** When the next such reads may begin, by the monotonic clock. */
  #rereadAfter = 0

  constructor(options: ChangesOptions) {
    this.#options = options
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#count
  }

  /** Whether another one may wait. */
  get full(): boolean {
    return this.#count >= this.#options.limit
  }

  /**
   * Waits until the operation is as wanted, the time is up or the signal is aborted, whichever is first.
   * It subscribes before it reads, so no change falls in between.
   *
   * @param wanted told of the operation as it is now, and after each change
   * @returns the operation as it was read last; undefined where there is none
   */
  async until(
    id: string,
    wanted: (operation: Operation) => boolean | Promise<boolean>,
    { ms, signal }: { ms: number; signal: AbortSignal },
  ): Promise<Operation | undefined> {
    const subscription = this.#subscribe(id)
    const end = endOf(ms, signal)
    try {
      for (;;) {
        const changed = subscription.next()
        const operation = await (subscription.latest() ?? this.#options.store.read(id))
        if (operation === undefined || (await wanted(operation))) return operation
        if (end.reached() || this.#closed) return operation
        await Promise.race([changed, end.promise])
      }
    } finally {
      end.forget()
      subscription.leave()
    }
  }

  /** Ends every wait, so that a server that closes is not held up. */
  close(): void {
    this.#closed = true
    for (const id of this.#waiters.keys()) void this.#wake(id)
  }

  #subscribe(id: string): Subscription {
    let woken = () => {}
    let latest: Reading | undefined
    const waiter: Waiter = {
      wake: reading => {
        latest = reading
        woken()
      },
    }
    const waiters = this.#waiters.get(id) ?? new Set()
    waiters.add(waiter)
    this.#waiters.set(id, waiters)
    this.#count++
    this.#startWatching()
    return {
      next: () =>
        new Promise<void>(resolve => {
          woken = resolve
        }),
      latest: () => {
        const reading = latest
        latest = undefined
        return reading
      },
      leave: () => {
        waiters.delete(waiter)
        if (waiters.size === 0) this.#waiters.delete(id)
        this.#count--
        if (this.#count === 0) this.#stopWatching()
      },
    }
  }

  #startWatching(): void {
    if (this.#unwatch !== undefined) return
    this.#unwatch = this.#options.store.watch(hint => this.#hinted(hint))
    this.#backstop = setInterval(() => this.#hinted({ kind: 'unknown' }), BACKSTOP_MS).unref()
  }

  #stopWatching(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
    clearInterval(this.#backstop)
    clearTimeout(this.#reread)
    this.#reread = undefined
    this.#isStale = false
  }

  #hinted(hint: Hint): void {
    if ('id' in hint) void this.#wake(hint.id)
    if (hint.kind !== 'unknown') return
    this.#isStale = true
    this.#rereadSoon()
  }

  #rereadSoon(): void {
    if (!this.#isStale || this.#isRereading || this.#reread !== undefined) return
    const delay = Math.max(0, this.#rereadAfter - performance.now())
    this.#reread = setTimeout(() => void this.#rereadAll(), delay).unref()
  }

  /** Never rejects: who waits for an operation sees what its read came to. */
  async #rereadAll(): Promise<void> {
    this.#reread = undefined
    this.#isStale = false
    this.#isRereading = true
    const began = performance.now()
    await this.#wakeInChunks([...this.#waiters.keys()])
    const ended = performance.now()
    this.#rereadAfter = ended + Math.max(REREAD_EVERY_MS, REREAD_SHARE * (ended - began))
    this.#isRereading = false
    if (this.#count > 0) this.#rereadSoon()
  }

  /** However many wait for an operation, it is read once. */
  #wake(id: string): Reading | undefined {
    const waiters = this.#waiters.get(id)
    if (waiters === undefined) return undefined
    const reading = this.#options.store.read(id)
    // Who is still there sees the failure; all of them may have left.
    reading.catch(() => {})
    for (const { wake } of waiters) wake(reading)
    return reading
  }

  /** Others get their turn of the event loop after each chunk. */
  async #wakeInChunks(ids: readonly string[]): Promise<void> {
    for (let at = 0; at < ids.length; at += REREAD_CHUNK) {
      await Promise.allSettled(ids.slice(at, at + REREAD_CHUNK).map(async id => await this.#wake(id)))
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

interface Subscription {
  /** Resolves at the next change after the call. */
  next(): Promise<void>
  /** The read that was begun for the last change, once; undefined where nothing has changed. */
  latest(): Reading | undefined
  leave(): void
}

interface End {
  readonly promise: Promise<void>
  reached(): boolean
  forget(): void
}

function endOf(ms: number, signal: AbortSignal): End {
  const { promise, resolve } = Promise.withResolvers<void>()
  let reached = signal.aborted
  const reach = () => {
    reached = true
    resolve()
  }
  const timer = setTimeout(reach, timerMs(ms))
  signal.addEventListener('abort', reach, { once: true })
  return {
    promise,
    reached: () => reached,
    forget: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', reach)
    },
  }
}
