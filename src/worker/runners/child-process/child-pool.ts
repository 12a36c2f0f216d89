/**
 * The children of a worker. They are started as runs need them, and each is given one run at a time. When a start
 * fails, the pool tries again after a pause. Until a start succeeds, it only has room for the runs that its idle
 * children can take.
 */
import { type RunContext, type RunResult, stopReason, type Task } from '../runner.ts'
import { Child, type ChildSettings, type ChildState } from './child.ts'

/** What a pool is made with. */
export interface PoolSettings extends ChildSettings {
  /** The most children, not counting those that are ending. */
  readonly concurrency: number
  /** Runs after which a child is replaced. */
  readonly maxAttemptsPerChild: number
  /** How long a child may be idle before it is ended, provided another child is idle, in milliseconds. */
  readonly idleMs: number
}

/** A run that waits for a child. */
interface Waiting {
  readonly settle: (child: Child | NoChild) => void
}

/** Why a run is given no child. */
interface NoChild {
  readonly reason: string
}

/** After this number of children in a row that died before they began it, a run is lost: it may be what kills them. */
const MAX_UNBEGUN = 2
/** How long the end of all children may take. After a kill only the operating system can delay it. */
const CLOSE_MS = 5000

export class ChildPool {
  readonly #settings: PoolSettings
  readonly #children = new Set<Child>()
  readonly #waiting = new Set<Waiting>()
  /** Starts that have failed in a row. */
  #failures = 0
  #pause: NodeJS.Timeout | undefined
  #onRoom: () => void = () => {}
  #closed = false

  constructor(settings: PoolSettings) {
    this.#settings = settings
  }

  /**
   * Starts the first child.
   *
   * @param onRoom called when there may be room again after failed starts
   * @throws when its handlers cannot be loaded
   */
  async start(onRoom: () => void): Promise<readonly string[]> {
    this.#onRoom = onRoom
    const child = this.#spawn()
    const types = await child.loaded
    this.#offer(child)
    return types
  }

  /** How many more runs would get a child at once, or as soon as a child has loaded. */
  room(): number {
    if (this.#closed) return 0
    const most = this.#failures === 0 ? this.#settings.concurrency - this.#count('busy') : this.#count('idle')
    return Math.max(0, most - this.#waiting.size)
  }

  /** Runs an attempt in a child of its own. Never rejects. */
  async run(task: Task, context: RunContext): Promise<RunResult> {
    for (let unbegun = 1; ; unbegun++) {
      const child = await this.#acquire(context.signal)
      if (!(child instanceof Child)) return notBegun(context.signal, child.reason)
      const end = await child.run(task, context)
      this.#release(child)
      if (end.kind !== 'unbegun') return end
      if (context.signal.aborted || this.#closed) return notBegun(context.signal, end.reason)
      if (unbegun === MAX_UNBEGUN) return { kind: 'lost', reason: end.reason }
    }
  }

  /** Ends all children. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#pause)
    for (const { settle } of [...this.#waiting]) settle({ reason: 'The worker is closed.' })
    for (const child of this.#children) child.kill()
    const exited = Promise.all([...this.#children].map(child => child.exited))
    await Promise.race([exited, new Promise(resolve => void setTimeout(resolve, CLOSE_MS).unref())])
  }

  /** A child that is reserved for the caller, or the reason why there is none. */
  #acquire(signal: AbortSignal): Child | Promise<Child | NoChild> {
    const idle = [...this.#children].findLast(({ state }) => state === 'idle')
    if (idle !== undefined) {
      idle.reserve()
      return idle
    }
    return this.#wait(signal)
  }

  async #wait(signal: AbortSignal): Promise<Child | NoChild> {
    if (this.#closed) return { reason: 'The worker is closed.' }
    const { promise, resolve } = Promise.withResolvers<Child | NoChild>()
    const onAbort = () => waiting.settle({ reason: 'It was stopped before a process for it was ready.' })
    const waiting: Waiting = {
      settle: child => {
        this.#waiting.delete(waiting)
        signal.removeEventListener('abort', onAbort)
        resolve(child)
      },
    }
    this.#waiting.add(waiting)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    this.#startForWaiting()
    return await promise
  }

  /** Starts a child for each waiting run, up to the limit. */
  #startForWaiting(): void {
    while (this.#waiting.size > this.#count('starting') && this.#mayStart()) this.#startOne()
    if (this.#pause !== undefined) this.#handBackExcess('No process for handlers can be started at present.')
  }

  #mayStart(): boolean {
    const { concurrency } = this.#settings
    const living = this.#children.size - this.#count('ending')
    return !this.#closed && this.#pause === undefined && living < concurrency && this.#children.size <= concurrency
  }

  #startOne(): void {
    try {
      const child = this.#spawn()
      child.loaded.then(
        () => this.#started(child),
        (error: unknown) => this.#startFailed(error),
      )
    } catch (error) {
      this.#startFailed(error)
    }
  }

  #spawn(): Child {
    const child = new Child(this.#settings)
    this.#children.add(child)
    void child.exited.then(() => {
      this.#children.delete(child)
      this.#startForWaiting()
    })
    return child
  }

  #started(child: Child): void {
    const failed = this.#failures > 0
    this.#failures = 0
    clearTimeout(this.#pause)
    this.#pause = undefined
    this.#offer(child)
    this.#startForWaiting()
    if (failed) this.#onRoom()
  }

  /** Pauses starts, and hands back the runs for which no child is starting. */
  #startFailed(error: unknown): void {
    if (this.#closed) return
    const pauseMs = Math.min(100 * 2 ** ++this.#failures, 5000)
    this.#settings.report(error, `Could not start a process for handlers; will retry in ${pauseMs} ms`)
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => this.#tryAgain(), pauseMs).unref()
    this.#handBackExcess(error instanceof Error ? error.message : String(error))
  }

  #handBackExcess(reason: string): void {
    const excess = [...this.#waiting].slice(this.#count('starting'))
    for (const { settle } of excess) settle({ reason })
  }

  /** One start at a time, until one succeeds. */
  #tryAgain(): void {
    this.#pause = undefined
    if (this.#count('starting') > 0) return
    if (this.#mayStart()) {
      this.#startOne()
      return
    }
    // The limit is reached: the next start is made for the next run that needs one.
    this.#failures = 0
    this.#onRoom()
  }

  #release(child: Child): void {
    if (child.state === 'busy' && child.served < this.#settings.maxAttemptsPerChild) this.#offer(child)
    else child.kill()
  }

  /** Gives a child that is ready to the run that has waited longest, or lets the child be idle. */
  #offer(child: Child): void {
    if (this.#closed || child.state === 'ending') return
    const [waiting] = this.#waiting
    if (waiting === undefined) {
      child.rest(this.#settings.idleMs, () => this.#endIdle(child))
    } else {
      child.reserve()
      waiting.settle(child)
    }
  }

  #endIdle(child: Child): void {
    if (child.state === 'idle' && this.#count('idle') > 1) child.kill()
  }

  #count(state: ChildState): number {
    let count = 0
    for (const child of this.#children) if (child.state === state) count++
    return count
  }
}

/** The end of a run whose handler was not called. It does not count as an attempt. */
function notBegun(signal: AbortSignal, reason: string): RunResult {
  const canceled = signal.aborted && stopReason(signal) === 'CanceledError'
  return canceled ? { kind: 'ended' } : { kind: 'unstarted', reason }
}
