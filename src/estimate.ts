/**
 * When asking again is worth it: `Retry-After`, the position in the queue and the expected end,
 * from how long operations of the type took lately and from the queue before this one.
 */
import type { Operation } from './operation.ts'
import type { QueueView, Store } from './store.ts'

/** What is expected of an unfinished operation. */
export interface Estimate {
  /** Milliseconds after which asking again is worth it. */
  readonly retryAfterMs: number
  /** 1 is next; only of one that waits in the queue. */
  readonly queuePosition?: number
  /** Milliseconds since the epoch; only where something has been observed. */
  readonly completionAt?: number
}

/** No client is asked to stay away for longer than this, so that a wrong estimate costs little. */
const LONGEST_MS = 5 * 60_000
/** How long a view of the queue is used before it is read again. */
const VIEW_MS = 500

/**
 * Estimates from a view of the queue. Pure.
 *
 * @param now milliseconds since the epoch
 */
export function estimate(operation: Operation, view: QueueView, now: number): Estimate {
  return operation.status === 'running' ? ofRunning(operation, view, now) : ofPending(operation, view, now)
}

function ofRunning(operation: Operation, view: QueueView, now: number): Estimate {
  const elapsed = Math.max(0, now - (operation.attemptStartedAt ?? now))
  const left = remainingMs(operation, view.durations, elapsed)
  if (left === undefined) return { retryAfterMs: clamp(elapsed / 4) }
  return { retryAfterMs: clamp(left), completionAt: now + Math.round(left) }
}

function ofPending(operation: Operation, view: QueueView, now: number): Estimate {
  const notBefore = Math.max(0, (operation.runAt ?? now) - now)
  const at = view.ready.indexOf(operation.id)
  const ahead = at >= 0 ? at : operation.runAt === null ? view.depth : 0
  const position = operation.runAt === null ? { queuePosition: ahead + 1 } : {}
  const typical = median(view.durations)
  if (typical === undefined) return { retryAfterMs: clamp(notBefore), ...position }
  const slots = Math.max(1, view.running)
  // Those before it leave the queue as slots become free: one of `slots` each `typical / slots`.
  const wait = notBefore + (view.running === 0 && ahead === 0 ? 0 : ((ahead + 0.5) / slots) * typical)
  return { retryAfterMs: clamp(wait + typical), completionAt: now + Math.round(wait + typical), ...position }
}

/** How long it will still run: by its own progress, else by those observed that took longer than it has so far. */
function remainingMs(operation: Operation, durations: readonly number[], elapsed: number): number | undefined {
  const fraction = operation.progress?.fraction ?? 0
  if (fraction >= 0.05 && elapsed > 0) {
    const reported = Math.max(0, operation.updatedAt - (operation.attemptStartedAt ?? operation.updatedAt))
    return Math.max(0, reported / fraction - elapsed)
  }
  const longer = median(durations.filter(ms => ms > elapsed))
  if (longer !== undefined) return longer - elapsed
  return durations.length === 0 ? undefined : elapsed / 4
}

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

function clamp(ms: number): number {
  return Math.min(Math.max(Math.round(ms), 1000), LONGEST_MS)
}

/** Reads views of the queue, each used for {@link VIEW_MS} by all who ask, so that polls cost the store next to nothing. */
export class Estimator {
  readonly #store: Store
  readonly #views = new Map<string, { view: Promise<QueueView>; readAt: number }>()

  constructor(store: Store) {
    this.#store = store
  }

  async of(operation: Operation): Promise<Estimate> {
    return estimate(operation, await this.view(operation.type), Date.now())
  }

  /** In how many milliseconds the next operation of a type should end; at least a second. */
  async nextEndMs(type: string): Promise<number> {
    const { durations, running } = await this.view(type)
    return clamp((median(durations) ?? 0) / Math.max(1, running))
  }

  /** The queue of a type as it was within the last {@link VIEW_MS}. */
  async view(type: string): Promise<QueueView> {
    const known = this.#views.get(type)
    const now = performance.now()
    if (known !== undefined && now - known.readAt < VIEW_MS) return await known.view
    const view = this.#store.queue(type)
    this.#views.set(type, { view, readAt: now })
    // A view that could not be read must not be what the next half second is answered with.
    view.catch(() => this.#views.delete(type))
    return await view
  }
}
