/** GET /orders: the caller's own operations, newest first, page by page. */
import { type HttpRequest, type HttpResponse, json } from '../message.ts'
import type { ListRequest, Operations } from '../operations.ts'
import { problemError } from '../problem.ts'
import { HEADERS, STATUSES, type Status } from '../protocol.ts'
import type { Resource } from './resource.ts'

export const DEFAULT_LIMIT = 50
export const MAX_LIMIT = 200

/**
 * Answers with a page. A cursor names the last operation of the page before, so that a page stays
 * right while operations come and go.
 *
 * @param path the URL of the list as it is told to clients
 */
export async function list(
  { operations, resource, path }: { operations: Operations; resource: Resource; path: string },
  request: HttpRequest,
): Promise<HttpResponse> {
  const asked = readQuery(request.query)
  // One more than asked for tells whether there is a next page.
  const found = await operations.list(resource.type, { ...asked, owner: request.owner, limit: asked.limit + 1 })
  const page = found.slice(0, asked.limit)
  // What is past its retention is listed by the store while its record stays; to a client it is gone.
  const items = await Promise.all(page.filter(({ purged }) => !purged).map(operation => resource.document(operation)))
  const last = page.at(-1)
  if (found.length <= asked.limit || last === undefined) return json(200, { items })
  const query = new URLSearchParams(request.query)
  query.set('cursor', Buffer.from(last.id.replaceAll('-', ''), 'hex').toString('base64url'))
  const next = `${path}?${query}`
  return json(200, { items, next }, { [HEADERS.link]: `<${next}>; rel="next"` })
}

function readQuery(query: URLSearchParams): ListRequest & { limit: number } {
  const status = query.get('status')
  if (status !== null && !isStatus(status)) {
    throw problemError(
      'invalid-request',
      `status is one of ${STATUSES.join(', ')}, not ${JSON.stringify(status.slice(0, 50))}.`,
    )
  }
  const limit = query.get('limit') ?? String(DEFAULT_LIMIT)
  if (!/^\d{1,3}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
    throw problemError('invalid-request', `limit is a whole number from 1 to ${MAX_LIMIT}.`)
  }
  const cursor = query.get('cursor')
  return {
    limit: Number(limit),
    ...(status !== null && { status }),
    ...(cursor !== null && { after: readCursor(cursor) }),
  }
}

function readCursor(cursor: string): string {
  const hex = Buffer.from(cursor, 'base64url').toString('hex')
  if (!/^[\w-]{22}$/.test(cursor) || hex.length !== 32) {
    throw problemError('invalid-request', 'cursor is what the link to the next page holds.')
  }
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function isStatus(text: string): text is Status {
  return (STATUSES as readonly string[]).includes(text)
}
