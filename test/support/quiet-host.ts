/** A worker that knows nothing and keeps nothing, as the handler of an attempt sees it. */
import type { Host } from '../../src/worker/runners/runner.ts'

export const QUIET_HOST: Host = {
  progress: () => {},
  log: () => {},
  steps: async () => new Map(),
  recordStep: async () => {},
  submit: async children => children.map(({ id }) => id),
  family: async () => ({ unfinished: [], told: 0 }),
  childEnds: async ids => ids.map(() => undefined),
  childOutput: async () => undefined,
}
