/** `waybill work`: a worker process without HTTP. */
import { setTimeout as sleep } from 'node:timers/promises'
import { storeFromUrl } from '../from-url/store-from-url.ts'
import { redactUrl } from '../from-url/urls.ts'
import { createWaybill, type Waybill } from '../waybill.ts'
import { BLOBS_OPTION, type Command, JSON_LINES_OPTION, type ParsedArgs, STORE_OPTION } from './command.ts'
import { HANDLER_OPTIONS, namedHandlers } from './handler-files.ts'
import { namedBlobs } from './open.ts'
import { jsonLogger, print } from './output.ts'
import { receiveFromQueue } from './queue.ts'
import { aborted, stopSignal } from './signals.ts'

/** How often to check whether the queue is empty, in milliseconds. */
const LOOK_MS = 250
const IDLE_MS = 5000

export const work: Command = {
  name: 'work',
  operands: 'FILE...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'run a worker: claim operations and run the handlers in the files',
  options: {
    ...STORE_OPTION,
    ...BLOBS_OPTION,
    ...HANDLER_OPTIONS,
    concurrency: {
      value: 'N',
      help: 'how many operations run at once (default: the number of CPUs; 32 with --run inline)',
    },
    'until-idle': { help: 'exit with code 0 once the queue has been empty for --idle' },
    queue: {
      value: 'URL',
      help: 'with --until-idle: the Azure Storage queue whose message started this process (default: WAYBILL_QUEUE)',
    },
    idle: { value: 'TIME', help: 'how long the queue must stay empty before exiting (default 5s)' },
    ...JSON_LINES_OPTION,
  },
  examples: [
    'waybill work ./processor.ts --store postgres://worker@db/orders',
    'waybill work ./processor.ts --until-idle --json --store sqlite:./orders.db',
  ],
  run: runWork,
}

async function runWork(given: ParsedArgs): Promise<number> {
  const url = given.storeUrl()
  const idleMs = given.duration('idle') ?? IDLE_MS
  const concurrency = given.whole('concurrency', { min: 1, max: 10_000 })
  const stop = stopSignal()
  const { files, types, run } = await namedHandlers(given)
  const worker = { handlers: files, run, concurrency }
  const blobs = await namedBlobs(given)
  const log = given.has('json') ? { logger: jsonLogger } : {}
  const waybill = createWaybill({ operations: types, store: await storeFromUrl(url, blobs), worker, ...blobs, ...log })
  const request = given.has('until-idle') ? await receiveFromQueue(given.text('queue')) : undefined
  await waybill.start()
  const names = types.map(({ name }) => name)
  if (given.has('json')) jsonLogger.info({ types: names, store: redactUrl(url) }, 'The worker has started')
  else print(`Working on ${names.join(', ')} from ${redactUrl(url)}. Press Ctrl-C or send SIGTERM to stop.`)
  try {
    await (given.has('until-idle') ? untilIdle(waybill, idleMs, stop) : aborted(stop))
  } finally {
    await waybill.stop()
  }
  await (stop.aborted ? request?.release() : request?.complete())
  if (given.has('json')) jsonLogger.info({}, 'The worker has stopped')
  return 0
}

/** Resolves when no operation has been running or ready for `idleMs`, or at the stop. */
async function untilIdle(waybill: Waybill, idleMs: number, stop: AbortSignal): Promise<void> {
  let idleSince: number | undefined
  while (!stop.aborted) {
    const now = performance.now()
    // While the store is down, it is unknown whether the queue is empty.
    idleSince = (await isIdle(waybill).catch(() => false)) ? (idleSince ?? now) : undefined
    if (idleSince !== undefined && now - idleSince >= Math.max(idleMs, LOOK_MS)) return
    await sleep(LOOK_MS, undefined, { signal: stop }).catch(() => {})
  }
}

async function isIdle(waybill: Waybill): Promise<boolean> {
  if (waybill.running() > 0) return false
  const queues = await waybill.operations.queues()
  return queues.every(({ depth }) => depth === 0)
}
