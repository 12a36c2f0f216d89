/**
 * Decides which operations match a {@link BrowseQuery}. A store may narrow them down first, as far as its indexes
 * allow.
 */
import type { Operation } from '../model/operation.ts'
import type { BrowseQuery } from './store.ts'

/**
 * The time in an id may differ from the time in its record by this much, since processes and stores have different
 * clocks.
 */
const ID_SLACK_MS = 3_600_000

/** Whether an operation matches a query, as far as its record shows. The input is not searched here. */
export function fitsQuery(query: BrowseQuery, operation: Operation): boolean {
  const { type, owner, status, problem, createdAfter, createdBefore, key, execution, holder, tag, search } = query
  return (
    is(type, operation.type) &&
    is(owner, operation.owner) &&
    is(status, operation.status) &&
    is(problem, operation.error?.code) &&
    (createdAfter === undefined || operation.createdAt >= createdAfter) &&
    (createdBefore === undefined || operation.createdAt < createdBefore) &&
    is(key, operation.idempotencyKey) &&
    is(execution, operation.execution) &&
    is(holder, operation.holder) &&
    (tag === undefined || operation.tags?.[tag.name] === tag.value) &&
    (search === undefined || isFound(search, operation))
  )
}

/** The query without `search`, for an operation whose input is searched: there the store has decided on the search. */
export function decided(query: BrowseQuery, { type }: Operation): BrowseQuery {
  return query.searchInputOf?.includes(type) ? { ...query, search: undefined } : query
}

function is<T>(wanted: T | undefined, found: T | null | undefined): boolean {
  return wanted === undefined || wanted === found
}

function isFound(search: string, { id, idempotencyKey, owner, tags }: Operation): boolean {
  const part = lowerAscii(search)
  return [id, idempotencyKey ?? '', owner, ...Object.values(tags ?? {})].some(text => lowerAscii(text).includes(part))
}

/** A string that the JSON of tags contains if they include this tag. {@link fitsQuery} then checks the tag exactly. */
export function tagText({ name, value }: { readonly name: string; readonly value: string }): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`
}

/** A string that the JSON of tags contains if one of them contains the search string. */
export function partText(search: string): string {
  return JSON.stringify(search).slice(1, -1)
}

/** Converts to lower case as databases do in every locale: only the letters A to Z. */
export function lowerAscii(text: string): string {
  return text.replaceAll(/[A-Z]+/g, letters => letters.toLowerCase())
}

/** The range of ids of a query: from `first` on, and before `before`. Ids begin with the time. */
export function idBounds(query: BrowseQuery): { readonly first?: string; readonly before?: string } {
  const { createdAfter, createdBefore, after } = query
  const end = createdBefore === undefined ? undefined : idAt(createdBefore + ID_SLACK_MS)
  const before = after !== undefined && end !== undefined ? [after, end].sort()[0] : (after ?? end)
  return {
    ...(createdAfter !== undefined && { first: idAt(createdAfter - ID_SLACK_MS) }),
    ...(before !== undefined && { before }),
  }
}

/** The first id of a millisecond. */
function idAt(at: number): string {
  const digits = Math.min(Math.max(Math.floor(at), 0), 2 ** 48 - 1)
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000`
}

/**
 * Whether a query skips some of the operations that it reads. It does so if it has any condition besides
 * `createdAfter`, `after` and `limit`. A `createdBefore` skips operations too: the range of ids includes some that were
 * accepted later.
 */
export function isFiltered({
  createdBefore,
  status,
  type,
  owner,
  problem,
  key,
  execution,
  holder,
  tag,
  search,
}: BrowseQuery): boolean {
  return [createdBefore, status, type, owner, problem, key, execution, holder, tag, search].some(
    value => value !== undefined,
  )
}
