/** Changes that complete attempts. They are the most frequent changes, and have statements of their own. */
import type { Change, Operation } from '../../model/operation.ts'
import { isId } from '../../util/is-id.ts'

/** A requested change. */
export interface ChangeItem {
  readonly id: string
  readonly change: Change
}

/** The changes that complete an attempt, if they are the only change of their operation. */
export function completionsAmong(items: readonly ChangeItem[]): ReadonlySet<ChangeItem> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const { id } of items) {
    if (seen.has(id)) repeated.add(id)
    seen.add(id)
  }
  return new Set(items.filter(item => isCompletion(item.change) && !repeated.has(item.id)))
}

/** Whether a change completes an attempt. */
export function isCompletion(change: Change): boolean {
  return change.kind === 'finish' && change.outcome.kind === 'completed'
}

/** The parameters of a statement for completions. */
export function completionRows(items: readonly ChangeItem[]) {
  return items
    .filter(({ id }) => isId(id))
    .map(({ id, change }) => {
      if (change.kind !== 'finish' || change.outcome.kind !== 'completed')
        throw new TypeError(`${id} is not completed.`)
      return { id, attempt: change.attempt, output: change.outcome.output }
    })
}

/** Whether the attempt that a change ends is the running one. */
export function isUnderWay(operation: Operation | undefined, change: Change): boolean {
  return operation?.status === 'running' && change.kind === 'finish' && operation.attempt === change.attempt
}
