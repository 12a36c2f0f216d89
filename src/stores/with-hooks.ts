/** Calls of the program that runs a composition, for what this process records itself. */
import type { Operation } from '../model/operation.ts'
import { isFinal } from '../model/protocol.ts'
import type { Store } from './store.ts'

/** What is called. */
export interface OperationHooks {
  readonly onAccepted?: ((operation: Operation) => unknown) | undefined
  readonly onFinished?: ((operation: Operation) => unknown) | undefined
  readonly onFailed?: ((operation: Operation) => unknown) | undefined
}

/**
 * The store that reports what it records of some types. A report delays nothing, and one that fails changes nothing.
 *
 * @param onError is told what a call threw
 */
export function withHooks(
  store: Store,
  { onAccepted, onFinished, onFailed }: OperationHooks,
  types: ReadonlySet<string>,
  onError: (error: unknown) => void,
): Store {
  if (onAccepted === undefined && onFinished === undefined && onFailed === undefined) return store
  const call = async (hook: OperationHooks['onAccepted'], operation: Operation) => {
    try {
      await hook?.(operation)
    } catch (error) {
      onError(error)
    }
  }
  const report = (operation: Operation) => {
    if (!isFinal(operation.status) || !types.has(operation.type)) return
    void call(onFinished, operation)
    if (operation.status === 'failed') void call(onFailed, operation)
  }
  return {
    ...store,
    accept: async submission => {
      const acceptance = await store.accept(submission)
      if (acceptance.kind === 'accepted' && types.has(submission.type)) void call(onAccepted, acceptance.operation)
      return acceptance
    },
    change: async (id, change) => {
      const operation = await store.change(id, change)
      if (operation !== undefined && ENDING.has(change.kind)) report(operation)
      return operation
    },
    sweep: async limit => {
      const swept = await store.sweep(limit)
      for (const operation of swept.expired) report(operation)
      return swept
    },
  }
}

/** The changes that may end an operation. */
const ENDING: ReadonlySet<string> = new Set(['finish', 'cancel', 'abandon'])
