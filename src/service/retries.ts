/** An operation that has ended without a result is run again: as a new operation that names the old one. */
import { hasChildren, type Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import type { Submission } from '../model/submission.ts'
import { CHILDREN_STEP, type RecordedChild } from '../model/waits.ts'
import { listAllChildren } from '../stores/list-all-children.ts'
import type { OperationStore } from '../stores/store.ts'
import { orUnavailable } from './unavailable.ts'

/** How an operation is run again. */
export interface RetryOptions {
  /** Whether recorded steps are run again too. Default false: what was done and recorded is not done again. */
  readonly fresh?: boolean | undefined
}

/**
 * The idempotency key of a retry: of two clicks one counts. No key that a request can send has such a sign, and a retry
 * that failed is retried under its own id.
 */
function retryKey(id: string): string {
  return `retry \u2192 ${id}`
}

/**
 * Makes the submission that runs an operation again, with its input, owner, webhook, tags and, unless it is to be fresh,
 * its recorded steps.
 *
 * @param as what the submission of its type has by default
 * @throws {ProblemError} `operation-unfinished`, `not-retryable`, `operation-expired`
 */
export async function retrySubmission(
  store: OperationStore,
  operation: Operation,
  as: (input: string) => Submission,
  { fresh = false, type }: RetryOptions & { readonly type: AnyOperationType },
): Promise<Submission> {
  const { id, status } = operation
  if (operation.purged) throw problemError('operation-expired')
  if (!isFinal(status)) throw problemError('operation-unfinished', `Its status is "${status}".`)
  if (status === 'completed' && !(await hasFailedItems(store, operation, type))) {
    throw problemError('not-retryable', 'It has completed.')
  }
  const input = await orUnavailable(store.readPayload(id, 'input'))
  if (input === undefined) throw problemError('not-retryable', 'Its input is missing.')
  const steps = fresh ? [] : await orUnavailable(stepsToKeep(store, operation))
  const { webhookUrl, tags } = operation
  return { ...as(input), idempotencyKey: retryKey(id), retryOf: id, webhookUrl, tags, steps }
}

/** A batch has completed once all of its items have ended: those that did not complete can be submitted again. */
export async function hasFailedItems(
  store: Pick<OperationStore, 'countChildren'>,
  { id }: Operation,
  { batchOf }: AnyOperationType,
): Promise<boolean> {
  if (batchOf === undefined) return false
  const { failed, canceled } = await orUnavailable(store.countChildren(id))
  return failed + canceled > 0
}

/** Of the children, the completed ones alone are kept: the others are submitted again. */
async function stepsToKeep(
  store: OperationStore,
  operation: Operation,
): Promise<(readonly [name: string, value: string])[]> {
  const steps = await store.steps(operation.id)
  if (!hasChildren(operation)) return [...steps]
  const states = ['unfinished', 'failed', 'canceled'] as const
  const again = new Set((await Promise.all(states.map(state => listAllChildren(store, operation.id, state)))).flat())
  return [...steps].map(([name, value]) => [
    name,
    name.startsWith(CHILDREN_STEP) ? withoutChildren(value, again) : value,
  ])
}

function withoutChildren(value: string, ids: ReadonlySet<string>): string {
  return JSON.stringify((JSON.parse(value) as RecordedChild[]).filter(({ id }) => !ids.has(id)))
}

/** The type of an operation that is to run again. */
export function retryType(types: ReadonlyMap<string, AnyOperationType>, { type }: Operation): AnyOperationType {
  const known = types.get(type)
  if (known === undefined) throw problemError('not-retryable', `Its type "${type}" is not known here.`)
  return known
}
