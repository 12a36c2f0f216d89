/** An attempt as a runner is given it. */
import type { Task } from '../../src/worker/runners/runner.ts'

/** The first attempt of an operation that nobody owns. */
export const FIRST_ATTEMPT: Task = {
  id: 'a',
  type: 'tasks',
  owner: '',
  attempt: 1,
  failedBefore: 0,
  claimedAt: 0,
  deadline: null,
  waits: null,
  isRetry: false,
  publicUrl: null,
  input: 'null',
  traceparent: null,
}
