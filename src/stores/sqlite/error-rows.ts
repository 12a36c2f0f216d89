/** The rows of `errors`: what attempts threw. */
import type { AttemptError } from '../../model/operation.ts'
import type { RecordedError } from '../store.ts'

export interface ErrorRow {
  readonly attempt: number
  readonly body: string
}

export function toErrors(rows: readonly ErrorRow[]): RecordedError[] {
  return rows.map(({ attempt, body }) => ({ attempt, error: JSON.parse(body) as AttemptError }))
}
