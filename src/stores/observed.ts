/** A store that reports what this process records through it. */
import type { Change, Operation } from '../model/operation.ts'
import { hasJustEnded } from '../model/state-machine.ts'
import type { Store } from './store.ts'

/** Receives the reports. It delays nothing, and must not throw. */
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
  const accept: Store['accept'] = async submission => {
    const acceptance = await store.accept(submission)
    if (acceptance.kind === 'accepted') accepted(acceptance.operation)
    return acceptance
  }
  return {
    ...store,
    accept,
    change: async (id, change) => {
      const operation = await store.change(id, change)
      if (operation !== undefined) changed(operation, change.kind)
      return operation
    },
    sweep: async limit => {
      const swept = await store.sweep(limit)
      for (const operation of swept.expired) changed(operation)
      return swept
    },
  }
}
