/** Recent statistics and the current state, counted over a limited number of the newest operations. */
import type { Operation } from '../model/operation.ts'
import { orUnavailable } from '../service/unavailable.ts'
import type { PausedTypes } from '../stores/paused-types.ts'
import type { ActiveOperation, Store } from '../stores/store.ts'
import { isInternal } from './internal-types.ts'
import type { Percentiles, SeriesPoint, Statistics, TypeStatistics, WorkerView } from './views.ts'

/** The most operations that are read. */
const LOOK_AT = 5000
const PARTS = 60
/** If no type is declared: how many of the newest operations are read to find types, and how many types are shown. */
const [LOOK_FOR_TYPES, MAX_TYPES] = [1000, 50]
/** How many kinds of failures, and how many operations of workers, are shown. */
const [MAX_PROBLEMS, MAX_ACTIVE] = [20, 1000]

/** What statistics need. */
export interface StatisticsContext {
  readonly store: Store
  readonly pauses: PausedTypes
  /** The types that this process declares. The types of the operations that were read are shown, too. */
  readonly types: readonly string[]
}

/** @param windowMs how far back to look, in milliseconds */
export async function makeStatistics(context: StatisticsContext, windowMs: number): Promise<Statistics> {
  const { store, types, pauses } = context
  const to = Date.now()
  const createdAfter = to - windowMs
  const [page, active, newest] = await Promise.all([
    orUnavailable(store.browse({ createdAfter, limit: LOOK_AT })),
    orUnavailable(store.listActive({ limit: MAX_ACTIVE })),
    types.length > 0 ? undefined : orUnavailable(store.browse({ limit: LOOK_FOR_TYPES })),
    orUnavailable(pauses.refresh()),
  ])
  const operations = page.operations.filter(({ type }) => !isInternal(type))
  const seen = [...operations, ...(newest?.operations ?? [])].map(({ type }) => type).filter(type => !isInternal(type))
  const named = [...new Set([...types, ...seen.sort()])].slice(0, Math.max(types.length, MAX_TYPES))
  const states = await Promise.all(named.map(type => stateOf(context, type)))
  const complete = page.next === undefined
  const from = complete ? createdAfter : Math.max(createdAfter, page.operations.at(-1)?.createdAt ?? createdAfter)
  return {
    from,
    to,
    complete,
    series: seriesOf(operations, from, to),
    wait: percentiles(
      operations.flatMap(({ startedAt, createdAt }) => (startedAt === null ? [] : [startedAt - createdAt])),
    ),
    run: percentiles(
      operations.flatMap(({ startedAt, finishedAt }) =>
        startedAt === null || finishedAt === null ? [] : [finishedAt - startedAt],
      ),
    ),
    problems: problemsOf(operations),
    types: states,
    workers: workersOf(active.filter(({ type }) => !isInternal(type))),
  }
}

async function stateOf({ store, pauses }: StatisticsContext, operation: string): Promise<TypeStatistics> {
  const { depth, running, oldestAt } = await orUnavailable(store.queueStats(operation))
  return { operation, paused: pauses.types.has(operation), depth, running, oldestAt }
}

function seriesOf(operations: readonly Operation[], from: number, to: number): readonly SeriesPoint[] {
  const width = Math.max((to - from) / PARTS, 1)
  const parts = Array.from({ length: PARTS }, (_, part) => {
    return { at: Math.round(from + part * width), accepted: 0, completed: 0, failed: 0, canceled: 0 }
  })
  const partAt = (at: number) => parts[Math.min(Math.max(Math.floor((at - from) / width), 0), PARTS - 1)]
  for (const { createdAt, finishedAt, status } of operations) {
    const begun = partAt(createdAt)
    if (begun !== undefined) begun.accepted++
    const ended = finishedAt === null ? undefined : partAt(finishedAt)
    if (ended !== undefined && (status === 'completed' || status === 'failed' || status === 'canceled')) ended[status]++
  }
  return parts
}

function percentiles(values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => Math.max(0, sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}

function problemsOf(operations: readonly Operation[]): Statistics['problems'] {
  const counts = new Map<string, number>()
  for (const { status, error } of operations) {
    if (status !== 'failed') continue
    const code = error?.code ?? String(error?.status ?? '')
    counts.set(code, (counts.get(code) ?? 0) + 1)
  }
  const problems = [...counts].map(([code, count]) => ({ code, count }))
  return problems.sort((a, b) => b.count - a.count).slice(0, MAX_PROBLEMS)
}

/** An execution that has not claimed yet is shown as the worker. */
function workersOf(active: readonly ActiveOperation[]): readonly WorkerView[] {
  const byHolder = Map.groupBy(active, ({ holder, execution }) => holder ?? execution ?? '')
  return [...byHolder].map(([holder, operations]) => ({
    holder,
    operations: operations.map(({ id, type, attempt, execution, engine }) => ({
      id,
      type,
      attempt,
      execution,
      engine,
    })),
  }))
}
