/**
 * The contract of a dialect: a way to speak 202 over HTTP that a family of clients expects.
 * `dialects/` holds the implementations.
 */

import type { Operation } from '../../model/operation.ts'
import type { AnyOperationType } from '../../model/operation-type.ts'
import type { StatusDocument } from '../../model/protocol.ts'
import type { HttpResponse } from '../message.ts'

/** What a dialect answers from. */
export interface OperationView {
  readonly operation: Operation
  readonly type: AnyOperationType
  readonly document: StatusDocument
  /** The answer of the result URL. */
  result(): Promise<HttpResponse>
  /** The output as JSON text, undefined where it is no JSON; only of one that is completed. */
  output(): Promise<string | undefined>
}

/** Answers about one operation. */
export interface Dialect {
  /** A GET on the status URL. */
  status(view: OperationView): Promise<HttpResponse>
  /** A cancel that was done, or that the running handler is told of. */
  canceled(view: OperationView): Promise<HttpResponse>
}
