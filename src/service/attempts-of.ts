/** The attempts of an operation, including the running one. */
import type { Attempt, Operation } from '../model/operation.ts'

/** An attempt that has not ended. */
export type RunningAttempt = Pick<Attempt, 'number' | 'holder' | 'execution' | 'engine' | 'startedAt'> & {
  readonly outcome: 'running'
}

/** Lists the attempts of an operation, including the running one. */
export function attemptsOf(operation: Operation): readonly (Attempt | RunningAttempt)[] {
  if (operation.status !== 'running') return operation.history
  return [...operation.history, runningAttempt(operation)]
}

function runningAttempt(operation: Operation): RunningAttempt {
  return {
    number: operation.attempt,
    holder: operation.holder ?? '',
    execution: operation.execution,
    engine: operation.engine,
    startedAt: operation.attemptStartedAt ?? operation.updatedAt,
    outcome: 'running',
  }
}
