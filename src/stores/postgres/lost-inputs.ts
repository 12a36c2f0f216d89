/** Claims whose operation has no input any more. */
import { type Change, INPUT_LOST, type Operation } from '../../model/operation.ts'
import type { Claim } from '../store.ts'

/** An operation whose input is not there ends, and takes nothing from the others. */
export async function endWithoutInput(
  claimed: readonly { readonly operation: Operation; readonly input: string | null }[],
  change: (id: string, change: Change) => Promise<unknown>,
): Promise<Claim[]> {
  const lost = claimed.filter(({ input }) => input === null)
  const end = ({ id, attempt }: Operation) => change(id, { kind: 'finish', attempt, outcome: INPUT_LOST })
  // One that cannot be ended now is claimed again when its lease has run out.
  await Promise.allSettled(lost.map(({ operation }) => end(operation)))
  return claimed.flatMap(({ operation, input }) => (input === null ? [] : [{ operation, input }]))
}
