/** The rows of `payloads`: the input, the output, and what attempts threw, each under a kind of its own. */
import type { AttemptError } from '../../model/operation.ts'
import type { RecordedError } from '../store.ts'

export interface PayloadRow {
  readonly kind: number
  readonly body: string
}

export const [INPUT, OUTPUT] = [0, 1]

/** The kind of what an attempt threw. Attempts count from 1. */
export function errorKind(attempt: number): number {
  return OUTPUT + attempt
}

/** What attempts threw, of the payloads of an operation in the order of their kinds. */
export function toErrors(rows: readonly PayloadRow[]): RecordedError[] {
  return rows
    .filter(({ kind }) => kind > OUTPUT)
    .map(({ kind, body }) => ({ attempt: kind - OUTPUT, error: JSON.parse(body) as AttemptError }))
}
