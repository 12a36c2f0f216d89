/**
 * Reads records as stores keep them. Those of older versions lack members, and a long history is parsed only when it is
 * needed.
 */
import { type Attempt, HISTORY_LIMIT, type Operation } from '../model/operation.ts'
import type { Status } from '../model/protocol.ts'
import type { ChildCounts } from './store.ts'

/** An ended attempt as a store has kept it. If an older version wrote it, it has no engine. */
export type KeptAttempt = Omit<Attempt, 'engine'> & Partial<Pick<Attempt, 'engine'>>

/** The history that a store has kept, whichever version wrote it. */
export function historyOf(kept: readonly KeptAttempt[]): readonly Attempt[] {
  return kept.every(saysEngine) ? kept : kept.map(attempt => ({ ...attempt, engine: attempt.engine ?? null }))
}

/**
 * A history of at most this many characters is parsed at once. A longer one is parsed by a getter when it is needed.
 * The getter takes more memory than a record, and time at each copy of it, so it pays off only for a long history.
 * Statuses, lists and waits do not read the history.
 */
const SHORT_HISTORY = 2000

/** Adds the history that a store has kept as text to a record, followed by one more attempt. Changes `operation`. */
export function withHistory(operation: Fields, text: string | null, last?: Attempt): Operation {
  const read = () => {
    const kept = text === null ? [] : parseHistory(text)
    return last === undefined ? kept : [...kept, last].slice(-HISTORY_LIMIT)
  }
  if (text !== null && text.length > SHORT_HISTORY) return withLazyHistory(operation, read)
  return Object.assign(operation, { history: read() })
}

/** A record without its history. */
type Fields = Omit<Operation, 'history'>

/**
 * For a completed operation whose record contains everything about its last attempt except the holder: the attempts
 * before that one. Undefined for all others, whose whole history must be kept.
 */
export function earlierAttempts(operation: Operation): readonly Attempt[] | undefined {
  if (operation.status !== 'completed') return undefined
  const { history } = operation
  const last = history.at(-1)
  if (last === undefined || last.holder === '') return undefined
  return isSame(last, completedAttempt(operation, last.holder)) ? history.slice(0, -1) : undefined
}

/** Each member is written out for speed: it runs for each operation that completes. */
function isSame(one: Attempt, other: Attempt): boolean {
  return (
    one.number === other.number &&
    one.holder === other.holder &&
    one.execution === other.execution &&
    one.engine === other.engine &&
    one.startedAt === other.startedAt &&
    one.finishedAt === other.finishedAt &&
    one.outcome === other.outcome &&
    one.error === other.error
  )
}

/**
 * Restores the record of a completed operation from the holder of its last attempt and the attempts before that.
 * Changes `fields`.
 */
export function withCompletedAttempt(fields: Fields, holder: string, earlier: string | null): Operation {
  const last = completedAttempt(fields, holder)
  return withHistory(Object.assign(fields, { holder: null }), earlier, last)
}

function completedAttempt(fields: Fields, holder: string): Attempt {
  const { attempt: number, execution, engine, attemptStartedAt, finishedAt } = fields
  const end = finishedAt ?? 0
  const startedAt = attemptStartedAt ?? end
  return { number, holder, execution, engine, startedAt, finishedAt: end, outcome: 'completed', error: null }
}

function parseHistory(text: string): readonly Attempt[] {
  return historyOf(JSON.parse(text) as KeptAttempt[])
}

function withLazyHistory(operation: Fields, read: () => readonly Attempt[]): Operation {
  let history: readonly Attempt[] | undefined
  return Object.defineProperty(operation, 'history', {
    enumerable: true,
    configurable: true,
    get: () => {
      history ??= read()
      return history
    },
  }) as Operation
}

function saysEngine(attempt: KeptAttempt): attempt is Attempt {
  return attempt.engine !== undefined
}

/** Members that few records have. A store may leave them out, and older versions did. */
type RareMember = 'deadline' | 'waits' | 'tags' | 'retryOf' | 'retriedBy' | 'parent' | 'familyDue'

/** A whole record as a store has kept it. If an older version wrote it, it has no engine. */
export type KeptOperation = Omit<Operation, 'engine' | 'history' | RareMember> & {
  readonly engine?: string | null
} & Partial<Pick<Operation, RareMember>> & {
    readonly history: readonly KeptAttempt[]
  }

/**
 * The record that a store has kept, whichever version wrote it. A version that removes an execution may leave its
 * engine in place.
 */
export function operationOf(kept: KeptOperation): Operation {
  const engine = kept.execution === null ? null : (kept.engine ?? null)
  const { deadline = null, waits = null, tags = null, retryOf = null, retriedBy = null } = kept
  const { parent = null, familyDue = false } = kept
  const rare = { deadline, waits, tags, retryOf, retriedBy, parent, familyDue }
  return { ...kept, ...rare, engine, history: historyOf(kept.history) }
}

/** Adds up how many children of each status there are. */
export function toChildCounts(counts: readonly (readonly [status: Status | undefined, count: number])[]): ChildCounts {
  const sum = { unfinished: 0, completed: 0, failed: 0, canceled: 0 }
  for (const [status, count] of counts) {
    sum[status === undefined || status === 'pending' || status === 'running' ? 'unfinished' : status] += count
  }
  return sum
}
