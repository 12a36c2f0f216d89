/** `waybill run`: what an execution does that a launcher has started. */

import { storeFromUrl } from '../from-url/store.ts'
import { runOperation } from '../worker/run-operation.ts'
import { BLOBS_OPTION, type Command, type Given, STORE_OPTION, UsageError } from './command.ts'
import { HANDLER_OPTIONS, namedHandlers } from './handlers.ts'
import { namedBlobs } from './open.ts'
import { stopSignal } from './signals.ts'

export const run: Command = {
  name: 'run',
  operands: 'FILE...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'runs one operation to its end, as an execution of a launcher does',
  options: {
    ...STORE_OPTION,
    ...BLOBS_OPTION,
    ...HANDLER_OPTIONS,
    id: { value: 'ID', help: 'the operation; default: the environment variable WAYBILL_OPERATION_ID' },
  },
  run: runOne,
}

async function runOne(given: Given): Promise<number> {
  const url = given.storeUrl()
  const operationId = given.text('id') || process.env.WAYBILL_OPERATION_ID
  if (!operationId) throw new UsageError('No operation is named: give --id ID, or set WAYBILL_OPERATION_ID.')
  // It stops by itself once it has a store, before which nothing is lost. This is for the second of npm's two signals.
  stopSignal().addEventListener('abort', () => {
    if (process.listenerCount('SIGTERM') === 1) process.exit(0)
  })
  const { files, types, run } = await namedHandlers(given)
  const blobs = await namedBlobs(given)
  const store = await storeFromUrl(url, { ...blobs, forExecution: true })
  return await runOperation({ operations: types, store, handlers: files, run, operationId, ...blobs })
}
