/** Runs batches: each submits its items as children, and ends when all of them have ended. */
import { type Child, type Handler, handler, type Job } from '../model/handler.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import type { OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { internalWorker } from '../worker/internal-worker.ts'
import type { Worker } from '../worker/worker.ts'

/** What batches need. */
export interface BatchesContext {
  /** Claims from it skip paused types. */
  readonly store: OperationStore & WorkQueue
  readonly logger: Logger
}

/** How many items are submitted at once. In between, the handler checks for a cancel and reports progress. */
const CHUNK = 500

/**
 * A worker that runs the batches of these types.
 *
 * @throws {TypeError} for batches of a type that is not among the others
 */
export function batchWorker(
  types: readonly AnyOperationType[],
  all: readonly AnyOperationType[],
  { store, logger }: BatchesContext,
): Worker {
  const handlers = types.map(type => handlerOf(type, all))
  return internalWorker({ name: 'batches', store, logger, handlers, concurrency: 4 })
}

function handlerOf(type: AnyOperationType, all: readonly AnyOperationType[]): Handler {
  const { batchOf } = type
  if (batchOf === undefined || !all.includes(batchOf)) {
    throw new TypeError(`operations: "${type.name}" has batches of a type that is not in the list. Add that type.`)
  }
  return handler(type, async (items, job) => await run(batchOf, items as readonly unknown[], job))
}

async function run(type: AnyOperationType, items: readonly unknown[], job: Job) {
  const children: Child[] = []
  for (let first = 0; first < items.length; first += CHUNK) {
    job.signal.throwIfAborted()
    const chunk = items.slice(first, first + CHUNK)
    const submitted = chunk.map((item, at) =>
      job.submit(type, item as never, { key: String(first + at), ifInvalid: 'fail' }),
    )
    children.push(...(await Promise.all(submitted)))
  }
  const ends = await job.settled(children)
  const count = (status: string) => ends.filter(end => end === status).length
  const [completed, failed, canceled] = [count('completed'), count('failed'), count('canceled')]
  return { total: items.length, completed, failed, canceled }
}
