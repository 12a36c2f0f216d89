/** Calls functions of the user (hooks) for changes that this process records. */
import type { Operation } from '../model/operation.ts'
import type { StoreObserver } from './observed.ts'

/** What is called. */
export interface OperationHooks {
  readonly onAccepted?: ((operation: Operation) => unknown) | undefined
  readonly onFinished?: ((operation: Operation) => unknown) | undefined
  readonly onFailed?: ((operation: Operation) => unknown) | undefined
}

/**
 * Makes an observer of a store that calls hooks for operations of some types. A hook that fails has no effect on the
 * operation. Returns undefined if there are no hooks.
 *
 * @param onError called with what a hook threw
 */
export function hooksObserver(
  { onAccepted, onFinished, onFailed }: OperationHooks,
  types: ReadonlySet<string>,
  onError: (error: unknown) => void,
): StoreObserver | undefined {
  if (onAccepted === undefined && onFinished === undefined && onFailed === undefined) return undefined
  const call = async (hook: OperationHooks['onAccepted'], operation: Operation) => {
    try {
      await hook?.(operation)
    } catch (error) {
      onError(error)
    }
  }
  return {
    accepted: operation => {
      if (types.has(operation.type)) void call(onAccepted, operation)
    },
    ended: operation => {
      if (!types.has(operation.type)) return
      void call(onFinished, operation)
      if (operation.status === 'failed') void call(onFailed, operation)
    },
  }
}
