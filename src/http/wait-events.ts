/** Events for operations whose handlers wait: reading what a handler waits for, and sending the event. */
import { parseJson } from '../model/json.ts'

import type { Operations } from '../service/operations.ts'
import { toWaitDocument } from '../service/status-document.ts'
import { assertConditions } from './conditional.ts'
import { type HttpRequest, type HttpResponse, json } from './message.ts'

/** GET /operations/{id}/events/{name} */
export async function readWait(
  operations: Operations,
  base: string,
  { params, owner }: HttpRequest,
): Promise<HttpResponse> {
  const { id = '', name = '' } = params
  return json(200, toWaitDocument(await operations.openWait(id, name, owner), `${base}/operations/${id}`))
}

/** POST /operations/{id}/events/{name} */
export async function sendEvent(operations: Operations, request: HttpRequest): Promise<HttpResponse> {
  const { id = '', name = '' } = request.params
  assertConditions(request)
  await operations.sendEvent(id, { name, value: parseJson(request.body ?? ''), owner: request.owner })
  return json(202, { id, name })
}

/** POST /operations/{id}/callbacks/{token} */
export async function sendCallback(operations: Operations, request: HttpRequest): Promise<HttpResponse> {
  const { id = '', token = '' } = request.params
  assertConditions(request)
  await operations.sendCallback(id, token, parseJson(request.body ?? ''))
  return json(202, { id })
}
