/** `waybill run`: runs the one operation for which a launcher has started this process. */

import { storeFromUrl } from '../from-url/store-from-url.ts'
import { runOperation } from '../worker/run-operation.ts'
import { BLOBS_OPTION, type Command, JSON_LINES_OPTION, type ParsedArgs, STORE_OPTION, UsageError } from './command.ts'
import { HANDLER_OPTIONS, namedHandlers } from './handler-files.ts'
import { namedBlobs } from './open.ts'
import { jsonLogger } from './output.ts'
import { stopSignal } from './signals.ts'

export const run: Command = {
  name: 'run',
  operands: 'FILE...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'run one operation to its end; a launcher starts this command as an execution',
  options: {
    ...STORE_OPTION,
    ...BLOBS_OPTION,
    ...HANDLER_OPTIONS,
    id: { value: 'ID', help: 'id of the operation (default: the environment variable WAYBILL_OPERATION_ID)' },
    ...JSON_LINES_OPTION,
  },
  examples: [
    'WAYBILL_OPERATION_ID=01941f29-7c00-7000-8000-000000000001 waybill run ./processor.ts --store postgres://worker@db/orders',
  ],
  run: runOne,
}

async function runOne(given: ParsedArgs): Promise<number> {
  const url = given.storeUrl()
  const operationId = given.text('id') || process.env.WAYBILL_OPERATION_ID
  if (!operationId) throw new UsageError('No operation is given: use --id ID, or set WAYBILL_OPERATION_ID.')
  // runOperation handles SIGTERM once the store is open. Until then there is nothing to hand back, so exit at once.
  stopSignal().addEventListener('abort', () => {
    if (process.listenerCount('SIGTERM') === 1) process.exit(0)
  })
  const { files, types, run } = await namedHandlers(given)
  const blobs = await namedBlobs(given)
  const store = await storeFromUrl(url, { ...blobs, forExecution: true })
  const log = given.has('json') ? { logger: jsonLogger } : {}
  return await runOperation({ operations: types, store, handlers: files, run, operationId, ...blobs, ...log })
}
