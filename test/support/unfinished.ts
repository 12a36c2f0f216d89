import type { Store } from '../../src/stores/store.ts'

/** How many operations of a type and an owner are not finished, of up to 2,000. */
export async function countUnfinished(store: Store | undefined, type: string, owner: string): Promise<number> {
  const lists = ['pending', 'running'] as const
  const found = await Promise.all(lists.map(status => store?.list({ type, owner, status, limit: 1000 })))
  return found.flatMap(list => list ?? []).length
}
