import { onTestFinished, vi } from 'vitest'

/** In a stack, where the client sets a timer. */
const CLIENT = /\/src\/client\//

/** Lets the client's delays pass at once. Gives them, in milliseconds. */
export function withoutDelays(): number[] {
  const delays: number[] = []
  const real = globalThis.setTimeout
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, ms = 0, ...rest: []) => {
    // Those of fetch stay: it keeps the timer by which it measures its limits for its process. The limits of a wait,
    // an answer and a silence are long.
    const isDelay = CLIENT.test(new Error().stack ?? '') && ms < 45_000
    if (isDelay) delays.push(ms)
    return real(run, isDelay ? 0 : ms, ...rest)
  }) as typeof setTimeout)
  onTestFinished(() => spy.mockRestore())
  return delays
}
