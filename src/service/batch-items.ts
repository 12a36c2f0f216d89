/** The items of a batch in the order of its input. */
import type { Operation } from '../model/operation.ts'
import type { Operations } from './operations.ts'

/** An item of a batch. */
export interface BatchItem {
  /** Its place in the input, from 0. */
  readonly index: number
  readonly id: string
}

/**
 * Lists the items that have been submitted so far.
 *
 * @param page `after` is the index of the last item of the page before, or -1
 */
export async function listBatchItems(
  operations: Operations,
  batch: Operation,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<{ readonly items: readonly BatchItem[]; readonly isLast: boolean }> {
  const children = await operations.children(batch)
  const items = children
    .map(({ key, id }) => ({ index: Number(key), id }))
    .filter(({ index }) => index > after)
    .sort((a, b) => a.index - b.index)
  return { items: items.slice(0, limit), isLast: items.length <= limit }
}
