/** Runs an operation that has ended without a result again, as a new operation that refers to the old one. */
import { hasChildren, type Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import type { Submission } from '../model/submission.ts'
import { CHILDREN_STEP, isMissedEvent, type RecordedChild } from '../model/waits.ts'
import { listAllChildren } from '../stores/list-all-children.ts'
import type { OperationStore } from '../stores/store.ts'
import { orUnavailable } from './unavailable.ts'

/** Options of a retry. */
export interface RetryOptions {
  /** Whether recorded steps are run again too. Default false: work that was recorded is not repeated. */
  readonly fresh?: boolean | undefined
}

/**
 * The idempotency key of a retry, so that two clicks create only one. It contains an arrow, which no key of a request
 * can contain. A retry that failed is retried under its own id, so it gets another key.
 */
function retryKey(id: string): string {
  return `retry \u2192 ${id}`
}

/**
 * Makes the submission that runs an operation again, with its input, owner, webhook, tags and, unless it is to be fresh,
 * its recorded steps.
 *
 * @param as the submission that the type makes by default
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

/**
 * Of the recorded children, only those that completed are kept: the others are submitted again. An event that did not
 * come in time is waited for again.
 */
async function stepsToKeep(
  store: OperationStore,
  operation: Operation,
): Promise<(readonly [name: string, value: string])[]> {
  const steps = [...(await store.steps(operation.id))].filter(([name, value]) => !isMissedEvent(name, value))
  if (!hasChildren(operation)) return steps
  const states = ['unfinished', 'failed', 'canceled'] as const
  const again = new Set((await Promise.all(states.map(state => listAllChildren(store, operation.id, state)))).flat())
  return steps.map(([name, value]) => [name, name.startsWith(CHILDREN_STEP) ? withoutChildren(value, again) : value])
}

function withoutChildren(value: string, ids: ReadonlySet<string>): string {
  return JSON.stringify((JSON.parse(value) as RecordedChild[]).filter(({ id }) => !ids.has(id)))
}

/** The type of an operation that will run again. */
export function retryType(types: ReadonlyMap<string, AnyOperationType>, { type }: Operation): AnyOperationType {
  const known = types.get(type)
  if (known === undefined) throw problemError('not-retryable', `Its type "${type}" is not known here.`)
  return known
}
