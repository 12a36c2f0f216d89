/** Makes a worker of what users say of it. The job of an execution needs no more than this of the composition. */
import { availableParallelism } from 'node:os'
import type { BlobStore } from '../blobs/blob-store.ts'
import { type Duration, durationMs, SECOND } from '../model/duration.ts'
import type { AnyOperationType, Handler } from '../model/operation-type.ts'
import { type Checks, integer, oneOf, required, STRINGS, UNCHECKED } from '../model/options.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import type { Niceness } from '../util/niceness.ts'
import { type Handlers, handlersByType } from './handlers.ts'
import { childProcessRunner } from './runners/child-process/child-process.ts'
import { inlineRunner } from './runners/inline.ts'
import type { Runner } from './runners/runner.ts'
import { Worker } from './worker.ts'

/** How a process runs handlers. */
export interface WorkerInit {
  /** Handlers as values (for `inline`), or the files whose default export they are: URLs, or paths from the working directory. */
  readonly handlers: Handlers | string | URL | readonly (string | URL)[]
  /** `children`: in processes of their own, which a crash or heavy computing stays in. `inline`: on this event loop. Default: `children` for files, `inline` for values. */
  readonly run?: 'children' | 'inline'
  /** How many attempts run at once, 1 to 10,000. Default: as many as the machine can run in parallel; 32 for `inline`. */
  readonly concurrency?: number
  /** How long a lease lasts without renewal, 3 s to 1 h; it is renewed at a third of that. Default 30 s. */
  readonly lease?: Duration
  /** How long a handler may go on after a cancel or a timeout before its process is killed. Default 5 s. */
  readonly grace?: Duration
  /** How long a shutdown waits for handlers before it hands their operations back. Default 20 s. */
  readonly shutdown?: Duration
  /** The longest time between two looks at the queue when no hint comes. Default 1 s. */
  readonly scan?: Duration
  /** `children`: arguments for Node itself, such as `--max-old-space-size=512`. Default: those of this process that suit a child. */
  readonly execArgv?: readonly string[]
  /** `children`: how much they give way to what else runs, 0 (not at all) to 19, or `idle`: they take what is left. Default `idle`. */
  readonly niceness?: Niceness
  /** `children`: how many attempts a child runs before it is replaced, 1 to 1,000,000; 1: a fresh child for each attempt. Default 10,000. */
  readonly recycle?: number
  /** How long handler files may take to load, 100 ms to 1 h. Default 1 minute. */
  readonly startTimeout?: Duration
}

/** What the options of a worker must be. */
export const WORKER_OPTIONS: Checks<WorkerInit> = {
  handlers: required(UNCHECKED),
  run: oneOf('children', 'inline'),
  concurrency: integer(1, 10_000),
  lease: UNCHECKED,
  grace: UNCHECKED,
  shutdown: UNCHECKED,
  scan: UNCHECKED,
  execArgv: STRINGS,
  niceness: {
    expected: 'a whole number from 0 to 19, or "idle"',
    test: niceness => niceness === 'idle' || integer(0, 19).test(niceness),
  },
  recycle: integer(1, 1_000_000),
  startTimeout: UNCHECKED,
}

/** What a worker works with. */
export interface WorkerParts {
  readonly store: OperationStore & WorkQueue
  readonly types: readonly AnyOperationType[]
  readonly blobs?: BlobStore | undefined
  readonly logger: Logger
  readonly metrics?: Metrics
}

/** Makes a worker with every default filled in. */
export function makeWorker(init: WorkerInit, parts: WorkerParts): Worker {
  const { runner, concurrency } = makeRunner(init, parts.logger)
  return new Worker({
    ...parts,
    runner,
    concurrency,
    leaseMs: durationMs('worker.lease', init.lease ?? 30 * SECOND, { min: 3 * SECOND, max: 3600 * SECOND }),
    graceMs: durationMs('worker.grace', init.grace ?? 5 * SECOND),
    shutdownMs: durationMs('worker.shutdown', init.shutdown ?? 20 * SECOND),
    scanMs: durationMs('worker.scan', init.scan ?? SECOND, { min: 10 }),
  })
}

function makeRunner(init: WorkerInit, logger: Logger): { runner: Runner; concurrency: number } {
  const given: readonly (Handler | string | URL)[] = [init.handlers].flat()
  const files = given.filter(isFile)
  const values = given.filter(handler => !isFile(handler)) as readonly Handler[]
  if (files.length > 0 && values.length > 0) {
    throw new TypeError('worker.handlers must be all files or all values.')
  }
  // Files are only read by the process that runs them: what they hold is seen when it starts.
  if (files.length === 0) handlersByType(values)
  const run = init.run ?? (files.length > 0 ? 'children' : 'inline')
  const limits = { min: 100, max: 3600 * SECOND }
  const startTimeoutMs = durationMs('worker.startTimeout', init.startTimeout ?? 60 * SECOND, limits)
  if (run === 'inline') {
    const runner = inlineRunner(files.length > 0 ? files : values, startTimeoutMs)
    return { runner, concurrency: init.concurrency ?? 32 }
  }
  if (files.length === 0)
    throw new TypeError('worker.handlers must name files: a child process cannot be given values.')
  const { execArgv, niceness, recycle, concurrency = availableParallelism() } = init
  const options = { files, concurrency, logger, execArgv, niceness, recycle, startTimeoutMs }
  return { runner: childProcessRunner(options), concurrency }
}

function isFile(handler: Handler | string | URL): handler is string | URL {
  return typeof handler === 'string' || handler instanceof URL
}
