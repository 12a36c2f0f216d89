/** What an operation that has ended is to the caller of a tool: a result, or an error of the protocol. */
import type { BlobReference } from '../blobs/blob-store.ts'
import type { Operation } from '../model/operation.ts'
import { PROBLEM_TYPE_PREFIX, problem } from '../model/problem.ts'
import { linksOf, type Problem } from '../model/protocol.ts'
import type { Operations } from '../service/operations.ts'
import { CODES, isObject, type Members, RpcError } from './json-rpc.ts'

/** The member of `_meta` that holds the problem (RFC 9457) of a failed call. */
const PROBLEM = 'waybill/problem'

/**
 * The result of a tool. What a handler reports as a problem is a result with `isError`: the model can do something
 * about it. A fault of the service is an error of the protocol.
 *
 * @param operation one that has ended
 * @param base what stands before the URL of a result that is not JSON
 * @throws {RpcError} for a fault of the service
 */
export async function toolResult(operations: Operations, operation: Operation, base: string): Promise<Members> {
  const { status, error } = operation
  if (status !== 'completed') return failedResult(error ?? problem('operation-failed'))
  const output = await operations.output(operation)
  return typeof output === 'string' ? jsonResult(output) : mediaResult(operation, output, base)
}

function jsonResult(text: string): Members {
  const value: unknown = JSON.parse(text)
  return {
    content: [{ type: 'text', text: typeof value === 'string' ? value : text }],
    structuredContent: isObject(value) ? value : undefined,
  }
}

function mediaResult({ id, type }: Operation, blob: BlobReference, base: string): Members {
  const link = {
    type: 'resource_link',
    uri: linksOf(base, type, id).result,
    name: blob.filename ?? id,
    mimeType: blob.type,
    size: blob.length,
  }
  return { content: [link] }
}

function failedResult(error: Problem): Members {
  if (isOwn(error) && error.code !== 'operation-canceled') throw faultOf(error)
  return errorResult(error)
}

/** A result that says what went wrong, for the model to read. */
export function errorResult(error: Problem): Members {
  return { isError: true, content: [{ type: 'text', text: describeProblem(error) }], _meta: { [PROBLEM]: error } }
}

/** A problem of the service as an error of the protocol. */
export function faultOf(error: Problem, status = 200): RpcError {
  return new RpcError(CODES.internalError, describeProblem(error), { data: { problem: error }, status })
}

/** A problem in one paragraph. */
export function describeProblem({ title, detail, errors = [] }: Problem): string {
  const places = errors.map(({ pointer, detail }) => `${pointer === '' ? 'The input' : pointer}: ${detail}`)
  return [detail === undefined ? title : `${title}. ${detail}`, ...places].join('\n')
}

/** Whether the service has reported it, and not a handler. */
function isOwn({ type }: Problem): boolean {
  return type.startsWith(PROBLEM_TYPE_PREFIX)
}
