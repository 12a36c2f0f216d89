/** What operation types say of themselves for operators: tags, what is hidden, and what is searched. */
import { describe, expect, expectTypeOf, it } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { z } from 'zod'
import { readTags } from '../../src/model/tags.ts'
import { redactJson } from '../../src/operator/redact.ts'
import { hasStatus, submit, test } from '../support/waybill.ts'

const Order = z.object({
  customer: z.string(),
  card: z.string().default('none'),
  items: z.array(z.string()).default([]),
})
const orders = defineOperation({
  name: 'orders',
  input: Order,
  attempts: 1,
  tags: ({ customer, items }) => ({ customer, items: items.length, gift: undefined }),
  redact: ['/card'],
  searchInput: true,
})
const plain = defineOperation({ name: 'refunds' })

describe('tags', () => {
  test('are derived from the valid input, shown to the owner, and can be searched by operators', async ({ lab }) => {
    const waybill = await lab.waybill([orders, plain])
    const { operator, operations } = waybill
    const links = { status: '', result: '', operation: '', events: '' }
    const tagsOf = async (id: string) => (await operations.document(await operations.find(id, ''), links)).tags
    const id = await submit(waybill, orders, { customer: 'Ada', items: ['a', 'b'] })
    const tags = { customer: 'Ada', items: '2' }
    expect(await tagsOf(id)).toEqual(tags)
    expect((await operator.browse({ tag: { name: 'customer', value: 'Ada' } })).items).toMatchObject([{ id, tags }])
    await operator.cancel(id, { name: 'ann' })
    expect((await operator.retry(id, { name: 'ann' })).tags).toEqual(tags)
    expect(await tagsOf(await submit(waybill, plain))).toBeUndefined()
  })

  it('are limited: values are cut, and an error of the type is reported', () => {
    expect(readTags('orders', { a: 'x'.repeat(129), b: null, c: true })).toEqual({ a: 'x'.repeat(128), c: 'true' })
    expect(readTags('orders', {})).toBeNull()
    expect(() => readTags('orders', { [`n${'x'.repeat(32)}`]: 1 })).toThrow(TypeError)
    expect(() => readTags('orders', Object.fromEntries(Array.from({ length: 9 }, (_, n) => [n, n])))).toThrow(TypeError)
  })

  it('have the type of the input', () => {
    defineOperation({
      name: 'orders',
      input: Order,
      tags: input => {
        expectTypeOf(input).toEqualTypeOf<z.output<typeof Order>>()
        return {}
      },
    })
  })
})

describe('a field that a type hides', () => {
  it.each([
    [['/card'], '{"card":"1","a":[1]}', '{"card":"[redacted]","a":[1]}'],
    [
      ['/items/*/price', '/a~1b'],
      '{"items":[{"price":1},2],"a/b":{}}',
      '{"items":[{"price":"[redacted]"},2],"a/b":"[redacted]"}',
    ],
    [['/0'], '["x","y"]', '["[redacted]","y"]'],
    [['/card'], '"text"', '"text"'],
    [['/none/x'], '{"a":1}', '{"a":1}'],
    [[], ' {"a" : 1}', ' {"a" : 1}'],
  ])('%j of %s', (pointers, text, shown) => {
    expect(redactJson(text, pointers)).toBe(shown)
  })

  test('is hidden in inputs, outputs and steps, and cannot be searched', async ({ lab }) => {
    const pay = handler(orders, async ({ card }, job) => {
      await job.step('charge', () => ({ card, ok: true }))
      return { card, paid: true }
    })
    const waybill = await lab.waybill([orders, plain], { worker: { handlers: pay } })
    const { operator } = waybill
    const id = await submit(waybill, orders, { customer: 'Ada', card: '4711-secret', items: ['Apple'] })
    await hasStatus(waybill.store, id, 'completed')
    expect(JSON.parse((await operator.input(id)) ?? '')).toEqual({
      customer: 'Ada',
      card: '[redacted]',
      items: ['Apple'],
    })
    expect(await operator.output(id)).toBe('{"card":"[redacted]","paid":true}')
    expect((await operator.get(id))?.steps).toEqual([{ name: 'charge', value: '{"card":"[redacted]","ok":true}' }])
    const found = async (search: string) => (await operator.browse({ search })).items.map(item => item.id)
    expect(await found('aPPle')).toEqual([id])
    expect(await found('4711')).toEqual([])
    await submit(waybill, plain, 'pear')
    expect(await found('pear')).toEqual([])
    expect(await operator.preview('delete', { search: '4711' })).toMatchObject({ count: 0 })
  })

  it.each([{ redact: ['/a', ''] }, { redact: [7] }, { redact: ['/~2'] }, { redact: '/a' }])(
    'is refused by $redact',
    ({ redact }) => {
      expect(() => defineOperation({ name: 'orders', redact: redact as never })).toThrow(TypeError)
    },
  )
})
