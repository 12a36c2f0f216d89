/** Looks through operations as a filter says, with what operation types say of their input. */
import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { fitsQuery, lowerAscii } from '../stores/browsing.ts'
import type { BrowsePage, BrowseQuery, Store } from '../stores/store.ts'
import { redactJson } from './redact.ts'

/** What is looked through, and by whose rules. */
export interface LookContext {
  readonly store: Pick<Store, 'browse' | 'readPayload'>
  readonly types: ReadonlyMap<string, AnyOperationType>
}

/** One look. What a type hides of its input is not found in it. */
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
