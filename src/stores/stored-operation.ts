/** Records as stores keep them, read back: those of older versions lack members, and a long history is parsed late. */
import type { Attempt, Operation } from '../model/operation.ts'
import type { Waits } from '../model/waits.ts'

/** An ended attempt as a store has kept it: one that an older version wrote names no engine. */
export type KeptAttempt = Omit<Attempt, 'engine'> & Partial<Pick<Attempt, 'engine'>>

/** The history that a store has kept, whatever the version that wrote it. */
export function historyOf(kept: readonly KeptAttempt[]): readonly Attempt[] {
  return kept.every(saysEngine) ? kept : kept.map(attempt => ({ ...attempt, engine: attempt.engine ?? null }))
}

/**
 * The operation with the history that a store has kept as text, which is only parsed when it is asked for: it may be
 * long, and a status, a list or a wait does not look at it.
 */
export function withHistory(operation: Omit<Operation, 'history'>, text: string | null): Operation {
  if (text === null) return Object.assign(operation, { history: [] })
  let history: readonly Attempt[] | undefined
  return Object.defineProperty(operation, 'history', {
    enumerable: true,
    configurable: true,
    get: () => {
      history ??= historyOf(JSON.parse(text) as KeptAttempt[])
      return history
    },
  }) as Operation
}

function saysEngine(attempt: KeptAttempt): attempt is Attempt {
  return attempt.engine !== undefined
}

/** A record as a store has kept it whole: that of an older version names no engine and has no waits. */
export type KeptOperation = Omit<Operation, 'engine' | 'history' | 'waits'> & {
  readonly engine?: string | null
  readonly waits?: Waits | null
  readonly history: readonly KeptAttempt[]
}

/** The record that a store has kept, whatever the version that wrote it: one that takes the execution out may leave its engine behind. */
export function operationOf(kept: KeptOperation): Operation {
  const engine = kept.execution === null ? null : (kept.engine ?? null)
  return { ...kept, engine, waits: kept.waits ?? null, history: historyOf(kept.history) }
}
