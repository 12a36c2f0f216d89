/** Reads every active operation, page by page. */
import type { ActiveOperation, ActiveQuery, WorkQueue } from './store.ts'

/** How many are read by one call. */
const PAGE = 1000

/** All unfinished operations that a process or an execution has, or those of one holder, in the order of their ids. */
export async function listAllActive(
  store: Pick<WorkQueue, 'listActive'>,
  query: Pick<ActiveQuery, 'holder'> = {},
): Promise<readonly ActiveOperation[]> {
  const all: ActiveOperation[] = []
  let page: readonly ActiveOperation[]
  let after: Pick<ActiveQuery, 'after'> = {}
  do {
    page = await store.listActive({ ...query, ...after, limit: PAGE })
    all.push(...page)
    after = { after: page.at(-1)?.id ?? '' }
  } while (page.length === PAGE)
  return all
}
