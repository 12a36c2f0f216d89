/** Sends the webhook of an operation once more. */
import { problemError } from '../model/problem.ts'
import { orUnavailable } from '../service/unavailable.ts'
import type { Store } from '../stores/store.ts'
import { DELIVERY_TYPE, type DeliveryInput } from '../webhooks/delivery.ts'
import type { History } from '../webhooks/history.ts'
import type { Done } from './acts.ts'

/** The history of deliveries. */
export interface ReplayContext {
  readonly store: Pick<Store, 'read' | 'readPayload'>
  readonly history: History
  /** Whether this process delivers, so that it knows the content of the first delivery of an operation. */
  readonly delivers: boolean
}

/**
 * Sends it.
 *
 * @param id the id of the operation, or of any of its deliveries
 * @param since a delivery that was accepted since then is returned, and nothing more is sent
 * @throws {ProblemError} `not-found`, `no-webhook`, `not-finished`, `too-many-requests`
 */
export async function replayWebhook(
  { store, history, delivers }: ReplayContext,
  id: string,
  since?: number,
): Promise<Done> {
  const { operation, owner } = await toldOf(store, id)
  const known = await orUnavailable(history.list(operation, owner))
  if (known.length === 0 && !delivers) throw problemError('no-webhook', 'Nothing has been delivered yet.')
  const delivery = await orUnavailable(history.redeliver(operation, owner, since))
  return { count: 1, detail: `The delivery is ${delivery.id}.`, delivery }
}

/** The operation of a delivery, or the operation itself. */
async function toldOf(store: ReplayContext['store'], id: string): Promise<Pick<DeliveryInput, 'operation' | 'owner'>> {
  const found = await orUnavailable(store.read(id))
  if (found === undefined) throw problemError('not-found')
  if (found.type !== DELIVERY_TYPE) return { operation: id, owner: found.owner }
  const told = await orUnavailable(store.readPayload(id, 'input'))
  if (told === undefined) throw problemError('not-found')
  return JSON.parse(told) as DeliveryInput
}
