/** Searches operations by a filter, without the parts of inputs that operation types redact. */
import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { fitsQuery, lowerAscii } from '../stores/browsing.ts'
import type { BrowsePage, BrowseQuery, Store } from '../stores/store.ts'
import { redactJson } from './redact.ts'

/** The store to search, and the operation types. */
export interface LookContext {
  readonly store: Pick<Store, 'browse' | 'readPayload'>
  readonly types: ReadonlyMap<string, AnyOperationType>
}

/** One search. A part of an input that its type redacts is not found. */
export async function lookThrough({ store, types }: LookContext, query: BrowseQuery): Promise<BrowsePage> {
  if (query.search === undefined) return await orUnavailable(store.browse(query))
  const searched = [...types.values()].filter(({ policy }) => policy.searchInput)
  const searchInputOf = searched.map(({ name }) => name)
  const page = await orUnavailable(store.browse({ ...query, searchInputOf }))
  const isShown = async (operation: Operation) => {
    const pointers = types.get(operation.type)?.policy.redact ?? []
    if (pointers.length === 0 || fitsQuery(query, operation)) return true
    const input = await orUnavailable(store.readPayload(operation.id, 'input'))
    return input !== undefined && lowerAscii(redactJson(input, pointers)).includes(lowerAscii(query.search ?? ''))
  }
  const shown = await Promise.all(page.operations.map(isShown))
  return { ...page, operations: page.operations.filter((_, index) => shown[index]) }
}
