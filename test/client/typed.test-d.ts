/** What the types of the typed client allow, and what they refuse; checked with all other types. */
import { expectTypeOf } from 'vitest'
import { defineOperation } from 'waybill'
import { client, type OperationHandle, type SavedOperation, type StatusDocument } from 'waybill/client'
import { z } from 'zod'
import { type CompletedOrder, orders } from '../../examples/orders/orders.ts'

const plain = defineOperation({ name: 'plain' })
const described = defineOperation({
  name: 'described',
  input: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'], additionalProperties: false },
  output: { type: 'number' },
})
const parsed = defineOperation({
  name: 'parsed',
  input: z.object({ at: z.string().transform(Number), many: z.number().default(1) }),
  output: z.string().transform(text => text.length),
})
const baseUrl = 'https://api.example.com'
const api = client({ orders, plain, described, parsed }, { baseUrl, headers: () => ({ authorization: 'Bearer t' }) })

export async function submits() {
  const order = await api.orders.submit({ customer: 'Ada', items: [{ name: 'Apple', quantity: 5 }] })
  expectTypeOf(order).toEqualTypeOf<OperationHandle<z.infer<typeof CompletedOrder>>>()
  const result = await order.result({
    timeout: 1000,
    cancelOnAbort: true,
    onStatus: ({ progress }) => progress?.fraction,
  })
  expectTypeOf(result.completedAt).toEqualTypeOf<string>()
  expectTypeOf(result.items[0]?.quantity).toEqualTypeOf<number | undefined>()
  // @ts-expect-error there is no such member of the output
  result.shippedAt

  expectTypeOf(await (await api.plain.submit({ any: ['thing'] })).result()).toEqualTypeOf<unknown>()
  expectTypeOf(await (await api.described.submit({ id: '1' })).result()).toEqualTypeOf<number>()
  // What is sent has not been parsed yet; what comes back has.
  expectTypeOf(await (await api.parsed.submit({ at: '1' })).result()).toEqualTypeOf<number>()

  // @ts-expect-error items are missing
  await api.orders.submit({ customer: 'Ada' })
  // @ts-expect-error a quantity is a number
  await api.orders.submit({ customer: 'Ada', items: [{ name: 'Apple', quantity: '5' }] })
  // @ts-expect-error an id is missing
  await api.described.submit({})
  // @ts-expect-error it is sent as a string
  await api.parsed.submit({ at: 1 })
  await api.plain.submit(null, { notBefore: new Date() })
  // @ts-expect-error a time is a Date
  await api.plain.submit(null, { notBefore: '2030-01-31T08:00:00Z' })
  // @ts-expect-error there is no such option
  await api.plain.submit(null, { key: '1' })
  // @ts-expect-error the API has no such operation type
  await api.refunds.submit({})
}

export async function follows(saved: SavedOperation) {
  const order = api.orders.attach(saved)
  expectTypeOf(order.status()).resolves.toEqualTypeOf<StatusDocument>()
  expectTypeOf(order.cancel()).resolves.toEqualTypeOf<StatusDocument>()
  for await (const status of order.events()) expectTypeOf(status).toEqualTypeOf<StatusDocument>()
  for await (const status of api.orders.list({ status: 'failed', pageSize: 10 })) {
    expectTypeOf(api.orders.attach(status)).toEqualTypeOf<OperationHandle<z.infer<typeof CompletedOrder>>>()
  }
  // @ts-expect-error a status is one of five
  api.orders.list({ status: 'done' })
  // @ts-expect-error the URL is missing
  api.orders.attach({ operation: 'orders' })
  // @ts-expect-error the URL is not to be changed
  order.url = ''
}

export function describes() {
  // With the types alone, nothing of the contract is bundled.
  const api = client<{ orders: typeof orders }>({ orders: { name: 'orders', resultKey: 'order' } }, { baseUrl })
  expectTypeOf(api.orders.attach('1')).toEqualTypeOf<OperationHandle<z.infer<typeof CompletedOrder>>>()
  // @ts-expect-error the name is another one
  client<{ orders: typeof orders }>({ orders: { name: 'invoices', resultKey: 'order' } })
  // @ts-expect-error the result key is another one
  client<{ orders: typeof orders }>({ orders: { name: 'orders', resultKey: 'result' } })
  // @ts-expect-error this is not an operation type
  client({ orders: { url: '/orders' } })
}
