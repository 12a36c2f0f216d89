/** The attempts of one operation, for debugging. */

import type { Attempt } from '../model/operation.ts'
import type { RunningAttempt } from '../service/attempts-of.ts'
import type { Operations } from '../service/operations.ts'
import { type HttpRequest, type HttpResponse, json } from './message.ts'

/**
 * GET /operations/{id}/attempts: the last 50, the oldest first. Their holders are left out, since these name machines.
 */
export async function listAttempts(operations: Operations, { params, owner }: HttpRequest): Promise<HttpResponse> {
  const attempts = await operations.attempts(params.id ?? '', owner)
  return json(200, { items: attempts.map(toDocument) })
}

function toDocument(attempt: Attempt | RunningAttempt) {
  const { number, execution, engine, startedAt, outcome } = attempt
  return {
    number,
    execution: execution ?? undefined,
    engine: engine ?? undefined,
    startedAt: new Date(startedAt).toISOString(),
    ...('finishedAt' in attempt && { finishedAt: new Date(attempt.finishedAt).toISOString() }),
    outcome,
    ...('error' in attempt && { error: attempt.error ?? undefined }),
  }
}
