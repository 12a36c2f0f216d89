/** Which operations a {@link BrowseQuery} means: stores narrow them down as they can, and this decides. */
import type { Operation } from '../model/operation.ts'
import type { BrowseQuery } from './store.ts'

/** An id may say an earlier or a later time than its record by this much: processes and stores have clocks of their own. */
const ID_SLACK_MS = 3_600_000

/** Whether an operation is one of those that are looked for, as far as its record tells: what is in its input is not. */
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

/** The query without its search, where the store has decided on that: of an operation whose input is searched. */
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

/** What the JSON of tags holds where they have this one: the text, whose rest is for {@link fitsQuery}. */
export function tagText({ name, value }: { readonly name: string; readonly value: string }): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`
}

/** What the JSON of tags holds where one of them has this part. */
export function partText(search: string): string {
  return JSON.stringify(search).slice(1, -1)
}

/** As databases do it whatever their locale: letters from A to Z alone. */
export function lowerAscii(text: string): string {
  return text.replaceAll(/[A-Z]+/g, letters => letters.toLowerCase())
}

/** The ids between which the operations of a query lie: from `first` on, and before `before`. Ids begin with the time. */
export function idBounds(query: BrowseQuery): { readonly first?: string; readonly before?: string } {
  const { createdAfter, createdBefore, after } = query
  const end = createdBefore === undefined ? undefined : idAt(createdBefore + ID_SLACK_MS)
  const before = after !== undefined && end !== undefined ? [after, end].sort()[0] : (after ?? end)
  return {
    ...(createdAfter !== undefined && { first: idAt(createdAfter - ID_SLACK_MS) }),
    ...(before !== undefined && { before }),
  }
}

/** The first id of a moment. */
function idAt(at: number): string {
  const digits = Math.min(Math.max(Math.floor(at), 0), 2 ** 48 - 1)
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000`
}

/**
 * Whether a query says more than since when, where to begin and how much: only then operations are passed over, except for
 * the few whose id says a later time. An end in time passes over those whose id may be that of an earlier operation.
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
