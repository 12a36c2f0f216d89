/**
 * 202 with `Location` and `Retry-After` until the operation is finished, and then its result at the same
 * URL: what Logic Apps, Durable Functions, OData, FHIR and ARM pollers expect.
 */

import { formatRetryAfter, isFinal } from '../../model/protocol.ts'
import { DIALECT_DESCRIPTIONS } from '../../openapi/dialects.ts'
import { type HttpResponse, json } from '../message.ts'
import type { Dialect, OperationView } from './dialect.ts'

export const accepted: Dialect = {
  isRepeatable: true,
  describe: DIALECT_DESCRIPTIONS.accepted,
  status: async view => (isFinal(view.operation.status) ? await view.result() : pending(view)),
  cancel: async view => pending(view),
}

function pending({ document }: OperationView): HttpResponse {
  const { progress } = document
  const percent = progress === undefined ? document.status : `${Math.round(progress.fraction * 100)}%`
  return json(202, document, {
    Location: document.links.status,
    'Retry-After': formatRetryAfter(document.retryAfter * 1000),
    'X-Progress': shortAscii(`${percent} ${progress?.message ?? ''}`),
  })
}

/** FHIR wants fewer than 100 characters, and a header can only hold printable ASCII. */
function shortAscii(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .trim()
    .slice(0, 99)
}
