/**
 * One act on all operations that match a filter, newest first, or on those of a selection: page by page. Each page is
 * chosen, recorded, acted on and recorded again. So a run that continues after a crash repeats at most one page, and no
 * action takes effect twice.
 */

import type { Job } from '../model/handler.ts'
import type { Operation } from '../model/operation.ts'
import { ProblemError } from '../model/problem.ts'
import { orUnavailable } from '../service/unavailable.ts'
import type { BrowsePage, BrowseQuery, OperatorFilter } from '../stores/store.ts'
import { inParallel } from '../util/in-parallel.ts'
import type { Act, Bulk, Done } from './acts.ts'
import { isInternal } from './internal-types.ts'
import type { PassReason } from './pass-reasons.ts'
import { isMeant, type PassContext, passReason } from './passed-over.ts'
import { isSelection, selectedOf } from './target.ts'
import { toView } from './to-view.ts'
import type { BulkAction, BulkPreview, BulkRun } from './views.ts'

/** How many operations one page has at most. */
const PAGE = 200
/** The limits of a preview: how many matches it counts, and how many operations it reads. */
const PREVIEW_LIMIT = 10_000
const SAMPLE = 10

const [SELECT, ACT] = ['select', 'act']

/** What a bulk run has recorded of a page before it acts on it. */
interface Selected {
  readonly ids: readonly string[]
  readonly next?: string | undefined
  /** The attempt that chose the page. A later attempt may find operations on which the run has already acted. */
  readonly attempt: number
}

/** The counts of a bulk run. */
interface BulkCounts {
  readonly matched: number
  readonly done: number
  readonly skipped: number
  readonly failed: number
}

type Result = 'done' | 'skipped' | 'failed'

/** What a bulk run needs. */
export interface BulkContext extends PassContext {
  readonly look: (query: BrowseQuery) => Promise<BrowsePage>
  readonly perform: (act: Act) => Promise<Done>
}

/** The action and the target of a run, without its actor. */
type Plan = Omit<Bulk, 'actor'>

/** Whether the operation is already as the action would leave it. A replay checks this itself. */
function isAsWanted(action: BulkAction, { status, purged, retriedBy, cancelRequested }: Operation): boolean {
  if (action === 'delete') return purged
  if (action === 'cancel') return cancelRequested || status === 'canceled'
  return action === 'retry' && retriedBy !== null
}

/** Operations, the newest first, with the reason why each is passed over; undefined if it is not. */
type Judged = readonly { readonly operation: Operation; readonly reason: PassReason | undefined }[]

async function judge(context: BulkContext, plan: Plan, operations: readonly Operation[]): Promise<Judged> {
  const reasons = await inParallel(operations, operation => passReason(context, plan, operation))
  return operations.map((operation, index) => ({ operation, reason: reasons[index] }))
}

/** Reads a page of operations that match a filter. */
async function lookFor(
  context: BulkContext,
  plan: Plan,
  query: OperatorFilter & { readonly limit: number; readonly after?: string | undefined },
) {
  const { operations, ...page } = await context.look(query)
  const meant = operations.filter(({ type }) => query.type !== undefined || !isInternal(type))
  return { ...page, judged: await judge(context, plan, meant) }
}

/** Counts what an action would be done to now, and what it passes over, and shows some of it. */
export async function previewBulk(context: BulkContext, plan: Plan): Promise<BulkPreview> {
  const { target } = plan
  if (isSelection(target)) return toPreview(await judge(context, plan, await readAll(context, target.ids)), true)
  const judged: Judged[number][] = []
  let [count, scanned] = [0, 0]
  let after: string | undefined
  do {
    const page = await lookFor(context, plan, { ...target, limit: 1000, after })
    judged.push(...page.judged)
    count += page.judged.filter(({ reason }) => reason === undefined).length
    scanned += page.scanned
    after = page.next
  } while (after !== undefined && count < PREVIEW_LIMIT && scanned < PREVIEW_LIMIT)
  return toPreview(judged, after === undefined)
}

async function readAll({ store }: BulkContext, ids: readonly string[]): Promise<readonly Operation[]> {
  const found = await inParallel(ids, id => orUnavailable(store.read(id)))
  return found.filter(operation => operation !== undefined).toSorted((a, b) => (a.id < b.id ? 1 : -1))
}

function toPreview(judged: Judged, complete: boolean): BulkPreview {
  const counts = new Map<PassReason, number>()
  for (const { reason } of judged) if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  const chosen = judged.filter(({ reason }) => reason === undefined).map(({ operation }) => operation)
  return {
    count: chosen.length,
    complete,
    sample: chosen.slice(0, SAMPLE).map(toView),
    passedOver: [...counts].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count),
  }
}

/**
 * Chooses the next operations of a run. Every operation of a selection counts, even if the action does not apply to it.
 */
async function choose(context: BulkContext, bulk: Bulk, after: string | undefined) {
  const { target } = bulk
  if (!isSelection(target)) {
    const { judged, next } = await lookFor(context, bulk, { ...target, limit: PAGE, after })
    return { ids: judged.flatMap(({ operation, reason }) => (reason === undefined ? operation.id : [])), next }
  }
  const at = Number(after ?? 0)
  const ids = target.ids.slice(at, at + PAGE)
  return { ids, next: at + PAGE < target.ids.length ? `${at + PAGE}` : undefined }
}

/** A run that has begun. */
interface BegunBulk extends Bulk {
  /** When it began, in milliseconds since the epoch. Operations that were accepted later are left alone. */
  readonly begunAt: number
}

async function begin({ store }: BulkContext, bulk: Bulk, id: string): Promise<BegunBulk> {
  const { target } = bulk
  const begunAt = (await orUnavailable(store.read(id)))?.createdAt ?? 0
  if (isSelection(target)) return { ...bulk, begunAt }
  // Operations of the same millisecond may be older.
  const createdBefore = Math.min(target.createdBefore ?? Number.POSITIVE_INFINITY, begunAt + 1)
  return { ...bulk, target: { ...target, createdBefore }, begunAt }
}

/** Does the work of a bulk run, from where it stopped. */
export async function runBulk(context: BulkContext, given: Bulk, job: Job): Promise<Done> {
  const bulk = await begin(context, given, job.id)
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
  bulk: BegunBulk,
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

async function actOn(context: BulkContext, bulk: BegunBulk, id: string, isRepeated: boolean): Promise<Result> {
  const { action, actor, target, begunAt } = bulk
  const operation = await orUnavailable(context.store.read(id))
  if (operation === undefined) return 'skipped'
  if (isRepeated && isAsWanted(action, operation)) return 'done'
  // An input does not change, so neither does a match in it.
  const isStillMeant = isMeant({ ...target, search: undefined }, operation)
  if (!isStillMeant || (await passReason(context, bulk, operation)) !== undefined) return 'skipped'
  try {
    await context.perform({ action, actor, target: id, since: begunAt })
    return 'done'
  } catch (error) {
    if (!(error instanceof ProblemError)) return 'failed'
    const { status } = error.problem
    // The store is unreachable, or the process shuts down: the page is repeated later.
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

/** The progress of a bulk run, by its records. */
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
