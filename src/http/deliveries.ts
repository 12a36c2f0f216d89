/** The webhook deliveries of one operation: their state, and sending the event once more. */

import { isFinal } from '../model/protocol.ts'
import type { Delivery } from '../webhooks/history.ts'
import type { Webhooks } from '../webhooks/webhooks.ts'
import { assertConditions, isConditional } from './conditional.ts'
import { type HttpRequest, type HttpResponse, json } from './message.ts'

/** GET /operations/{id}/deliveries */
export async function listDeliveries(webhooks: Webhooks, { params, owner }: HttpRequest): Promise<HttpResponse> {
  const deliveries = await webhooks.deliveries(params.id ?? '', owner)
  return json(200, { items: deliveries.map(toDocument) })
}

/** POST /operations/{id}/deliveries */
export async function redeliver(webhooks: Webhooks, request: HttpRequest): Promise<HttpResponse> {
  const { params, owner } = request
  if (isConditional(request)) {
    await webhooks.deliveries(params.id ?? '', owner)
    assertConditions(request)
  }
  return json(202, toDocument(await webhooks.redeliver(params.id ?? '', owner)))
}

function toDocument(delivery: Delivery) {
  const time = (at: number | null) => (at === null ? undefined : new Date(at).toISOString())
  return {
    ...delivery,
    createdAt: time(delivery.createdAt),
    nextAttemptAt: isFinal(delivery.status) ? undefined : time(delivery.nextAttemptAt),
    finishedAt: time(delivery.finishedAt),
    attempts: delivery.attempts.map(({ number, startedAt, finishedAt, outcome, answerStatus, error }) => ({
      number,
      startedAt: time(startedAt),
      finishedAt: time(finishedAt),
      outcome,
      answerStatus: answerStatus ?? undefined,
      error: error ?? undefined,
    })),
  }
}
