/** Decides on which of the matching operations a bulk run acts, and why it passes over the others. */
import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { isFinal } from '../model/protocol.ts'
import { hasFailedItems } from '../service/retries.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { fitsQuery } from '../stores/browsing.ts'
import type { Store } from '../stores/store.ts'
import { DELIVERY_TYPE } from '../webhooks/delivery.ts'
import type { Bulk } from './acts.ts'
import type { PassReason } from './pass-reasons.ts'
import { isSelection } from './target.ts'
import type { BulkAction, BulkTarget } from './views.ts'

/** What the decision needs. */
export interface PassContext {
  readonly store: Store
  /** The types that this process declares, by their names. */
  readonly types: ReadonlyMap<string, AnyOperationType>
}

type Acts = Pick<Bulk, 'action' | 'types' | 'target'>
type Decide = (context: PassContext, acts: Acts, operation: Operation) => Promise<PassReason | undefined>

const DECIDE: Readonly<Record<BulkAction, Decide>> = {
  cancel: async (_, __, { status, cancelRequested }) => {
    if (isFinal(status)) return 'ended'
    return cancelRequested ? 'canceling' : undefined
  },
  delete: async (_, __, { status }) => (isFinal(status) ? undefined : 'unfinished'),
  replay: async (_, __, { type, webhookUrl, status }) => {
    if (type !== DELIVERY_TYPE && webhookUrl === null) return 'no-webhook'
    return isFinal(status) ? undefined : 'unfinished'
  },
  retry: async (context, acts, operation) =>
    (await cannotRetry(context, acts, operation)) ??
    ((await isRetriedWithParent(context, acts, operation)) ? 'with-parent' : undefined),
}

/** Why an action does not apply to a matching operation in its current state; undefined if it applies. */
export async function passReason(
  context: PassContext,
  acts: Acts,
  operation: Operation,
): Promise<PassReason | undefined> {
  return operation.purged ? 'deleted' : await DECIDE[acts.action](context, acts, operation)
}

async function cannotRetry(
  { store, types }: PassContext,
  acts: Acts,
  operation: Operation,
): Promise<PassReason | undefined> {
  const { status, retriedBy, type } = operation
  if (!isFinal(status)) return 'unfinished'
  if (retriedBy !== null) return 'retried'
  const declared = acts.types.includes(type) ? types.get(type) : undefined
  if (status === 'completed' && !(declared && (await hasFailedItems(store, operation, declared)))) return 'completed'
  return declared === undefined ? 'unknown-type' : undefined
}

/**
 * The retry of a parent submits again those of its children that did not complete. To retry these, too, would run them
 * twice.
 */
async function isRetriedWithParent(context: PassContext, acts: Acts, operation: Operation): Promise<boolean> {
  const parent = operation.parent === null ? undefined : await orUnavailable(context.store.read(operation.parent))
  if (parent === undefined) return false
  if (parent.retriedBy !== null) return true
  if (parent.purged || !isMeant(acts.target, parent)) return false
  return (await cannotRetry(context, acts, parent)) === undefined || (await isRetriedWithParent(context, acts, parent))
}

/** Whether an operation is one of those that an action is for, as far as its record shows. */
export function isMeant(target: BulkTarget, operation: Operation): boolean {
  return isSelection(target) ? target.ids.includes(operation.id) : fitsQuery({ ...target, limit: 1 }, operation)
}
