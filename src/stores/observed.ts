/** A store that reports what this process records through it. */
import type { Change, Operation } from '../model/operation.ts'
import { hasEndedAttempt, hasJustEnded } from '../model/state-machine.ts'
import type { Store } from './store.ts'

/** Receives the reports. The store does not wait for it. It must not throw. */
export interface StoreObserver {
  /** Called with each operation that was accepted, and was not known before. */
  accepted?(operation: Operation): void
  /** Called with each operation that was changed, also by a sweep. */
  changed?(operation: Operation): void
  /** Called with each operation that has reached a final status, by whatever change or by a sweep. */
  ended?(operation: Operation): void
}

/** The store with its observers. */
export function observed(store: Store, observers: readonly StoreObserver[]): Store {
  const accepted = (operation: Operation) => {
    for (const observer of observers) observer.accepted?.(operation)
  }
  const changed = (operation: Operation, kind?: Change['kind']) => {
    const isEnd = hasJustEnded(operation, kind)
    for (const observer of observers) {
      observer.changed?.(operation)
      if (isEnd) observer.ended?.(operation)
    }
  }
  const unanswered = new UnansweredOutcomes(store, changed)
  const accept: Store['accept'] = async submission => {
    const acceptance = await store.accept(submission)
    if (acceptance.kind === 'accepted') accepted(acceptance.operation)
    return acceptance
  }
  return {
    ...store,
    accept,
    change: async (id, change) => {
      const operation = await store.change(id, change).catch((error: unknown) => {
        unanswered.noteFailure(id, change)
        throw error
      })
      if (operation !== undefined) {
        unanswered.forget(id)
        changed(operation, change.kind)
      } else if (unanswered.has(id, change)) await unanswered.report(id, change)
      return operation
    },
    sweep: async limit => {
      const swept = await store.sweep(limit)
      for (const operation of swept.expired) changed(operation)
      return swept
    },
  }
}

/** The most outcomes that are remembered. An outcome that is never sent again stays here until it is displaced. */
const MOST_UNANSWERED = 1000

/**
 * Outcomes whose write failed without a clear answer: it may have been done. If the outcome is then sent again, the
 * store refuses it.
 */
class UnansweredOutcomes {
  readonly #store: Pick<Store, 'read'>
  readonly #report: (operation: Operation, kind: Change['kind']) => void
  readonly #attempts = new Map<string, number>()

  constructor(store: Pick<Store, 'read'>, report: (operation: Operation, kind: Change['kind']) => void) {
    this.#store = store
    this.#report = report
  }

  noteFailure(id: string, change: Change): void {
    if (change.kind !== 'finish') return
    const [oldest] = this.#attempts.keys()
    if (oldest !== undefined && this.#attempts.size >= MOST_UNANSWERED) this.#attempts.delete(oldest)
    this.#attempts.set(id, change.attempt)
  }

  forget(id: string): void {
    this.#attempts.delete(id)
  }

  has(id: string, change: Change): boolean {
    return change.kind === 'finish' && this.#attempts.get(id) === change.attempt
  }

  /**
   * Reports the outcome if the record shows that it was written. A report that fails is lost, like that of a process
   * that dies.
   */
  async report(id: string, { kind }: Change): Promise<void> {
    const attempt = this.#attempts.get(id)
    this.#attempts.delete(id)
    const found = await this.#store.read(id).catch(() => undefined)
    const isOurs = found !== undefined && attempt !== undefined && hasEndedAttempt(found, attempt, kind)
    if (isOurs) this.#report(found, kind)
  }
}
