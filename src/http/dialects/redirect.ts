/**
 * The default dialect: 200 with `Retry-After` while the operation is not finished, 303 See Other to
 * the result when it is. The article's, JSON:API's and the Azure Architecture Center's.
 */

import { formatRetryAfter, isFinal } from '../../model/protocol.ts'
import { DIALECT_DESCRIPTIONS } from '../../openapi/dialects.ts'
import { json } from '../message.ts'
import type { Dialect } from './dialect.ts'

export const redirect: Dialect = {
  isRepeatable: true,
  describe: DIALECT_DESCRIPTIONS.redirect,
  status: async ({ document }) => {
    if (isFinal(document.status)) return json(303, document, { Location: document.links.result })
    return json(200, document, { 'Retry-After': formatRetryAfter(document.retryAfter * 1000) })
  },
  cancel: async ({ document }) => {
    if (isFinal(document.status)) return json(200, document)
    return json(202, document, {
      Location: document.links.status,
      'Retry-After': formatRetryAfter(document.retryAfter * 1000),
    })
  },
}
