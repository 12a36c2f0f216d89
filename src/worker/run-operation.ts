/**
 * The job side: what an execution does that a launcher started. It reads its operation's id from
 * the environment, claims it, runs the handler and records the outcome.
 *
 * @example
 * process.exitCode = await runOperation({ operations: [orders], store, handlers: new URL('../processor.ts', import.meta.url) })
 */
import type { BlobStore } from '../blobs/blob-store.ts'
import { type Duration, durationMs, MINUTE } from '../model/duration.ts'
import type { ClaimBy } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import {
  BLOB_STORE,
  type Checks,
  checkOptions,
  LOGGER,
  OPERATION_TYPES,
  required,
  STORE,
  STRING,
  UNCHECKED,
} from '../model/options.ts'
import type { Store } from '../stores/store.ts'
import { withTimeout } from '../stores/with-timeout.ts'
import { guardLogger, type Logger, stderrLogger } from '../util/logger.ts'
import { fillProcessName } from '../util/process-start.ts'
import { makeWorker, WORKER_OPTIONS, type WorkerInit } from './make-worker.ts'
import { openPatiently } from './open-patiently.ts'
import type { Worker } from './worker.ts'

/** Options of {@link runOperation}. */
export interface RunOperationOptions extends Omit<WorkerInit, 'concurrency' | 'scan' | 'recycle'> {
  readonly operations: readonly AnyOperationType[]
  /** Opened and closed by the call. */
  readonly store: Store
  /** Keeps results that are no JSON. Opened and closed by the call. Default: there can be none. */
  readonly blobs?: BlobStore
  /** Default: the environment variable `WAYBILL_OPERATION_ID`. */
  readonly operationId?: string
  /** How its engine names this execution. Default: `WAYBILL_EXECUTION`, or the name the engine puts into the environment. */
  readonly execution?: string
  /**
   * What it runs on, as the launcher says that started it: recorded with its name. Default: `WAYBILL_ENGINE`, or the
   * engine that has put the name into the environment.
   */
  readonly engine?: string
  /**
   * How long the store, and what it needs, may take to be there: a network, a token, a free connection. From 0 to an
   * hour. Default 1 minute.
   */
  readonly startup?: Duration
  /** Default: errors and warnings go to standard error as JSON lines. */
  readonly logger?: Logger
}

const { concurrency: _, scan: __, recycle: ___, ...WORKER } = WORKER_OPTIONS
const OPTIONS: Checks<RunOperationOptions> = {
  ...WORKER,
  operations: required(OPERATION_TYPES),
  store: required(STORE),
  blobs: BLOB_STORE,
  operationId: UNCHECKED,
  execution: STRING,
  engine: STRING,
  startup: UNCHECKED,
  logger: LOGGER,
}

/** How long the store may take for an answer. */
const STORE_TIMEOUT_MS = 10_000

/** Where an execution is told its own name, in which `{pid}` and `{start}` stand for the process id and its start, and the engine that it comes from, where no other sets that variable. */
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
 */
export async function runOperation(options: RunOperationOptions): Promise<number> {
  checkOptions('runOperation()', options, OPTIONS)
  const startupMs = durationMs('startup', options.startup ?? MINUTE, { max: 60 * MINUTE })
  const logger = guardLogger(options.logger ?? stderrLogger)
  const id = options.operationId ?? process.env.WAYBILL_OPERATION_ID
  const execution = ownExecution(options)
  const store = withTimeout(options.store, STORE_TIMEOUT_MS)
  const worker = makeWorker(
    { ...options, concurrency: 1 },
    { store, types: options.operations, blobs: options.blobs, logger },
  )
  try {
    if (id === undefined || id === '') {
      throw new Error('No operation is named: set WAYBILL_OPERATION_ID, or pass operationId.')
    }
    await openPatiently(() => store.open(), { startupMs, logger })
    await options.blobs?.open?.()
    const claimed = await untilDone(worker, id, execution, logger)
    logger.info(
      { operation: id, ...execution, claimed },
      claimed ? 'The operation was run' : 'There was nothing to claim',
    )
    return 0
  } catch (error) {
    // In the log, as one line: an error that is thrown ends the process with a stack that no log query finds.
    const why = error instanceof Error ? error.message : String(error)
    logger.error({ operation: id, ...execution, err: error }, `The execution ended without an outcome: ${why}`)
    return 1
  } finally {
    await Promise.allSettled([store.close(), options.blobs?.close?.()])
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
    const claimed = await worker.runOnly(id, execution)
    await worker.stop()
    return claimed
  } finally {
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
