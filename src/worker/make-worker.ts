/** Makes a worker from the options that users give. `runOperation` needs no more of the composition than this. */
import { availableParallelism } from 'node:os'
import type { BlobStore } from '../blobs/blob-store.ts'
import { type Duration, HOUR, SECOND, toMs } from '../model/duration.ts'
import type { Handler } from '../model/handler.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import {
  type Checks,
  duration,
  integer,
  oneOf,
  PUBLIC_URL,
  type RenamedOptions,
  required,
  STRINGS,
  UNCHECKED,
} from '../model/options.ts'
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
export interface WorkerOptions {
  /** Handlers as values (for `inline`), or the files whose default export they are: URLs, or paths from the working directory. */
  readonly handlers: Handlers | string | URL | readonly (string | URL)[]
  /**
   * Where handlers run. `children`: in child processes, so that a crash or heavy computing affects nothing else.
   * `inline`: on the event loop of this process. Default: `children` for files, `inline` for values.
   */
  readonly run?: 'children' | 'inline' | undefined
  /** How many attempts run at once, 1 to 10,000. Default: as many as the machine can run in parallel; 32 for `inline`. */
  readonly concurrency?: number | undefined
  /** How long a lease lasts without renewal, 3 s to 1 h. It is renewed at a third of that. Default 30 s. */
  readonly leaseDuration?: Duration | undefined
  /** How long a handler may go on after a cancel or a timeout before its process is killed. Default 5 s. */
  readonly gracePeriod?: Duration | undefined
  /** How long a shutdown waits for handlers before it hands their operations back to the queue. Default 20 s. */
  readonly shutdownTimeout?: Duration | undefined
  /** The longest time between two polls of the queue when the store sends no hint, from 10 ms. Default 1 s. */
  readonly pollInterval?: Duration | undefined
  /**
   * `children`: arguments for Node itself, such as `--max-old-space-size=512`. Default: those of this process that suit
   * a child: preloads such as `--import`, but not `--eval`, `--watch`, `--inspect` and `--test`.
   */
  readonly execArgv?: readonly string[] | undefined
  /**
   * `children`: their scheduling priority. A nice value from 0 (normal) to 19 (lowest), or `idle`: they get only CPU
   * time that nothing else wants (Linux' idle class, set by `chrt`; 10 where there is none). Default `idle`.
   */
  readonly niceness?: Niceness | undefined
  /** `children`: how many attempts a child runs before it is replaced, 1 to 1,000,000. 1: a new child for each attempt. Default 10,000. */
  readonly maxAttemptsPerChild?: number | undefined
  /** How long handler files may take to load, 100 ms to 1 h. In `children` it applies to each child. Default 1 minute. */
  readonly startTimeout?: Duration | undefined
  /**
   * The URL under which clients reach the API, such as `https://api.example.com/v1`, for `job.callbackUrl`. Default: the
   * environment variable `WAYBILL_PUBLIC_URL`; the Fastify plugin knows it from its own `publicUrl`.
   */
  readonly publicUrl?: string | undefined
}

const NICE_VALUE = integer(0, 19)

/** What the options of a worker must be. */
export const WORKER_OPTIONS: Checks<WorkerOptions> = {
  handlers: required(UNCHECKED),
  run: oneOf('children', 'inline'),
  concurrency: integer(1, 10_000),
  leaseDuration: duration({ min: 3 * SECOND, max: HOUR }),
  gracePeriod: duration(),
  shutdownTimeout: duration(),
  pollInterval: duration({ min: 10 }),
  execArgv: STRINGS,
  niceness: {
    expected: `${NICE_VALUE.expected}, or "idle"`,
    test: niceness => niceness === 'idle' || NICE_VALUE.test(niceness),
  },
  maxAttemptsPerChild: integer(1, 1_000_000),
  startTimeout: duration({ min: 100, max: HOUR }),
  publicUrl: PUBLIC_URL,
}

export const RENAMED_WORKER_OPTIONS: RenamedOptions<WorkerOptions> = {
  lease: 'leaseDuration',
  grace: 'gracePeriod',
  shutdown: 'shutdownTimeout',
  scan: 'pollInterval',
  recycle: 'maxAttemptsPerChild',
}

/** What a worker works with. */
export interface WorkerParts {
  readonly store: OperationStore & WorkQueue
  readonly types: readonly AnyOperationType[]
  readonly blobs?: BlobStore | undefined
  readonly logger: Logger
  readonly metrics?: Metrics | undefined
}

/** Makes a worker of options that were checked, with every default filled in. */
export function makeWorker(options: WorkerOptions, parts: WorkerParts): Worker {
  const { runner, concurrency } = makeRunner(options, parts.logger)
  return new Worker({
    ...parts,
    runner,
    concurrency,
    leaseMs: toMs(options.leaseDuration ?? '30s'),
    graceMs: toMs(options.gracePeriod ?? '5s'),
    shutdownMs: toMs(options.shutdownTimeout ?? '20s'),
    pollIntervalMs: toMs(options.pollInterval ?? '1s'),
    publicUrl: (options.publicUrl ?? process.env.WAYBILL_PUBLIC_URL)?.replace(/\/+$/, ''),
  })
}

function makeRunner(options: WorkerOptions, logger: Logger): { runner: Runner; concurrency: number } {
  const given: readonly (Handler | string | URL)[] = [options.handlers].flat()
  const files = given.filter(isFile)
  const values = given.filter(handler => !isFile(handler)) as readonly Handler[]
  if (files.length > 0 && values.length > 0) {
    throw new TypeError('worker.handlers must be all files or all values.')
  }
  // Files are loaded by the process that runs them, when it starts.
  if (files.length === 0) handlersByType(values)
  const run = options.run ?? (files.length > 0 ? 'children' : 'inline')
  const startTimeoutMs = toMs(options.startTimeout ?? '1m')
  if (run === 'inline') {
    const runner = inlineRunner(files.length > 0 ? files : values, startTimeoutMs)
    return { runner, concurrency: options.concurrency ?? 32 }
  }
  if (files.length === 0)
    throw new TypeError('worker.handlers must be files: handlers cannot be passed to a child process as values.')
  const { execArgv, niceness, maxAttemptsPerChild, concurrency = availableParallelism() } = options
  const settings = { files, concurrency, logger, execArgv, niceness, maxAttemptsPerChild, startTimeoutMs }
  return { runner: childProcessRunner(settings), concurrency }
}

function isFile(handler: Handler | string | URL): handler is string | URL {
  return typeof handler === 'string' || handler instanceof URL
}
