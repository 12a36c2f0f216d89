/** JSON-RPC 2.0 messages, as MCP uses them: requests, responses and errors. */

import { problemError } from '../../model/problem.ts'
import { fieldsOf, isObject } from '../../util/fields.ts'

export type RequestId = string | number

/** The members of a JSON object. */
export type Members = Readonly<Record<string, unknown>>

/** A request, a notification (which has no `id`), or the response to a request that the server has sent. */
export type Message =
  | { readonly kind: 'request'; readonly id: RequestId; readonly method: string; readonly params: Members }
  | { readonly kind: 'notification'; readonly method: string; readonly params: Members }
  | { readonly kind: 'response'; readonly id: RequestId; readonly result: Members | undefined }

/** The error codes of JSON-RPC and of MCP. */
export const CODES = {
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  headerMismatch: -32020,
  missingCapability: -32021,
  unsupportedVersion: -32022,
  parseError: -32700,
  /** Only in revisions before 2026-07-28. */
  resourceNotFound: -32002,
} as const

/** An error that becomes the answer to a request. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: number
  readonly data: unknown
  /** The HTTP status of the answer, if the answer is not streamed. */
  readonly status: number

  constructor(code: number, message: string, { data, status = 200 }: { data?: unknown; status?: number } = {}) {
    super(message)
    this.code = code
    this.data = data
    this.status = status
  }
}

/** @throws {RpcError} where it is not a message */
export function readMessage(value: unknown): Message {
  if (Array.isArray(value)) throw invalid('Send one message in each request: this server does not take batches.')
  const { jsonrpc, id, method, params = {}, result, error } = fieldsOf(value)
  if (jsonrpc !== '2.0') throw invalid('It is not a JSON-RPC 2.0 message.')
  if (id !== undefined && !isRequestId(id)) throw invalid('"id" must be a string or a whole number.')
  if (typeof method !== 'string') {
    if (id === undefined || (result === undefined && error === undefined)) throw invalid('"method" is missing.')
    return { kind: 'response', id, result: isObject(result) ? result : undefined }
  }
  if (!isObject(params)) throw invalid('"params" must be an object.')
  return id === undefined ? { kind: 'notification', method, params } : { kind: 'request', id, method, params }
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === 'string' || Number.isInteger(id)
}

function invalid(message: string): RpcError {
  return new RpcError(CODES.invalidRequest, message, { status: 400 })
}

/** A response with a result. */
export function resultMessage(id: RequestId, result: Members): Members {
  return { jsonrpc: '2.0', id, result }
}

/** A response with an error; without `id` if the request could not be read. */
export function errorMessage(id: RequestId | undefined, { code, message, data }: RpcError): Members {
  return { jsonrpc: '2.0', id, error: { code, message, data } }
}

/** A notification. */
export function notification(method: string, params: Members): Members {
  return { jsonrpc: '2.0', method, params }
}

/** @throws {ProblemError} `invalid-request` where the parameter is not a string */
export function stringParam(params: Members, name: string): string {
  const value = params[name]
  if (typeof value === 'string') return value
  throw problemError('invalid-request', `"params.${name}" must be a string.`)
}
