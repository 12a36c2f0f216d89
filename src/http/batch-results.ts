/** GET /orders/batches/{id}/results: the items of a batch in the order of its input, a line of JSON each (NDJSON). */
import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { ProblemError, problemError } from '../model/problem.ts'
import { linksOf } from '../model/protocol.ts'
import { NDJSON } from '../openapi/batch-paths.ts'
import { type BatchItem, listBatchItems } from '../service/batch-items.ts'
import type { Operations } from '../service/operations.ts'
import type { HttpRequest, HttpResponse } from './message.ts'

/** Where results come from. */
interface BatchResults {
  readonly operations: Operations
  /** The type of the batch. */
  readonly type: AnyOperationType
  /** What comes before every URL that is sent to a client. */
  readonly base: string
}

/** How many items are read at once. */
const READ_AT_ONCE = 32

/**
 * Answers with all items that have been submitted so far. While the batch runs, unfinished items are included.
 *
 * @throws {ProblemError} `not-found`, `operation-expired`, `invalid-request`
 */
export async function batchResults(
  { operations, type, base }: BatchResults,
  request: HttpRequest,
): Promise<HttpResponse> {
  const batch = await operations.find(request.params.id ?? '', request.owner, type)
  const { after, limit } = readQuery(request.query)
  const { items, isLast } = await listBatchItems(operations, batch, { after, limit })
  const headers = { 'Content-Type': NDJSON, 'Cache-Control': 'private, no-cache' }
  const last = items.at(-1)?.index
  const url = `${base}/${type.name}/${batch.id}/results?after=${last}&limit=${limit}`
  const next = isLast ? {} : { Link: `<${url}>; rel="next"` }
  const links = (id: string) => linksOf(base, type.batchOf?.name ?? '', id)
  const lineOf = async ({ index, id }: BatchItem) => {
    const { result: url } = links(id)
    return `${JSON.stringify({ index, id, url, ...(await readItem(operations, id, batch.owner)) })}\n`
  }
  return { status: 200, headers: { ...headers, ...next }, body: lines(items, lineOf) }
}

async function* lines(
  items: readonly BatchItem[],
  lineOf: (item: BatchItem) => Promise<string>,
): AsyncIterable<string> {
  for (let first = 0; first < items.length; first += READ_AT_ONCE) {
    yield (await Promise.all(items.slice(first, first + READ_AT_ONCE).map(lineOf))).join('')
  }
}

async function readItem(operations: Operations, id: string, owner: string): Promise<object> {
  try {
    const item = await operations.find(id, owner)
    return { status: item.status, ...(await endOf(operations, item)) }
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error
    return { error: error.problem }
  }
}

/** A result that is not JSON is read from its own URL. */
async function endOf(operations: Operations, item: Operation): Promise<object> {
  if (item.error !== null) return { error: item.error }
  if (item.status !== 'completed') return {}
  const output = await operations.output(item)
  return typeof output === 'string' ? { output: JSON.parse(output) as unknown } : {}
}

/** The largest page, which is more than any batch has. */
const MAX_LIMIT = 100_000

function readQuery(query: URLSearchParams): { readonly after: number; readonly limit: number } {
  const read = (name: string, fallback: number) => {
    const text = query.get(name)
    if (text === null) return fallback
    if (/^\d{1,6}$/.test(text) && (name === 'after' || Number(text) > 0)) return Number(text)
    throw problemError('invalid-request', `${name} must be a whole number, not ${JSON.stringify(text.slice(0, 50))}.`)
  }
  return { after: read('after', -1), limit: Math.min(read('limit', MAX_LIMIT), MAX_LIMIT) }
}
