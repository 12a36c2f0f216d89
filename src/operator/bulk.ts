/**
 * One act on all operations that fit a filter: newest first, page by page. Each page is selected, recorded, acted on and
 * recorded again, so a run that goes on after a crash repeats one page at most, and what it has done before is done once.
 */
import type { Operation } from '../model/operation.ts'
import type { Job } from '../model/operation-type.ts'
import { ProblemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { fitsQuery } from '../stores/browsing.ts'
import type { BrowsePage, BrowseQuery, Store } from '../stores/store.ts'
import { type Act, type Bulk, type Done, isInternal } from './acts.ts'
import type { OperatorFilter } from './filter.ts'
import { toView } from './to-view.ts'
import type { BulkAction, BulkPreview } from './views.ts'

/** How many operations one page has at most. */
const PAGE = 200
/** How many of them are acted on at once. */
const PARALLEL = 16
/** Where a preview ends to count, and to look. */
const PREVIEW_LIMIT = 10_000
const SAMPLE = 10

const [SELECT, ACT] = ['select', 'act']

/** What a bulk run has recorded of a page before it acts on it. */
interface Selected {
  readonly ids: readonly string[]
  readonly next?: string | undefined
  /** The attempt that selected it: a later one may find what it has done itself. */
  readonly attempt: number
}

/** How many operations a bulk run has had to do with. */
export interface BulkCounts {
  readonly matched: number
  readonly done: number
  readonly skipped: number
  readonly failed: number
}

type Result = 'done' | 'skipped' | 'failed'

/** What a bulk run works with. */
export interface BulkContext {
  readonly store: Store
  readonly look: (query: BrowseQuery) => Promise<BrowsePage>
  readonly isKnown: (type: string) => boolean
  readonly perform: (act: Act) => Promise<Done>
}

/** Whether an action can be done to an operation, as it is now. */
function isActionable(action: BulkAction, operation: Operation, isKnown: (type: string) => boolean): boolean {
  const { status, purged, retriedBy, cancelRequested, type } = operation
  if (purged) return false
  if (action === 'delete') return isFinal(status)
  if (action === 'cancel') return !isFinal(status) && !cancelRequested
  return (status === 'failed' || status === 'canceled') && retriedBy === null && isKnown(type)
}

/** Whether it is as the action would leave it. */
function isAsWanted(action: BulkAction, { status, purged, retriedBy, cancelRequested }: Operation): boolean {
  if (action === 'delete') return purged
  if (action === 'cancel') return cancelRequested || status === 'canceled'
  return retriedBy !== null
}

/** Looks at some operations, and gives those that fit and can be acted on. */
async function select(
  { look, isKnown }: BulkContext,
  action: BulkAction,
  query: OperatorFilter & { readonly limit: number; readonly after?: string | undefined },
) {
  const page = await look(query)
  const operations = page.operations.filter(
    operation => (query.type !== undefined || !isInternal(operation.type)) && isActionable(action, operation, isKnown),
  )
  return { operations, next: page.next, scanned: page.scanned }
}

/** Counts what an action would be done to now, and shows some of it. */
export async function previewBulk(
  context: BulkContext,
  action: BulkAction,
  filter: OperatorFilter,
): Promise<BulkPreview> {
  const sample: Operation[] = []
  let [count, scanned] = [0, 0]
  let after: string | undefined
  do {
    const page = await select(context, action, { ...filter, limit: 1000, after })
    count += page.operations.length
    scanned += page.scanned
    sample.push(...page.operations.slice(0, SAMPLE - sample.length))
    after = page.next
  } while (after !== undefined && count < PREVIEW_LIMIT && scanned < PREVIEW_LIMIT)
  return { count, complete: after === undefined, sample: sample.map(toView) }
}

/** Does what a bulk run is for, from where it was. What is accepted after its beginning is left alone. */
export async function runBulk(context: BulkContext, bulk: Bulk, job: Job): Promise<Done> {
  const { store } = context
  const { createdAt } = (await orUnavailable(store.read(job.id))) ?? { createdAt: 0 }
  // Those of its own millisecond may be older than it.
  const createdBefore = Math.min(bulk.filter.createdBefore ?? Number.POSITIVE_INFINITY, createdAt + 1)
  const filter = { ...bulk.filter, createdBefore }
  let count = 0
  let after: string | undefined
  do {
    job.signal.throwIfAborted()
    const selected = await job.step(SELECT, async (): Promise<Selected> => {
      const { operations, next } = await select(context, bulk.action, { ...filter, limit: PAGE, after })
      return { ids: operations.map(({ id }) => id), next, attempt: job.attempt }
    })
    if (selected.ids.length > 0) {
      const isRepeated = selected.attempt !== job.attempt
      const results = await job.step(ACT, () => actOnAll(context, { ...bulk, filter }, selected.ids, isRepeated, job))
      count += results.done
    }
    after = selected.next
  } while (after !== undefined)
  return { count }
}

async function actOnAll(
  context: BulkContext,
  bulk: Bulk,
  ids: readonly string[],
  isRepeated: boolean,
  { signal }: Job,
): Promise<Record<Result, number>> {
  const results = { done: 0, skipped: 0, failed: 0 }
  const left = ids.values()
  const work = async () => {
    for (const id of left) {
      signal.throwIfAborted()
      results[await actOn(context, bulk, id, isRepeated)]++
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  return results
}

async function actOn(context: BulkContext, bulk: Bulk, id: string, isRepeated: boolean): Promise<Result> {
  const { action, actor, filter } = bulk
  const operation = await orUnavailable(context.store.read(id))
  if (operation === undefined) return 'skipped'
  if (isRepeated && isAsWanted(action, operation)) return 'done'
  // What a search finds in an input does not change.
  const fits = fitsQuery({ ...filter, search: undefined, limit: 1 }, operation)
  if (!fits || !isActionable(action, operation, context.isKnown)) return 'skipped'
  try {
    await context.perform({ action, actor, target: id })
    return 'done'
  } catch (error) {
    if (!(error instanceof ProblemError)) return 'failed'
    const { status } = error.problem
    // A store that is away, or a shutdown: the page is repeated.
    if (status === 503) throw error
    return status === 404 || status === 409 || status === 410 ? 'skipped' : 'failed'
  }
}

/** How far a bulk run has come, by what it has recorded. */
export function countsOf(steps: ReadonlyMap<string, string>): BulkCounts {
  const counts = { matched: 0, done: 0, skipped: 0, failed: 0 }
  for (const [name, text] of steps) {
    const value = JSON.parse(text) as Partial<Selected & Record<Result, number>>
    if (name.startsWith(SELECT)) counts.matched += value.ids?.length ?? 0
    counts.done += value.done ?? 0
    counts.skipped += value.skipped ?? 0
    counts.failed += value.failed ?? 0
  }
  return counts
}
