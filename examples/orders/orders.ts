import { batchOf, defineOperation } from 'waybill'
import { z } from 'zod'

export const Order = z.object({
  customer: z.string().min(1).max(200),
  items: z
    .array(z.object({ name: z.string().min(1).max(200), quantity: z.int().min(1).max(1000) }))
    .min(1)
    .max(100),
})

export const CompletedOrder = Order.extend({ completedAt: z.iso.datetime() })

/** The contract, which the API, the job and the browser share. */
export const orders = defineOperation({
  name: 'orders',
  input: Order,
  output: CompletedOrder,
  resultKey: 'order',
  attempts: 3,
  timeout: '15m',
  retention: '7d',
  tool: {
    name: 'place_order',
    title: 'Place an order',
    description:
      'Orders items for a customer. Use it when the user wants to buy something; ask for the quantity first.',
    annotations: { readOnlyHint: false, destructiveHint: false },
  },
})

/** Many orders by one request: `POST /orders/batches`. */
export const orderBatches = batchOf(orders)
