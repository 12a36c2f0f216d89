import { onTestFinished, vi } from 'vitest'

/** Lets the client's delays pass at once. Gives them, in milliseconds. */
export function withoutDelays(): number[] {
  const delays: number[] = []
  const real = globalThis.setTimeout
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, ms = 0, ...rest: []) => {
    // Timers with arguments are those of fetch; the limits of a wait, an answer and a silence are long.
    const isDelay = rest.length === 0 && ms < 45_000
    if (isDelay) delays.push(ms)
    return real(run, isDelay ? 0 : ms, ...rest)
  }) as typeof setTimeout)
  onTestFinished(() => spy.mockRestore())
  return delays
}
