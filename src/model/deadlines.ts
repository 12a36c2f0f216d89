/**
 * The times by which an operation must have begun and must have ended. Pure functions, like the state machine that uses
 * them.
 */
import { problem } from './problem.ts'
import type { Problem } from './protocol.ts'

/**
 * The members of a record that the deadlines depend on. Times are milliseconds since the epoch, by the store's clock;
 * null means never.
 */
interface Timed {
  readonly attempt: number
  readonly startBy: number | null
  readonly deadline: number | null
}

/** Whether the whole operation has no time left. */
export function isPastDeadline({ deadline }: Pick<Timed, 'deadline'>, now: number): boolean {
  return deadline !== null && deadline <= now
}

/** Why an operation may not begin another attempt; undefined where it may. */
export function lateProblem(operation: Timed, now: number): Problem | undefined {
  if (isPastDeadline(operation, now)) return problem('deadline-exceeded')
  const { attempt, startBy } = operation
  return attempt === 0 && startBy !== null && startBy <= now ? problem('start-deadline') : undefined
}

/** When an operation that is not running has to end, or to begin; null for never. */
export function endsBy({ attempt, startBy, deadline }: Timed): number | null {
  const start = attempt === 0 ? startBy : null
  if (start === null || deadline === null) return start ?? deadline
  return Math.min(start, deadline)
}
