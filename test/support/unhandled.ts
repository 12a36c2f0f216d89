/** Collects the rejections that nobody handles. */
import { afterAll, beforeAll } from 'vitest'

/** Collects them while the tests of a file, or of a `describe`, run. Nothing else in the process handles them meanwhile. */
export function collectUnhandled(): readonly unknown[] {
  const unhandled: unknown[] = []
  const collect = (reason: unknown) => void unhandled.push(reason)
  beforeAll(() => void process.on('unhandledRejection', collect))
  afterAll(() => void process.off('unhandledRejection', collect))
  return unhandled
}
