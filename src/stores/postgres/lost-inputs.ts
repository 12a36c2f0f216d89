/** Handles claims whose operation has lost its input. */
import { type Change, INPUT_LOST, type Operation } from '../../model/operation.ts'
import type { Claim } from '../store.ts'

/** Ends operations whose input is missing, and returns the other claims. */
export async function endWithoutInput(
  claimed: readonly { readonly operation: Operation; readonly input: string | null }[],
  change: (id: string, change: Change) => Promise<unknown>,
): Promise<Claim[]> {
  const lost = claimed.filter(({ input }) => input === null)
  const end = ({ id, attempt }: Operation) => change(id, { kind: 'finish', attempt, outcome: INPUT_LOST })
  // An operation that cannot be ended now is claimed again after its lease has expired.
  await Promise.allSettled(lost.map(({ operation }) => end(operation)))
  return claimed.flatMap(({ operation, input }) => (input === null ? [] : [{ operation, input }]))
}
