/**
 * One act on all operations that fit a filter, newest first, or on those of a selection: page by page. Each page is chosen, recorded, acted on and
 * recorded again, so a run that goes on after a crash repeats one page at most, and what it has done before is done once.
 */

import type { Job } from '../model/handler.ts'
import type { Operation } from '../model/operation.ts'
import { ProblemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { fitsQuery } from '../stores/browsing.ts'
import type { BrowsePage, BrowseQuery, OperatorFilter, Store } from '../stores/store.ts'
import { inParallel } from '../util/in-parallel.ts'
import { type Act, type Bulk, type BulkActs, type Done, isInternal } from './acts.ts'
import { isSelection, selectedOf } from './target.ts'
import { toView } from './to-view.ts'
import type { BulkAction, BulkPreview, BulkRun, BulkTarget, Selection } from './views.ts'

/** How many operations one page has at most. */
const PAGE = 200
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
interface BulkCounts {
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
  readonly perform: (act: Act) => Promise<Done>
}

/** Whether an action can be done to an operation, as it is now. */
function isActionable({ action, types }: BulkActs, operation: Operation): boolean {
  const { status, purged, retriedBy, cancelRequested, type } = operation
  if (purged) return false
  if (action === 'delete') return isFinal(status)
  if (action === 'cancel') return !isFinal(status) && !cancelRequested
  return (status === 'failed' || status === 'canceled') && retriedBy === null && types.includes(type)
}

/** Whether it is as the action would leave it. */
function isAsWanted(action: BulkAction, { status, purged, retriedBy, cancelRequested }: Operation): boolean {
  if (action === 'delete') return purged
  if (action === 'cancel') return cancelRequested || status === 'canceled'
  return retriedBy !== null
}

/** Looks at some operations, and gives those that fit and can be acted on. */
async function lookFor(
  { look }: BulkContext,
  acts: BulkActs,
  query: OperatorFilter & { readonly limit: number; readonly after?: string | undefined },
) {
  const page = await look(query)
  const operations = page.operations.filter(
    operation => (query.type !== undefined || !isInternal(operation.type)) && isActionable(acts, operation),
  )
  return { operations, next: page.next, scanned: page.scanned }
}

/** Counts what an action would be done to now, and shows some of it. */
export async function previewBulk(context: BulkContext, acts: BulkActs, target: BulkTarget): Promise<BulkPreview> {
  if (isSelection(target)) return await previewSelection(context, acts, target)
  const sample: Operation[] = []
  let [count, scanned] = [0, 0]
  let after: string | undefined
  do {
    const page = await lookFor(context, acts, { ...target, limit: 1000, after })
    count += page.operations.length
    scanned += page.scanned
    sample.push(...page.operations.slice(0, SAMPLE - sample.length))
    after = page.next
  } while (after !== undefined && count < PREVIEW_LIMIT && scanned < PREVIEW_LIMIT)
  return { count, complete: after === undefined, sample: sample.map(toView) }
}

async function previewSelection({ store }: BulkContext, acts: BulkActs, { ids }: Selection): Promise<BulkPreview> {
  const found: Operation[] = []
  await inParallel(new Set(ids), async id => {
    const operation = await orUnavailable(store.read(id))
    if (operation !== undefined && isActionable(acts, operation)) found.push(operation)
  })
  found.sort((a, b) => (a.id < b.id ? 1 : -1))
  return { count: found.length, complete: true, sample: found.slice(0, SAMPLE).map(toView) }
}

/** Chooses the next operations of a run. What a selection names counts, whether or not it can be acted on. */
async function choose(context: BulkContext, { target, ...acts }: Bulk, after: string | undefined) {
  if (!isSelection(target)) {
    const { operations, next } = await lookFor(context, acts, { ...target, limit: PAGE, after })
    return { ids: operations.map(({ id }) => id), next }
  }
  const at = Number(after ?? 0)
  const ids = target.ids.slice(at, at + PAGE)
  return { ids, next: at + PAGE < target.ids.length ? `${at + PAGE}` : undefined }
}

/** The run, with the time that it began: what is accepted later is left alone. */
async function withBeginning({ store }: BulkContext, bulk: Bulk, id: string): Promise<Bulk> {
  const { target } = bulk
  if (isSelection(target)) return bulk
  const { createdAt } = (await orUnavailable(store.read(id))) ?? { createdAt: 0 }
  // Those of its own millisecond may be older than it.
  const createdBefore = Math.min(target.createdBefore ?? Number.POSITIVE_INFINITY, createdAt + 1)
  return { ...bulk, target: { ...target, createdBefore } }
}

/** Does what a bulk run is for, from where it was. */
export async function runBulk(context: BulkContext, begun: Bulk, job: Job): Promise<Done> {
  const bulk = await withBeginning(context, begun, job.id)
  let count = 0
  let after: string | undefined
  do {
    job.signal.throwIfAborted()
    const selected = await job.step(SELECT, async (): Promise<Selected> => {
      return { ...(await choose(context, bulk, after)), attempt: job.attempt }
    })
    if (selected.ids.length > 0) {
      const isRepeated = selected.attempt !== job.attempt
      const results = await job.step(ACT, () => actOnAll(context, bulk, selected.ids, isRepeated, job))
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
  await inParallel(ids, async id => {
    signal.throwIfAborted()
    results[await actOn(context, bulk, id, isRepeated)]++
  })
  return results
}

async function actOn(context: BulkContext, bulk: Bulk, id: string, isRepeated: boolean): Promise<Result> {
  const { action, actor, target } = bulk
  const operation = await orUnavailable(context.store.read(id))
  if (operation === undefined) return 'skipped'
  if (isRepeated && isAsWanted(action, operation)) return 'done'
  // What a search finds in an input does not change.
  const fits = isSelection(target) || fitsQuery({ ...target, search: undefined, limit: 1 }, operation)
  if (!fits || !isActionable(bulk, operation)) return 'skipped'
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

/** A bulk run as operators see it. */
export function toBulkRun(
  { id, status, createdAt, finishedAt }: Operation,
  { action, target, actor }: Bulk,
  steps: ReadonlyMap<string, string>,
): BulkRun {
  const filter = isSelection(target) ? null : target
  return {
    id,
    action,
    filter,
    selected: selectedOf(target),
    actor: { name: actor },
    status,
    ...countsOf(steps),
    createdAt,
    finishedAt,
  }
}

/** How far a bulk run has come, by what it has recorded. */
function countsOf(steps: ReadonlyMap<string, string>): BulkCounts {
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
