/**
 * The contract of a dialect: how an API answers the requests about one operation, in the form that a family of clients
 * expects. Its neighbors are the built-in dialects.
 */

import type { Operation } from '../../model/operation.ts'
import type { AnyOperationType } from '../../model/operation-type.ts'
import type { StatusDocument } from '../../model/protocol.ts'
import type { DescribedDialect } from '../../openapi/model.ts'
import type { HttpResponse } from '../message.ts'

/** The operation that a dialect answers about. */
export interface OperationView {
  readonly operation: Operation
  readonly type: AnyOperationType
  /** The status document, as the dialect `redirect` sends it. */
  readonly document: StatusDocument
  /** Makes the response of the result URL: 404 until the operation finishes. */
  result(): Promise<HttpResponse>
  /** Reads the output of a completed operation as JSON text; undefined if the output is not JSON. */
  output(): Promise<string | undefined>
}

/**
 * A dialect. It decides status codes, headers and bodies, and describes them for OpenAPI. Waybill adds `ETag`, `Vary`,
 * `Preference-Applied` and `Cache-Control`, answers conditional requests and event streams, and refuses with problems.
 * A method that rejects is answered with 500.
 */
export interface Dialect extends DescribedDialect {
  /**
   * Whether the answer about an unfinished operation depends only on its record and its status document. Then it is
   * sent again, without a call of `status`, until one of them changes. Default false.
   */
  readonly isRepeatable?: boolean
  /** Answers a GET of the status URL. */
  status(view: OperationView): Promise<HttpResponse>
  /** Answers a cancel that was done, or that the running handler will receive. */
  cancel(view: OperationView): Promise<HttpResponse>
}
