import { vi } from 'vitest'
import type { TestContext } from './waybill.ts'

/** A limit that nothing exceeds by itself, in milliseconds. It is shorter than a lease. */
export const LONG_MS = 20_000

/**
 * Lets the timers of this process fire when the test says so, and otherwise as late as usual. A limit can then be
 * longer than what comes before it takes on a slow machine, and nothing waits for it. Call it before the timers are set.
 *
 * @returns advances the timers by this many milliseconds
 */
export function controlTimeouts(lab: TestContext): (ms: number) => void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true })
  lab.onEnd(() => vi.useRealTimers())
  return ms => void vi.advanceTimersByTime(ms)
}
