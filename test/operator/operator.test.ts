import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { carrier, send, startReceiver, statuses } from '../support/receiver.ts'
import { faultyStore, hasFinished, hasStatus, submit, test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', attempts: 2, backoff: { initial: 1, max: 1 } })
const refunds = defineOperation({ name: 'refunds' })
const ann = { name: 'ann@example.com' }

const handlers = [
  handler(orders, async (input, job) => {
    job.log('packing')
    await job.step('charge', () => ({ id: 'ch_1' }))
    if (input === 'fail') throw new RangeError('no card')
    return { packed: input }
  }),
]

describe('what an operator sees', () => {
  test('the operations of all owners that fit a filter, newest first, page by page', async ({ lab }) => {
    const waybill = await lab.waybill([orders, refunds])
    const { operator } = waybill
    const ids: string[] = []
    for (const owner of ['ann', 'bob', 'ann', 'bob']) ids.push(await submit(waybill, orders, 1, { owner }))
    ids.sort()
    const first = await operator.browse({}, { limit: 3 })
    expect(first.items.map(({ id }) => id)).toEqual(ids.slice(1).reverse())
    expect(first).toMatchObject({ next: ids[1], scanned: 3 })
    const rest = await operator.browse({}, { after: first.next })
    expect(rest).toMatchObject({ items: [{ id: ids[0], owner: 'ann', status: 'pending' }], next: undefined })
    expect((await operator.browse({ owner: 'bob', type: 'orders', status: 'pending' })).items).toHaveLength(2)
    expect(await operator.browse({ type: 'refunds' })).toEqual({ items: [], next: undefined, scanned: 4 })
  })

  test.for([0, 501, 1.5])('no page of %d', async (limit, { lab }) => {
    const { operator } = await lab.waybill([orders])
    await expect(operator.browse({}, { limit })).rejects.toMatchObject({ problem: { code: 'invalid-request' } })
  })

  test('one operation with its attempts and what they threw, its steps, payloads and log', async ({ lab }) => {
    const waybill = await lab.waybill([orders], { worker: { handlers } })
    const id = await submit(waybill, orders, 'fail', { owner: 'ann' })
    await hasStatus(waybill.store, id, 'failed')
    const { operator } = waybill
    expect(await operator.get(id)).toMatchObject({
      id,
      owner: 'ann',
      status: 'failed',
      error: { code: 'operation-failed' },
      attempts: [
        { number: 1, outcome: 'failed', thrown: { name: 'RangeError', message: 'no card' } },
        { number: 2, outcome: 'failed', thrown: { name: 'RangeError', message: 'no card' } },
      ],
      steps: [{ name: 'charge', value: '{"id":"ch_1"}' }],
      deliveries: [],
      hasInput: true,
      hasOutput: false,
      isKnownType: true,
    })
    expect(await operator.input(id)).toBe('"fail"')
    expect(await operator.output(id)).toBeUndefined()
    const log = await operator.log(id)
    expect(log.map(({ message }) => message)).toEqual(['packing', 'packing'])
    expect(await operator.log(id, 1)).toEqual(log.slice(1))
    const done = await submit(waybill, orders, 'apple')
    await hasStatus(waybill.store, done, 'completed')
    expect(await operator.output(done)).toBe('{"packed":"apple"}')
    expect(await operator.get(done)).toMatchObject({ hasOutput: true, attempts: [{ thrown: null }] })
  })

  test('nothing of an id that is not known', async ({ lab }) => {
    const { operator } = await lab.waybill([orders])
    expect(await operator.get('01941f29-7c00-7000-8000-000000000001')).toBeUndefined()
    expect(await operator.get('x')).toBeUndefined()
    expect(await operator.input('x')).toBeUndefined()
  })

  test('the webhook deliveries of an operation of another owner', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(204) })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    expect(await waybill.operator.get(id)).toMatchObject({ deliveries: [{ number: 0, status: 'completed' }] })
  })
})

describe('what an operator cancels', () => {
  test('a pending operation is canceled at once, and once more', async ({ lab }) => {
    const waybill = await lab.waybill([orders])
    const id = await submit(waybill, orders, 1, { owner: 'bob' })
    expect(await waybill.operator.cancel(id, ann)).toMatchObject({ id, status: 'canceled' })
    expect(await waybill.operator.cancel(id, ann)).toMatchObject({ status: 'canceled' })
  })

  test('what has ended otherwise cannot be canceled, and what is not known neither', async ({ lab }) => {
    const waybill = await lab.waybill([orders], { worker: { handlers } })
    const id = await submit(waybill, orders)
    await hasFinished(waybill.store, id)
    const refused = (code: string) => ({ problem: { code } })
    await expect(waybill.operator.cancel(id, ann)).rejects.toMatchObject(refused('operation-finished'))
    await expect(waybill.operator.cancel('x', ann)).rejects.toMatchObject(refused('not-found'))
  })
})

test('a store that fails is told as unavailable', async ({ lab }) => {
  const { store, cut } = faultyStore(await lab.store())
  const { operator } = lab.composition([orders], { store })
  for (const call of ['browse', 'read', 'logs'] as const) cut.add(call)
  const calls = [operator.browse({}), operator.get('x'), operator.log('x'), operator.cancel('x', ann)]
  for (const call of calls) await expect(call).rejects.toMatchObject({ problem: { code: 'unavailable' } })
})
