/** Adds results that are not JSON to the description of an API that can have them. */
import type { AnyOperationType } from '../model/operation-type.ts'
import { type HeaderUse, headerParameters, headers } from './components.ts'
import type { OperationObject, PathItem, ResponseObject, Responses } from './model.ts'
import { troubleResponses } from './responses.ts'

const MAYBE: readonly HeaderUse[] = [
  'Accept-Ranges?',
  'Content-Disposition?',
  'Content-Security-Policy?',
  'X-Content-Type-Options?',
]
const PART: readonly HeaderUse[] = [
  'Content-Range',
  'ETag',
  'Expires',
  'Cache-Control',
  'Accept-Ranges',
  'Content-Disposition?',
  'Content-Security-Policy',
  'X-Content-Type-Options',
]
const BYTES = { '*/*': { schema: { description: 'The bytes of a result that is not JSON, in its own media type.' } } }

/** Adds such results to every response that can carry a result. */
export function withMedia(
  paths: Readonly<Record<string, PathItem>>,
  types: readonly AnyOperationType[],
): Record<string, PathItem> {
  const changed = types.flatMap(({ name }) => {
    const [submit, status, result] = [`/${name}`, `/${name}/status/{id}`, `/${name}/{id}`] as const
    return [
      [submit, change(paths[submit], 'post', inFull)],
      [status, change(paths[status], 'get', inFull)],
      [result, change(paths[result], 'get', inParts)],
    ] as const
  })
  return { ...paths, ...Object.fromEntries(changed) }
}

function change(item: PathItem = {}, method: 'get' | 'post', by: (it: OperationObject) => OperationObject): PathItem {
  const operation = item[method]
  return operation === undefined ? item : { ...item, [method]: by(operation) }
}

function inFull(operation: OperationObject): OperationObject {
  return { ...operation, responses: withBytes(operation.responses) }
}

function inParts(operation: OperationObject): OperationObject {
  const { 304: known, ...responses } = withBytes(operation.responses)
  const part: ResponseObject = {
    description: 'The requested range of the result.',
    headers: headers(PART),
    content: BYTES,
  }
  const outside = troubleResponses({ problems: ['range-not-satisfiable'], headers: { 416: ['Content-Range'] } })
  return {
    ...operation,
    parameters: [...(operation.parameters ?? []), ...headerParameters('result', { needs: 'blobs' })],
    responses: { ...responses, ...(known && { 304: withHeaders(known) }), 206: part, ...outside },
  }
}

function withBytes(responses: Responses): Responses {
  const { 200: ok } = responses
  return ok === undefined
    ? responses
    : { ...responses, 200: { ...withHeaders(ok), content: { ...ok.content, ...BYTES } } }
}

function withHeaders(response: ResponseObject): ResponseObject {
  return { ...response, headers: { ...response.headers, ...headers(MAYBE) } }
}
