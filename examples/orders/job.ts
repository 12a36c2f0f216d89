import { runOperation } from 'waybill/job'
import { orders } from './orders.ts'
import { fail } from './settings.ts'
import { openStore } from './store.ts'

/** One execution, for one order: started by the process launcher, or in a container with ORDER_ID. */
process.exitCode = await runOperation({
  operations: [orders],
  store: await openStore({ forExecution: true }),
  handlers: new URL('./processor.ts', import.meta.url),
  run: 'inline',
  operationId: process.env.WAYBILL_OPERATION_ID || process.env.ORDER_ID || fail('Set ORDER_ID to the id of an order.'),
})
