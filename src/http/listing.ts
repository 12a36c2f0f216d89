/** GET /orders: the caller's own operations, newest first, page by page. */

import type { Operation } from '../model/operation.ts'
import { problemError } from '../model/problem.ts'
import { DEFAULT_PAGE_LIMIT, MAX_PAGE_LIMIT, STATUSES, type Status } from '../model/protocol.ts'
import type { ListRequest, Operations } from '../service/operations.ts'
import { type HttpRequest, type HttpResponse, jsonText } from './message.ts'
import type { Resource } from './resource.ts'

/** Bytes of JSON after which a page ends: a document may hold a problem from a handler, and be about 20 KiB long. */
export const PAGE_BYTES: number = 512 * 1024

/** How many records are read at once: enough for most pages, and not many too many if a page ends early. */
const READ_AT_ONCE = DEFAULT_PAGE_LIMIT + 1

/** Where a list comes from. */
interface Listing {
  readonly operations: Operations
  readonly resource: Resource
  /** The URL of the list as clients see it. */
  readonly path: string
}

/**
 * Answers with a page, which ends at the limit that is asked for, or earlier once it has {@link PAGE_BYTES}. A cursor
 * names the last operation of the page before, so that pages stay correct while operations are added and deleted.
 */
export async function list(listing: Listing, request: HttpRequest): Promise<HttpResponse> {
  const { items, last } = await readPage(listing, { ...readQuery(request.query), owner: request.owner })
  // Each document is JSON already, since its size was needed.
  const text = `"items":[${items.join(',')}]`
  if (last === undefined) return jsonText(200, `{${text}}`)
  const query = new URLSearchParams(request.query)
  query.set('cursor', Buffer.from(last.replaceAll('-', ''), 'hex').toString('base64url'))
  const next = `${listing.path}?${query}`
  return jsonText(200, `{${text},"next":${JSON.stringify(next)}}`, { Link: `<${next}>; rel="next"` })
}

type PageRequest = ListRequest & { readonly limit: number }

/** @returns documents as JSON text, and the id of the last operation of the page where another page follows */
async function readPage(listing: Listing, asked: PageRequest): Promise<{ items: readonly string[]; last?: string }> {
  const items: string[] = []
  let [seen, bytes, last] = [0, 0, '']
  for await (const operation of newestFirst(listing, asked)) {
    if (seen === asked.limit || bytes >= PAGE_BYTES) return { items, last }
    seen++
    last = operation.id
    // The store lists operations past their retention while their record exists; for clients they no longer exist.
    if (operation.purged) continue
    const item = JSON.stringify(await listing.resource.document(operation))
    items.push(item)
    bytes += Buffer.byteLength(item)
  }
  return { items }
}

/** Reads one more than requested: if it exists, another page follows. */
async function* newestFirst({ operations, resource }: Listing, asked: PageRequest): AsyncIterable<Operation> {
  let { after } = asked
  for (let left = asked.limit + 1; left > 0; ) {
    const limit = Math.min(left, READ_AT_ONCE)
    const found = await operations.list(resource.type, { ...asked, limit, after })
    yield* found
    if (found.length < limit) return
    left -= limit
    after = found.at(-1)?.id
  }
}

function readQuery(query: URLSearchParams): PageRequest {
  const status = query.get('status')
  if (status !== null && !isStatus(status)) {
    throw problemError(
      'invalid-request',
      `status is one of ${STATUSES.join(', ')}, not ${JSON.stringify(status.slice(0, 50))}.`,
    )
  }
  const limit = query.get('limit') ?? String(DEFAULT_PAGE_LIMIT)
  if (!/^\d{1,3}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_PAGE_LIMIT) {
    throw problemError('invalid-request', `limit is a whole number from 1 to ${MAX_PAGE_LIMIT}.`)
  }
  const cursor = query.get('cursor')
  return {
    limit: Number(limit),
    status: status ?? undefined,
    after: cursor === null ? undefined : readCursor(cursor),
  }
}

function readCursor(cursor: string): string {
  const hex = Buffer.from(cursor, 'base64url').toString('hex')
  if (!/^[\w-]{22}$/.test(cursor) || hex.length !== 32) {
    throw problemError('invalid-request', 'cursor must be taken from the link to the next page.')
  }
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function isStatus(text: string): text is Status {
  return (STATUSES as readonly string[]).includes(text)
}
