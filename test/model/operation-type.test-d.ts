/** Types flow from a declaration to its handler and its client, whichever library the schemas are of. Checked by the compiler alone. */
import { Type } from 'typebox'
import {
  defineOperation,
  handler,
  media,
  type OperationInput,
  type OperationOutput,
  type OperationResult,
} from 'waybill'
import { z } from 'zod'

/** Fails to compile unless both types are the same. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : { readonly first: A; readonly second: B }
function same<_Is extends true>(): void {}

interface Order {
  item: string
  count: number
}

// Zod 4: what the client sends is the input of the schema, what the handler gets is its output.
const zod = defineOperation({
  name: 'orders',
  input: z.object({ item: z.string(), count: z.number().default(1), at: z.iso.date().transform(it => new Date(it)) }),
  output: z.object({ total: z.number(), paid: z.string().transform(Number) }),
  resultKey: 'order',
})
same<Same<OperationInput<typeof zod>, { item: string; at: string; count?: number | undefined }>>()
same<Same<OperationOutput<typeof zod>, { total: number; paid: number }>>()
same<Same<OperationResult<typeof zod>['order'], { total: number; paid: number }>>()
same<Same<OperationResult<typeof zod>['status'], 'completed'>>()
same<Same<typeof zod.name, 'orders'>>()

handler(zod, async (input, job) => {
  same<Same<typeof input, { item: string; count: number; at: Date }>>()
  const charged = await job.step('charge', () => ({ receipt: input.item }))
  same<Same<typeof charged, { receipt: string }>>()
  job.progress(0.5, 'packing')
  // @ts-expect-error A fraction is a number.
  job.progress('half')
  // @ts-expect-error There is no such level.
  job.log('charged', 'loud')
  return { total: input.count, paid: '3' }
})
handler(zod, () => ({ total: 1, paid: '3' }))
// @ts-expect-error The output lacks a member.
handler(zod, () => ({ total: 1 }))
// @ts-expect-error The handler gives what the schema reads, and not what it makes of it.
handler(zod, async () => ({ total: 1, paid: 3 }))
// @ts-expect-error The input has no such member.
handler(zod, input => ({ total: input.price, paid: '3' }))
// @ts-expect-error The result stands under its own key.
void ({} as OperationResult<typeof zod>).result

// TypeBox.
const typebox = defineOperation({
  name: 'orders',
  input: Type.Object({ item: Type.String(), count: Type.Number() }),
  output: Type.Union([Type.Literal('packed'), Type.Null()]),
})
same<Same<OperationInput<typeof typebox>, Order>>()
same<Same<OperationOutput<typeof typebox>, 'packed' | null>>()
same<Same<OperationResult<typeof typebox>['result'], 'packed' | null>>()
handler(typebox, ({ item, count }) => (item.length > count ? 'packed' : null))
// @ts-expect-error It is neither "packed" nor null.
handler(typebox, () => 'lost')

// Plain JSON Schema, written where it is used.
const plain = defineOperation({
  name: 'orders',
  input: {
    type: 'object',
    properties: {
      item: { type: 'string' },
      count: { type: 'number' },
      tags: { type: 'array', items: { enum: ['a', 'b'] } },
    },
    required: ['item', 'count'],
  },
  output: { type: 'object', properties: { total: { type: 'number' } }, required: ['total'] },
})
const input: OperationInput<typeof plain> = { item: 'apple', count: 1, tags: ['a'] }
const { item, count, tags }: { item: string; count: number; tags?: ('a' | 'b')[] } = input
void [item, count, tags]
// @ts-expect-error A required member is missing.
const incomplete: OperationInput<typeof plain> = { item: 'apple' }
void incomplete
handler(plain, it => ({ total: it.count }))
// @ts-expect-error A total is a number.
handler(plain, () => ({ total: 'one' }))

// A JSON Schema whose content the compiler does not know says nothing.
const loose = defineOperation({ name: 'orders', input: JSON.parse('{}') as Record<string, unknown> })
same<Same<OperationInput<typeof loose>, unknown>>()

// No schemas: any value.
const bare = defineOperation({ name: 'orders' })
same<Same<OperationInput<typeof bare>, unknown>>()
same<Same<OperationOutput<typeof bare>, unknown>>()
handler(bare, (it, job) => {
  same<Same<typeof it, unknown>>()
  same<Same<typeof job.signal, AbortSignal>>()
  return job.attempt
})

// Instead of the declared output: a file, or a stream.
handler(plain, () => new Blob(['x']))
handler(plain, () => media('x', { type: 'text/plain' }))
handler(plain, async it => (it.count > 1 ? media({ path: 'a.pdf' }, { type: 'application/pdf' }) : { total: it.count }))
// @ts-expect-error A media type is needed.
media('x', {})
// @ts-expect-error What says nothing of itself is not a result.
handler(plain, () => Buffer.from('x'))

// One schema alone.
const half = defineOperation({ name: 'orders', input: z.string() })
same<Same<OperationInput<typeof half>, string>>()
same<Same<OperationOutput<typeof half>, unknown>>()
handler(half, it => it.length)

// Options.
defineOperation({
  name: 'orders',
  timeout: '15m',
  retention: 1000,
  startDeadline: '1.5h',
  backoff: { initial: '250ms' },
})
// @ts-expect-error There is no such unit.
defineOperation({ name: 'orders', timeout: '15 minutes' })
// @ts-expect-error There is no such option.
defineOperation({ name: 'orders', retries: 3 })
// @ts-expect-error A name is needed.
defineOperation({})
