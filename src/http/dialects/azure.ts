/**
 * The status monitor of the Azure REST guidelines: always 200, the outcome in the body. For
 * pollers of the Azure SDKs, and for browsers that must not be redirected.
 */

import type { Status } from '../../model/protocol.ts'
import { formatRetryAfter, isFinal } from '../../model/protocol.ts'
import { DIALECT_DESCRIPTIONS } from '../../openapi/dialects.ts'
import { type HttpResponse, json } from '../message.ts'
import type { Dialect, OperationView } from './dialect.ts'

const STATUS_NAMES: Record<Status, string> = {
  pending: 'NotStarted',
  running: 'Running',
  completed: 'Succeeded',
  failed: 'Failed',
  canceled: 'Canceled',
}

export const azure: Dialect = {
  isRepeatable: true,
  describe: DIALECT_DESCRIPTIONS.azure,
  status: monitor,
  cancel: monitor,
}

async function monitor(view: OperationView): Promise<HttpResponse> {
  const { document, operation } = view
  const { id, progress, error } = document
  const completed = operation.status === 'completed'
  const body = {
    id,
    status: STATUS_NAMES[operation.status],
    createdDateTime: document.createdAt,
    lastActionDateTime: document.updatedAt,
    percentComplete: completed ? 100 : Math.round((progress?.fraction ?? 0) * 100),
    ...(completed && { resourceLocation: document.links.result, ...(await resultOf(view)) }),
    ...(error && { error: { code: error.code ?? String(error.status), message: error.detail ?? error.title } }),
  }
  const retryAfter = { 'Retry-After': formatRetryAfter(document.retryAfter * 1000) }
  return json(200, body, isFinal(operation.status) ? {} : retryAfter)
}

/** A result that is not JSON is available only at `resourceLocation`. */
async function resultOf(view: OperationView): Promise<{ result?: unknown }> {
  const output = await view.output()
  return output === undefined ? {} : { result: JSON.parse(output) }
}
