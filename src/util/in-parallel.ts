/** Makes many calls, with a limit on how many are under way at once. */

/** The default limit. */
const PARALLEL = 16

/**
 * Calls `act` with each input.
 *
 * @param limit how many calls are under way at once
 * @returns the answers, in the order of the inputs. Rejects with the first failure, while the other calls go on
 */
export async function inParallel<Input, Output>(
  inputs: Iterable<Input>,
  act: (input: Input) => Promise<Output>,
  limit: number = PARALLEL,
): Promise<Output[]> {
  const all = [...inputs]
  const outputs: Output[] = []
  const left = all.entries()
  const work = async () => {
    for (const [at, input] of left) outputs[at] = await act(input)
  }
  await Promise.all(Array.from({ length: Math.min(limit, all.length) }, work))
  return outputs
}
