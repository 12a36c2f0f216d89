/** What a bulk run acts on: a filter, or a selection. */
import { problemError } from '../model/problem.ts'
import { formatFilter } from './filter.ts'
import type { BulkAction, BulkTarget, Selection } from './views.ts'

/** The most ids of a selection. */
const MAX_SELECTED = 1000
/** How many of the ids the audit names. */
const NAMED = 3

/** Whether operations were selected one by one. */
export function isSelection(target: BulkTarget): target is Selection {
  return 'ids' in target
}

/**
 * The target with each id once.
 *
 * @throws {ProblemError} `invalid-request` for a selection that is empty or too large
 */
export function readTarget(target: BulkTarget): BulkTarget {
  if (!isSelection(target)) return target
  const ids: unknown = target.ids
  const fits = Array.isArray(ids) && ids.every(id => typeof id === 'string' && id !== '')
  if (fits && ids.length >= 1 && ids.length <= MAX_SELECTED) return { ids: [...new Set(target.ids)] }
  throw problemError('invalid-request', `A selection has 1 to ${MAX_SELECTED} ids.`)
}

/** How many operations were selected; null for a filter. */
export function selectedOf(target: BulkTarget): number | null {
  return isSelection(target) ? target.ids.length : null
}

/** The description of the target in the audit. */
export function describeTarget(target: BulkTarget): string {
  if (!isSelection(target)) return formatFilter(target)
  const { ids } = target
  const more = ids.length > NAMED ? ` and ${ids.length - NAMED} more` : ''
  return ids.slice(0, NAMED).join(', ') + more
}

/**
 * The types whose declarations a run needs, to make retries and to search in inputs: all types of the process that
 * begins it, unless its filter names one.
 */
export function typesFor(action: BulkAction, target: BulkTarget, known: readonly string[]): readonly string[] {
  const filter = isSelection(target) ? {} : target
  if (action !== 'retry' && filter.search === undefined) return []
  return filter.type === undefined ? known : known.filter(type => type === filter.type)
}
