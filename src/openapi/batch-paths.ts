/**
 * Describes what batches have in addition to other operation types: requests as lines of JSON, and the results of the
 * items.
 */
import type { AnyOperationType, JsonSchema } from '../model/operation-type.ts'
import type { ProblemCode } from '../model/problem-kinds.ts'
import { headerParameters, headers, ID } from './components.ts'
import { type MediaType, type OperationObject, type Parameter, type PathItem, pascal } from './model.ts'
import { EXAMPLE_ID, READ_PROBLEMS, troubleResponses } from './responses.ts'

/** The media type of lines of JSON. */
export const NDJSON = 'application/x-ndjson'

const LINES: JsonSchema = { type: 'string', description: 'One item in each line, as JSON.' }

/** The body of a request with one item in each line. */
export const ITEM_LINES: MediaType = { schema: LINES }

const PARAMETERS: readonly Parameter[] = [
  {
    name: 'after',
    in: 'query',
    description: 'Return the items after the item with this index.',
    schema: { type: 'integer', minimum: 0, maximum: 999_999 },
  },
  {
    name: 'limit',
    in: 'query',
    description: 'The maximum number of items to return.',
    schema: { type: 'integer', minimum: 1, maximum: 999_999 },
  },
]

const PROBLEMS: readonly ProblemCode[] = [...READ_PROBLEMS, 'invalid-request']

/** The results of a batch. */
export function batchPaths(type: AnyOperationType, base: string): Record<string, PathItem> {
  return type.batchOf === undefined ? {} : { [`/${type.name}/{id}/results`]: { get: results(type, base) } }
}

function results(type: AnyOperationType, base: string): OperationObject {
  const item = { index: 0, id: EXAMPLE_ID, url: `${base}/${type.batchOf?.name}/${EXAMPLE_ID}` }
  const example = [
    { ...item, status: 'completed', output: null },
    { ...item, index: 1, status: 'failed', error: { code: 'invalid-input', status: 400 } },
  ]
  const schema: JsonSchema = {
    type: 'string',
    description:
      'One item in each line, as JSON: "index" in the batch, "id", "url" of its result, "status", and "output" or "error".',
  }
  return {
    operationId: `list${pascal(type)}Results`,
    tags: [type.name],
    summary: `List the items of a ${type.name} operation`,
    description:
      'In the order of the input. While the batch runs, items that have not finished are listed with their status.',
    parameters: [ID, ...PARAMETERS, ...headerParameters('list')],
    responses: {
      200: {
        description: 'The items, one in each line.',
        headers: headers(['Link?', 'Cache-Control']),
        content: { [NDJSON]: { schema, example: example.map(line => `${JSON.stringify(line)}\n`).join('') } },
      },
      ...troubleResponses({ problems: PROBLEMS }),
    },
  }
}
