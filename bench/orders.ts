/** The operation types that are measured: the article's order, and one whose handler computes. */
import { defineOperation } from 'waybill'

/** An order as JSON Schema, which the bare route is given too. */
export const ORDER_SCHEMA = {
  type: 'object',
  required: ['customer', 'items', 'total'],
  properties: {
    customer: { type: 'string', minLength: 1, maxLength: 100 },
    items: {
      type: 'array',
      minItems: 1,
      maxItems: 100,
      items: {
        type: 'object',
        required: ['sku', 'quantity'],
        properties: { sku: { type: 'string' }, quantity: { type: 'integer', minimum: 1 } },
      },
    },
    total: { type: 'number', minimum: 0 },
  },
} as const

/** What is posted: about 200 bytes. */
export const ORDER = {
  customer: 'Ada Lovelace',
  items: [
    { sku: 'engine-1837', quantity: 1 },
    { sku: 'punched-cards', quantity: 2000 },
    { sku: 'note-g', quantity: 1 },
  ],
  total: 1815.12,
}

/** Accepted, and worked on where a scenario has a handler for it. */
export const orders = defineOperation({ name: 'orders', input: ORDER_SCHEMA, resultKey: 'order' })

/** Its handler keeps a core busy for this many milliseconds. */
export const crunches = defineOperation({
  name: 'crunches',
  input: { type: 'object', required: ['ms'], properties: { ms: { type: 'number' } } },
})
