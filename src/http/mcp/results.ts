/**
 * Turns an operation that has ended into the answer for the caller of a tool: a result, or an error of the protocol.
 */

import { buffer } from 'node:stream/consumers'
import type { BlobReference } from '../../blobs/blob-store.ts'
import type { Operation } from '../../model/operation.ts'
import type { AnyOperationType } from '../../model/operation-type.ts'
import { problem } from '../../model/problem.ts'
import { PROBLEM_TYPE_PREFIX } from '../../model/problem-kinds.ts'
import { linksOf, type Problem } from '../../model/protocol.ts'
import type { Operations } from '../../service/operations.ts'
import { isObject } from '../../util/fields.ts'
import { CODES, type Members, RpcError } from './json-rpc.ts'

/** The media types that a model can read. */
const SHOWN = /^(image|audio|text)\/|^application\/json\b/
/** The most bytes of a result that are sent with the link to it. */
const MAX_SHOWN_BYTES = 256 * 1024
/** The member of `_meta` that holds the problem (RFC 9457) of a failed call. */
const PROBLEM = 'waybill/problem'

/**
 * The result of a tool. What a handler reports as a problem is a result with `isError`: the model can do something
 * about it. A fault of the service is an error of the protocol.
 *
 * @param operation one that has ended
 * @param base what comes before the URL of a result that is not JSON
 * @throws {RpcError} for a fault of the service
 */
export async function toolResult(operations: Operations, operation: Operation, base: string): Promise<Members> {
  const { status, error } = operation
  if (status !== 'completed') return failedResult(error ?? problem('operation-failed'))
  const output = await operations.output(operation)
  if (typeof output !== 'string') return await mediaResult(operations, operation, { output, base })
  return await jsonResult(output, operations.types.get(operation.type))
}

async function jsonResult(text: string, type: AnyOperationType | undefined): Promise<Members> {
  const value: unknown = JSON.parse(text)
  const content = (await type?.tool?.content?.(value)) ?? [
    { type: 'text', text: typeof value === 'string' ? value : text },
  ]
  return { content, structuredContent: isObject(value) ? value : undefined }
}

/**
 * A link. If the bytes are few and a model can read them, they are included, since a model cannot follow a link by
 * itself.
 */
async function mediaResult(
  operations: Operations,
  { id, type }: Operation,
  { output, base }: { output: BlobReference; base: string },
): Promise<Members> {
  const { filename, type: mimeType, length: size } = output
  // A link must be absolute. Without a known host of the server, only a name is given.
  const uri = URL.parse(base) !== null ? linksOf(base, type, id).result : `urn:uuid:${id}`
  const link = { type: 'resource_link', uri, name: filename ?? id, mimeType, size }
  const shown = SHOWN.exec(mimeType)
  if (shown === null || size > MAX_SHOWN_BYTES) return { content: [link] }
  const [, kind] = shown
  const bytes = await buffer(await operations.content(output))
  if (kind === 'image' || kind === 'audio') {
    return { content: [link, { type: kind, data: bytes.toString('base64'), mimeType }] }
  }
  return { content: [link, { type: 'resource', resource: { uri, mimeType, text: bytes.toString('utf8') } }] }
}

function failedResult(error: Problem): Members {
  if (isOwn(error) && error.code !== 'operation-canceled') throw faultOf(error)
  return errorResult(error)
}

/** A result that tells the model what went wrong. */
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

/** Whether the problem comes from the service and not from a handler. */
export function isOwn({ type }: Problem): boolean {
  return type.startsWith(PROBLEM_TYPE_PREFIX)
}
