/**
 * The job side: what an execution does that a launcher started. It reads its operation's id from
 * the environment, claims it, runs the handler and records the outcome.
 *
 * @example
 * process.exitCode = await runOperation({ operations: [orders], store, handlers: new URL('../processor.ts', import.meta.url) })
 */
import type { BlobStore } from '../blobs/blob-store.ts'
import { type Duration, HOUR, toMs } from '../model/duration.ts'
import type { ClaimBy } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import {
  BLOB_STORE,
  type Checks,
  checkOptions,
  duration,
  LOGGER,
  OPERATION_TYPES,
  type RenamedOptions,
  required,
  STORE,
  STRING,
} from '../model/options.ts'
import type { Store } from '../stores/store.ts'
import { withTimeout } from '../stores/with-timeout.ts'
import { guardLogger, type Logger, stderrLogger } from '../util/logger.ts'
import { patiently } from '../util/patience.ts'
import { fillProcessName } from '../util/process-start.ts'
import { stayAlive } from '../util/stay-alive.ts'
import { followUp } from './family-outbox.ts'
import { makeWorker, WORKER_OPTIONS, type WorkerOptions } from './make-worker.ts'
import type { Worker } from './worker.ts'

/** Options of a worker that one attempt in one process does not need. */
type NotOfOne = 'concurrency' | 'pollInterval' | 'maxAttemptsPerChild'

/** Options of {@link runOperation}. */
export interface RunOperationOptions extends Omit<WorkerOptions, NotOfOne> {
  readonly operations: readonly AnyOperationType[]
  /** Opened and closed by the call. */
  readonly store: Store
  /** Stores results that are not JSON. Opened and closed by the call. Default: an operation with such a result fails. */
  readonly blobs?: BlobStore | undefined
  /** Default: the environment variable `WAYBILL_OPERATION_ID`. */
  readonly operationId?: string | undefined
  /** The name that the engine gives this execution. Default: `WAYBILL_EXECUTION`, or the name the engine puts into the environment. */
  readonly execution?: string | undefined
  /**
   * The engine that this execution runs on, recorded with its name. Default: `WAYBILL_ENGINE`, or the engine that has set
   * the variable with the name.
   */
  readonly engine?: string | undefined
  /**
   * How long to retry opening the store while its network, its token or a free connection is not ready, up to an hour.
   * Default 1 minute.
   */
  readonly startupTimeout?: Duration | undefined
  /** Default: errors and warnings go to standard error as JSON lines. */
  readonly logger?: Logger | undefined
}

const { concurrency: _, pollInterval: __, maxAttemptsPerChild: ___, ...WORKER } = WORKER_OPTIONS
const OPTIONS: Checks<RunOperationOptions> = {
  ...WORKER,
  operations: required(OPERATION_TYPES),
  store: required(STORE),
  blobs: BLOB_STORE,
  operationId: { expected: 'a string', test: id => typeof id === 'string' },
  execution: STRING,
  engine: STRING,
  startupTimeout: duration({ max: HOUR }),
  logger: LOGGER,
}
const RENAMED: RenamedOptions<RunOperationOptions> = {
  lease: 'leaseDuration',
  grace: 'gracePeriod',
  shutdown: 'shutdownTimeout',
  startup: 'startupTimeout',
}

/** How long the store may take for an answer. */
const STORE_TIMEOUT_MS = 10_000

/**
 * The variables that hold the name of an execution, and the engine that sets each, if no other engine sets it. In a
 * name, `{pid}` and `{start}` stand for the process id and the start time of the process.
 */
const NAMES = [
  { variable: 'WAYBILL_EXECUTION', engine: null },
  { variable: 'CONTAINER_APP_JOB_EXECUTION_NAME', engine: 'container-apps' },
  { variable: 'JOB_NAME', engine: null },
] as const

/**
 * Runs one operation to its end. On SIGTERM or SIGINT the handler is told to stop, and what is not
 * done is handed back.
 *
 * @returns the exit code: 0 when an outcome of any kind was recorded, or there was nothing to claim; 1 when no operation
 * is named, the store could not be opened or nothing could be recorded, which is then an error in the log
 * @throws {TypeError} when an option cannot be right
 *
 * @example
 * process.exitCode = await runOperation({ operations: [orders], store, handlers: './processor.ts' })
 */
export async function runOperation(options: RunOperationOptions): Promise<number> {
  checkOptions('runOperation()', options, OPTIONS, RENAMED)
  const startupMs = toMs(options.startupTimeout ?? '1m')
  const logger = guardLogger(options.logger ?? stderrLogger)
  const id = options.operationId ?? process.env.WAYBILL_OPERATION_ID
  const execution = ownExecution(options)
  const store = withTimeout(options.store, STORE_TIMEOUT_MS)
  const worker = makeWorker(
    { ...options, concurrency: 1 },
    { store, types: options.operations, blobs: options.blobs, logger },
  )
  const release = stayAlive()
  try {
    if (id === undefined || id === '') {
      throw new Error('No operation is named: set WAYBILL_OPERATION_ID, or pass operationId.')
    }
    // The process may start before its network, its identity or a free connection is ready.
    await patiently(() => store.open({ brief: true }), {
      patienceMs: startupMs,
      onRetry: error => logger.warn({ err: error }, 'The store cannot be opened yet; will retry'),
    })
    await options.blobs?.open?.()
    const claimed = await untilDone(worker, id, execution, logger)
    await followUpEnd(store, id, logger)
    logger.info(
      { operation: id, ...execution, claimed },
      claimed ? 'The operation was run' : 'There was nothing to claim',
    )
    return 0
  } catch (error) {
    // Logged as one line: a thrown error would end the process with a stack trace that log queries do not find.
    const why = error instanceof Error ? error.message : String(error)
    logger.error({ operation: id, ...execution, err: error }, `The execution ended without an outcome: ${why}`)
    return 1
  } finally {
    await Promise.allSettled([store.close(), options.blobs?.close?.()])
    release()
  }
}

/** If this fails, the processes that serve the API follow it up some seconds later. */
async function followUpEnd(store: Store, id: string, logger: Logger): Promise<void> {
  try {
    const operation = await store.read(id)
    if (operation?.familyDue) await followUp(store, [operation])
  } catch (error) {
    logger.warn({ operation: id, err: error }, 'The end could not be reported to the parent, and will be later')
  }
}

type OwnExecution = Pick<ClaimBy, 'execution' | 'engine'>

/** Runs the operation, and hands it back on a signal. */
async function untilDone(worker: Worker, id: string, execution: OwnExecution, logger: Logger): Promise<boolean> {
  const stop = () => {
    worker.stop().catch((error: unknown) => logger.error({ operation: id, err: error }, 'The stop failed'))
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  try {
    return await worker.runOnly(id, execution)
  } finally {
    // Also after a failure: the processes of handlers would keep this one alive.
    await worker.stop()
    process.off('SIGTERM', stop)
    process.off('SIGINT', stop)
  }
}

function ownExecution({ execution, engine = process.env.WAYBILL_ENGINE }: RunOperationOptions) {
  const told = engine || null
  if (execution !== undefined) return { execution, engine: told }
  for (const { variable, engine: implied } of NAMES) {
    const name = process.env[variable]
    if (name) return { execution: fillProcessName(name, process.pid), engine: told ?? implied }
  }
  return {}
}
