/** Everything that processes and executions hold, page by page. */
import type { Holding, HoldingsQuery, Store } from './store.ts'

/** How many are read at once. */
const PAGE = 1000

/** All holdings, or those of one holder, in the order of their ids, however many there are. */
export async function allHoldings(
  store: Pick<Store, 'holdings'>,
  query: Pick<HoldingsQuery, 'holder'> = {},
): Promise<readonly Holding[]> {
  const all: Holding[] = []
  let page: readonly Holding[]
  let after: Pick<HoldingsQuery, 'after'> = {}
  do {
    page = await store.holdings({ ...query, ...after, limit: PAGE })
    all.push(...page)
    after = { after: page.at(-1)?.id ?? '' }
  } while (page.length === PAGE)
  return all
}
