/** `waybill work`: a worker process without HTTP. */
import { setTimeout as sleep } from 'node:timers/promises'
import { shownUrl, storeFromUrl } from '../from-url/store.ts'
import { createWaybill, type Waybill } from '../waybill.ts'
import { BLOBS_OPTION, type Command, type Given, STORE_OPTION } from './command.ts'
import { HANDLER_OPTIONS, namedHandlers } from './handlers.ts'
import { namedBlobs } from './open.ts'
import { print } from './output.ts'
import { answerQueue } from './queue.ts'
import { aborted, stopSignal } from './signals.ts'

/** How often it is looked whether anything is left. What is claimed is seen to run within that time. */
const LOOK_MS = 250
const IDLE_MS = 5000

export const work: Command = {
  name: 'work',
  operands: 'FILE...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'claims operations and runs the handlers of the files',
  options: {
    ...STORE_OPTION,
    ...BLOBS_OPTION,
    ...HANDLER_OPTIONS,
    concurrency: { value: 'N', help: "how many run at once; default: the machine's parallelism, 32 for inline" },
    'until-idle': { help: 'ends with exit code 0 once nothing has been left to claim for a while' },
    queue: { value: 'URL', help: 'with --until-idle, the Azure Storage queue it was woken by; default: WAYBILL_QUEUE' },
    idle: { value: 'TIME', help: 'that while, such as 30s; default 5s' },
  },
  run: runWork,
}

async function runWork(given: Given): Promise<number> {
  const url = given.storeUrl()
  const idleMs = given.duration('idle') ?? IDLE_MS
  const concurrency = given.whole('concurrency', { min: 1, max: 10_000 })
  const stop = stopSignal()
  const { files, types, run } = await namedHandlers(given)
  const worker = { handlers: files, run, ...(concurrency !== undefined && { concurrency }) }
  const blobs = await namedBlobs(given)
  const waybill = createWaybill({ operations: types, store: await storeFromUrl(url, blobs), worker, ...blobs })
  const call = given.has('until-idle') ? await answerQueue(given.text('queue')) : undefined
  await waybill.start()
  print(`Works on ${types.map(({ name }) => name).join(', ')} of ${shownUrl(url)}. SIGTERM or Ctrl-C stops.`)
  try {
    await (given.has('until-idle') ? untilIdle(waybill, idleMs, stop) : aborted(stop))
  } finally {
    await waybill.stop()
  }
  await (stop.aborted ? call?.release() : call?.done())
  return 0
}

/** Resolves when nothing has run, and nothing has been ready to be claimed, for so long. */
async function untilIdle(waybill: Waybill, idleMs: number, stop: AbortSignal): Promise<void> {
  let idleSince: number | undefined
  while (!stop.aborted) {
    const now = performance.now()
    // A store that is away says nothing about what is left.
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
