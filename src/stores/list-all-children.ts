/** Lists all children of an operation that are in one state. */
import type { ChildrenQuery, OperationStore } from './store.ts'

/** How many ids one call lists. */
const PAGE = 1000

/** Lists their ids, page by page. */
export async function listAllChildren(
  store: Pick<OperationStore, 'listChildren'>,
  parent: string,
  state: ChildrenQuery['state'],
): Promise<string[]> {
  const ids: string[] = []
  for (;;) {
    const page = await store.listChildren({ parent, state, after: ids.at(-1), limit: PAGE })
    ids.push(...page)
    if (page.length < PAGE) return ids
  }
}
