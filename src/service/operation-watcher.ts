/**
 * Waits for operations to change. Any number of waiters in a process share one subscription to the store and hold no
 * connection of it. Its hints wake them. Since hints can be lost, the operations are also read again from time to time.
 */
import { timerMs } from '../model/duration.ts'
import type { Operation } from '../model/operation.ts'
import type { Hint, OperationStore } from '../stores/store.ts'
import { IdMap } from '../util/id-map.ts'

/** Options of {@link OperationWatcher}. */
export interface OperationWatcherOptions {
  readonly store: Pick<OperationStore, 'read' | 'watch'>
  /** How many may wait at the same time. */
  readonly maxWaiting: number
}

/** A read that is under way. */
type Reading = Promise<Operation | undefined>

/** How long a request waits. */
export interface Patience {
  readonly ms: number
  readonly signal: AbortSignal
  /** Waits also for an operation that does not exist yet. Default: that ends the wait. */
  readonly mayAppear?: boolean
}

/** The same, and how to read the operation the first time, if not by the `read` of the store. */
interface FirstPatience extends Patience {
  readonly first?: () => Reading
}

/** The end of a wait. */
export interface Waited<Known = Operation> {
  /** As it is then; as it was given where it could not be read. */
  readonly operation: Operation | Known
  /** Whether the call waited. False: it returned at once, because too many requests wait already. */
  readonly waited: boolean
}

interface Waiter {
  readonly wake: (reading: Reading) => void
}

/**
 * After a hint that does not name what has changed, all operations with waiters are read again: at once, and then at
 * most once in this time, in milliseconds.
 */
const REREAD_EVERY_MS = 5
/** These reads take at most about one tenth of the time, however many operations have waiters. */
const REREAD_SHARE = 10
/** All operations with waiters are read again after this time, in milliseconds, since hints may be lost. */
const BACKSTOP_MS = 5000
/** How many operations are read before the event loop can do other work. */
const REREAD_CHUNK = 200

/** Wakes requests that wait for single operations. */
export class OperationWatcher {
  readonly #options: OperationWatcherOptions
  readonly #waiters = new IdMap<Set<Waiter>>()
  #closed = false
  #count = 0
  #unwatch: (() => void) | undefined
  #backstop: NodeJS.Timeout | undefined
  #reread: NodeJS.Timeout | undefined
  #isRereading = false
  /** A hint arrived during the reads. Some reads may have been made before the change, so all are made again. */
  #isStale = false
  /** When the next such reads may begin, by the monotonic clock. */
  #rereadAfter = 0

  constructor(options: OperationWatcherOptions) {
    this.#options = options
  }

  /** The number of requests that wait now. */
  get waiting(): number {
    return this.#count
  }

  /** Whether no further request may wait. */
  get isFull(): boolean {
    return this.#count >= this.#options.maxWaiting
  }

  /**
   * Waits until `wanted` accepts the operation, the time is up or the signal is aborted, whichever comes first.
   * Subscribes before it reads, so that no change is missed in between.
   *
   * @param wanted called with the operation as it is now, and after each change
   * @param patience how long to wait
   * @returns the operation as it was read last; undefined if it does not exist
   */
  async waitUntil(
    id: string,
    wanted: (operation: Operation) => boolean | Promise<boolean>,
    { ms, signal, mayAppear = false, first = () => this.#options.store.read(id) }: FirstPatience,
  ): Promise<Operation | undefined> {
    const subscription = this.#subscribe(id)
    const deadline = startDeadline(ms, signal)
    const isOver = async (read: Operation | undefined) => (read === undefined ? !mayAppear : await wanted(read))
    try {
      let changed = subscription.next()
      let operation = await (subscription.latest() ?? first())
      while (!(await isOver(operation)) && !deadline.isOver() && !this.#closed) {
        await Promise.race([changed, deadline.promise])
        changed = subscription.next()
        operation = await (subscription.latest() ?? this.#options.store.read(id))
      }
      return operation
    } finally {
      deadline.cancel()
      subscription.leave()
    }
  }

  /** Ends every wait, so that a server can close. */
  close(): void {
    this.#closed = true
    for (const id of this.#waiters.ids()) void this.#wake(id)
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
    this.#unwatch = this.#options.store.watch(hint => this.#onHint(hint))
    this.#backstop = setInterval(() => this.#onHint({ kind: 'unknown' }), BACKSTOP_MS).unref()
  }

  #stopWatching(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
    clearInterval(this.#backstop)
    clearTimeout(this.#reread)
    this.#reread = undefined
    this.#isStale = false
  }

  #onHint(hint: Hint): void {
    if ('id' in hint) void this.#wake(hint.id, hint.kind === 'ended' ? hint.operation : undefined)
    if (hint.kind !== 'unknown') return
    this.#isStale = true
    this.#rereadSoon()
  }

  #rereadSoon(): void {
    if (!this.#isStale || this.#isRereading || this.#reread !== undefined) return
    const delay = Math.max(0, this.#rereadAfter - performance.now())
    this.#reread = setTimeout(() => void this.#rereadAll(), delay).unref()
  }

  /** Never rejects: each waiter gets the error of the read of its own operation. */
  async #rereadAll(): Promise<void> {
    this.#reread = undefined
    this.#isStale = false
    this.#isRereading = true
    const began = performance.now()
    await this.#wakeInChunks(this.#waiters.ids())
    const ended = performance.now()
    this.#rereadAfter = ended + Math.max(REREAD_EVERY_MS, REREAD_SHARE * (ended - began))
    this.#isRereading = false
    if (this.#count > 0) this.#rereadSoon()
  }

  /**
   * Reads an operation once for all its waiters.
   *
   * @param ended its record, if the operation has ended and the hint contained it: the waiters need no later record
   */
  #wake(id: string, ended?: Operation): Reading | undefined {
    const waiters = this.#waiters.get(id)
    if (waiters === undefined) return undefined
    const reading = ended === undefined ? this.#options.store.read(id) : Promise.resolve(ended)
    // The waiters get the failure. All of them may have left, so it is caught here too.
    reading.catch(() => {})
    for (const { wake } of waiters) wake(reading)
    return reading
  }

  /** Reads operations in chunks, and lets other work run after each chunk. */
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
  /** Returns the read that was begun for the last change, once; undefined if nothing has changed since. */
  latest(): Reading | undefined
  leave(): void
}

interface Deadline {
  readonly promise: Promise<void>
  isOver(): boolean
  cancel(): void
}

function startDeadline(ms: number, signal: AbortSignal): Deadline {
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
    isOver: () => reached,
    cancel: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', reach)
    },
  }
}
