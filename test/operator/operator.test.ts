import { dirname } from 'node:path'
import { describe, expect } from 'vitest'
import { batchOf, defineOperation, handler, media } from 'waybill'
import { folderBlobs } from 'waybill/blobs/folder'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { carrier, send, startReceiver, statuses } from '../support/receiver.ts'
import { submissionOf } from '../support/submission.ts'
import { faultyStore, hasFinished, hasStatus, submit, test, until } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', attempts: 2, backoff: { initial: 1, max: 1 } })
const refunds = defineOperation({ name: 'refunds' })
const codes = defineOperation({ name: 'codes', input: z.object({ pin: z.string() }), redact: ['/pin'] })
const ann = { name: 'ann@example.com' }

const handlers = [
  handler(orders, async (input, job) => {
    job.log('packing')
    await job.step('charge', () => ({ id: 'ch_1' }))
    if (input === 'fail') throw new RangeError('no card')
    return { packed: input }
  }),
]

describe('an operator sees', () => {
  test('the operations of all owners that match a filter, newest first, page by page', async ({ lab }) => {
    const waybill = await lab.waybill([orders, refunds])
    const { operator } = waybill
    const ids: string[] = []
    for (const owner of ['ann', 'bob', 'ann', 'bob']) ids.push(await submit(waybill, orders, 1, { owner }))
    ids.sort()
    const first = await operator.browse({}, { limit: 3 })
    expect(first.items.map(({ id }) => id)).toEqual(ids.slice(1).reverse())
    expect(first).toMatchObject({ next: ids[1], scanned: 3 })
    const rest = await operator.browse({}, { after: first.next })
    expect(rest).toMatchObject({ items: [{ id: ids[0], status: 'pending' }], next: undefined })
    expect((await operator.browse({ owner: 'bob', type: 'orders', status: 'pending' })).items).toHaveLength(2)
    expect(await operator.browse({ type: 'refunds' })).toEqual({ items: [], next: undefined, scanned: 4 })
  })

  test('the children of an operation, by their state', async ({ lab }) => {
    const store = await lab.store()
    const waybill = await lab.waybill([orders], { store })
    const { operator } = waybill
    const parent = await submit(waybill, orders)
    await store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id: parent } })
    expect(await operator.get(parent)).toMatchObject({ children: null, parent: null })
    await store.change(parent, { kind: 'has-children', attempt: 1 })
    const ids = [1, 2, 3].map(n => `01941f29-7c00-7000-8000-00000000000${n}`)
    for (const id of ids) await store.accept(submissionOf(id, { type: 'orders', parent }))
    await operator.cancel(ids[0] ?? '', ann)
    const counts = { total: 3, unfinished: 2, completed: 0, failed: 0, canceled: 1 }
    expect(await operator.get(parent)).toMatchObject({ children: counts })
    expect(await operator.get(ids[1] ?? '')).toMatchObject({ parent, children: null })
    const first = await operator.children(parent, 'unfinished', { limit: 1 })
    expect(first).toMatchObject({ items: [{ id: ids[1], parent }], next: ids[1] })
    expect(await operator.children(parent, 'unfinished', { after: first.next })).toMatchObject({
      items: [{ id: ids[2] }],
    })
    expect(await operator.children(parent, 'canceled')).toMatchObject({ items: [{ id: ids[0] }], next: undefined })
    expect(await operator.children(parent, 'failed')).toEqual({ items: [], next: undefined })
  })

  test('the results of a batch, in the order of its input', async ({ lab }) => {
    const store = await lab.store()
    const batches = batchOf(codes)
    const waybill = await lab.waybill([codes, batches], {
      store,
      worker: { handlers: handler(codes, ({ pin }) => ({ pin, no: 1 })) },
    })
    const { operator } = waybill
    const id = await submit(waybill, batches, [{ pin: 'a' }, { pin: 1 }, { pin: 'c' }])
    await hasStatus(store, id, 'completed')
    const first = await operator.results(id, { limit: 2 })
    expect(first).toMatchObject({
      items: [
        { index: 0, type: 'codes', status: 'completed', output: expect.stringContaining('"no":1') },
        { index: 1, status: 'failed', error: { code: 'invalid-input' } },
      ],
      next: '1',
    })
    expect(first.items[0]?.output).not.toContain('"a"')
    expect(first.items[1]?.output).toBeUndefined()
    const rest = await operator.results(id, { after: first.next })
    expect(rest).toMatchObject({ items: [{ index: 2 }], next: undefined })
    await expect(operator.results(id, { after: 'x' })).rejects.toMatchObject({ problem: { code: 'invalid-request' } })
    const [item] = first.items
    await expect(operator.results(item?.id ?? '')).rejects.toMatchObject({ problem: { code: 'not-found' } })
  })

  test.for([0, 501, 1.5])('no page of the invalid size %d', async (limit, { lab }) => {
    const { operator } = await lab.waybill([orders])
    await expect(operator.browse({}, { limit })).rejects.toMatchObject({ problem: { code: 'invalid-request' } })
  })

  test('one operation with its attempts and their errors, its steps, payloads and log', async ({ lab }) => {
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

  test('nothing for an unknown id', async ({ lab }) => {
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

describe('a webhook that an operator repeats', () => {
  test('is sent by a process that has the secrets, even if this one has none', async ({ lab }) => {
    const store = sqliteStore({ path: lab.file(), synchronous: 'NORMAL' })
    const receiver = await startReceiver(lab, { answer: statuses(204) })
    const waybill = await carrier(lab, {}, { store })
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(store, deliveryId(id, 0), 'completed')
    const { operator } = lab.composition([], { store })
    expect((await operator.get(id))?.deliveries).toMatchObject([{ number: 0, attempts: [{ answerStatus: 204 }] }])
    const again = await operator.replay(id, ann)
    expect(again).toMatchObject({ id: deliveryId(id, 1), number: 1, url: receiver.url })
    await hasStatus(store, again.id, 'completed')
    expect(await operator.replay(again.id, ann)).toMatchObject({ id: deliveryId(id, 2) })
    const [entry] = (await operator.audit()).items
    expect(entry).toMatchObject({ action: 'replay', detail: expect.stringContaining(deliveryId(id, 2)) })
  })

  test('is refused if it was never delivered', async ({ lab }) => {
    const waybill = await lab.waybill([orders])
    const id = await submit(waybill, orders)
    const refused = expect(waybill.operator.replay(id, ann)).rejects
    await refused.toMatchObject({ problem: { code: 'no-webhook' } })
    const unknown = expect(waybill.operator.replay('01941f29-7c00-7000-8000-000000000001', ann)).rejects
    await unknown.toMatchObject({ problem: { code: 'not-found' } })
  })
})

describe('a cancel by an operator', () => {
  test('cancels a pending operation at once, and can be repeated', async ({ lab }) => {
    const waybill = await lab.waybill([orders])
    const id = await submit(waybill, orders, 1, { owner: 'bob' })
    expect(await waybill.operator.cancel(id, ann)).toMatchObject({ id, status: 'canceled' })
    expect(await waybill.operator.cancel(id, ann)).toMatchObject({ status: 'canceled' })
  })

  test('is refused for a completed, failed or unknown operation', async ({ lab }) => {
    const waybill = await lab.waybill([orders], { worker: { handlers } })
    const id = await submit(waybill, orders)
    await hasFinished(waybill.store, id)
    const refused = (code: string) => ({ problem: { code } })
    await expect(waybill.operator.cancel(id, ann)).rejects.toMatchObject(refused('operation-finished'))
    await expect(waybill.operator.cancel('x', ann)).rejects.toMatchObject(refused('not-found'))
  })
})

describe('a retry or a deletion by an operator', () => {
  test('creates one new operation, which reuses the steps and has its own outcome', async ({ lab }) => {
    let charges = 0
    let works = false
    const pay = handler(orders, async (_, job) => {
      await job.step('charge', () => ++charges)
      if (!works) throw new Error('no paper')
    })
    const waybill = await lab.waybill([orders], { worker: { handlers: pay } })
    const { operator, store } = waybill
    const id = await submit(waybill, orders, 'x', { owner: 'bob' })
    await hasStatus(store, id, 'failed')
    const [first, second] = await Promise.all([operator.retry(id, ann), operator.retry(id, ann)])
    expect(second.id).toBe(first.id)
    expect(first).toMatchObject({ retryOf: id, owner: 'bob', type: 'orders' })
    expect(await operator.get(id)).toMatchObject({ status: 'failed', retriedBy: first.id })
    await hasStatus(store, first.id, 'failed')
    expect((await operator.retry(id, ann)).id).toBe(first.id)
    works = true
    const again = await operator.retry(first.id, ann)
    await hasStatus(store, again.id, 'completed')
    expect(charges).toBe(1)
    await expect(operator.retry(again.id, ann)).rejects.toMatchObject({ problem: { code: 'not-retryable' } })
  })

  test('runs the steps again if it is fresh', async ({ lab }) => {
    let charges = 0
    const pay = handler(orders, async (input, job) => {
      await job.step('charge', () => ++charges)
      if (charges === 1) throw new Error(`no paper for ${input}`)
    })
    const waybill = await lab.waybill([defineOperation({ name: 'orders', attempts: 1 })], { worker: { handlers: pay } })
    const id = await submit(waybill, orders)
    await waybill.operator.cancel(id, ann).catch(() => {})
    await hasFinished(waybill.store, id)
    const { id: again } = await waybill.operator.retry(id, ann, { fresh: true })
    await hasStatus(waybill.store, again, 'completed')
    expect(charges).toBe(2)
  })

  test('is refused for an operation that is unfinished, of an unknown type or deleted', async ({ lab }) => {
    const store = await lab.store()
    const { operator } = await lab.waybill([orders], { store })
    const refused = (code: string) => ({ problem: { code } })
    const pending = '01941f29-7c00-7000-8000-000000000001'
    const unknown = '01941f29-7c00-7000-8000-000000000002'
    await store.accept(submissionOf(pending))
    await store.accept(submissionOf(unknown, { type: 'gone' }))
    await store.change(unknown, { kind: 'cancel' })
    await expect(operator.retry(pending, ann)).rejects.toMatchObject(refused('operation-unfinished'))
    await expect(operator.delete(pending, ann)).rejects.toMatchObject(refused('operation-unfinished'))
    await expect(operator.retry(unknown, ann)).rejects.toMatchObject(refused('not-retryable'))
    await operator.delete(unknown, ann)
    await expect(operator.delete(unknown, ann)).rejects.toMatchObject(refused('operation-expired'))
    await operator.cancel(pending, ann)
    await operator.delete(pending, ann)
    await expect(operator.retry(pending, ann)).rejects.toMatchObject(refused('operation-expired'))
    expect(await operator.get(pending)).toMatchObject({ purged: true, hasInput: false, steps: [] })
  })

  test('deletes the blobs with the operation', async ({ lab }) => {
    const blobs = folderBlobs({ path: dirname(lab.file()) })
    const files = handler(orders, () => media('a,b', { type: 'text/csv' }))
    const waybill = await lab.waybill([orders], { worker: { handlers: files }, blobs })
    const id = await submit(waybill, orders)
    await hasStatus(waybill.store, id, 'completed')
    expect(await waybill.operator.output(id)).toBeUndefined()
    expect(await blobs.get(`${id}/1`)).toBeDefined()
    await waybill.operator.delete(id, ann)
    expect(await blobs.get(`${id}/1`)).toBeUndefined()
  })
})

describe('a question that an operator answers', () => {
  const transfers = defineOperation({ name: 'transfers' })
  const asks = handler(transfers, async (_, job) => {
    const isApproved = await job.ask('approval', { message: 'Transfer 1200?', schema: { type: 'boolean' } })
    return { isApproved, booked: await job.event('booked') }
  })

  test('is shown while the handler waits, which gets the answer', async ({ lab }) => {
    const waybill = await lab.waybill([transfers], { worker: { handlers: [asks] } })
    const { operator, store } = waybill
    const id = await submit(waybill, transfers, null, { owner: 'bob' })
    await until(async () => (await operator.get(id))?.waits.length === 1)
    const question = { kind: 'input', name: 'approval', until: null }
    const { items } = await operator.browse({ owner: 'bob' })
    expect(items[0]?.waits).toEqual([question])
    const all = { ...question, message: 'Transfer 1200?', schema: { type: 'boolean' } }
    expect((await operator.get(id))?.waits).toEqual([all])
    const send = (name: string, value: unknown) => operator.sendEvent(id, { name, value }, ann)
    await expect(send('approval', 'perhaps')).rejects.toMatchObject({ problem: { code: 'invalid-event' } })
    // What comes before it is waited for is kept.
    expect(await send('booked', 'R-17')).toMatchObject({ id, status: 'pending', waits: [question] })
    expect((await send('approval', false)).waits).toEqual([])
    await expect(send('approval', true)).rejects.toMatchObject({ problem: { code: 'event-refused' } })
    await hasFinished(store, id)
    expect(await operator.output(id)).toBe('{"isApproved":false,"booked":"R-17"}')
    await expect(send('later', 1)).rejects.toMatchObject({ problem: { code: 'operation-finished' } })
    await operator.delete(id, ann)
    await expect(send('later', 1)).rejects.toMatchObject({ problem: { code: 'operation-expired' } })
  })

  test('is in the audit with its name, but without the value', async ({ lab }) => {
    const waybill = await lab.waybill([transfers])
    const { operator, store } = waybill
    const id = await submit(waybill, transfers, null)
    await operator.sendEvent(id, { name: 'approval', value: 'a secret' }, ann)
    const [entry] = (await operator.audit()).items
    const expected = { action: 'event', target: id, actor: ann.name, count: 1, detail: 'The event is "approval".' }
    expect(entry).toMatchObject(expected)
    expect(await store.readPayload(entry?.id ?? '', 'input')).not.toContain('secret')
  })

  test('is not answered by another process after its own has died, and the audit records it', async ({ lab }) => {
    const store = await lab.store()
    const waybill = lab.composition([transfers], { store })
    const id = await submit(waybill, transfers, null)
    const act = { action: 'event', actor: 'ann', target: id, name: 'approval' }
    const actId = '01941f29-7c00-7000-8000-000000000001'
    await store.accept(submissionOf(actId, { type: 'operator-acts', input: JSON.stringify(act) }))
    await waybill.start()
    await hasStatus(store, actId, 'failed')
    const [entry] = (await waybill.operator.audit()).items
    expect(entry).toMatchObject({ action: 'event', count: 0, detail: expect.stringContaining('send it again') })
  })
})

describe('a paused type', () => {
  test('is not claimed in any process until it is resumed, and its operations say so', async ({ lab }) => {
    const path = lab.file()
    const other = await lab.waybill([orders], { store: sqliteStore({ path }), worker: { handlers } })
    const waybill = await lab.waybill([orders], { store: sqliteStore({ path }) })
    const { operator, operations } = waybill
    await operator.pause('orders', ann)
    await operator.pause('orders', ann)
    expect([...operator.paused()]).toEqual(['orders'])
    await until(() => other.operator.paused().has('orders'))
    const id = await submit(waybill, orders)
    expect(await other.store.claim({ holder: 'h', leaseMs: 1000, from: { id } })).toHaveLength(1)
    await other.store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'released' } })
    const links = { status: '', result: '', operation: '', events: '' }
    const document = await operations.document(await operations.find(id, ''), links)
    expect(document.waitingFor).toBe('Its operation type is paused.')
    expect(await waybill.metrics.text()).toContain('waybill_paused{operation="orders"} 1')
    expect((await operator.browse({})).items.map(it => it.id)).toEqual([id])
    await operator.resume('orders', ann)
    await hasStatus(waybill.store, id, 'completed')
    expect([...operator.paused()]).toEqual([])
    await expect(operator.pause('none', ann)).rejects.toMatchObject({ problem: { code: 'not-found' } })
  })

  test('stays paused after a restart, and no execution is started for it', async ({ lab }) => {
    const path = lab.file()
    const first = lab.composition([orders, refunds], { store: sqliteStore({ path }) })
    await first.start()
    await first.operator.pause('orders', ann)
    await first.stop()
    const started: string[] = []
    const launcher = {
      engine: 'test',
      start: async ({ type }: { type: string }) => {
        started.push(type)
        return type
      },
      stop: async () => {},
      inspect: async () => ({ kind: 'alive' }) as const,
    }
    const second = await lab.waybill([orders, refunds], { store: sqliteStore({ path }), dispatcher: { launcher } })
    await submit(second, orders)
    await submit(second, refunds)
    await until(() => started.length > 0)
    await second.operator.resume('orders', ann)
    await until(() => started.length === 2)
    expect(started).toEqual(['refunds', 'orders'])
  })
})

describe('the audit', () => {
  test('records each action with its actor, also the refused ones', async ({ lab }) => {
    const waybill = await lab.waybill([orders])
    const { operator } = waybill
    const id = await submit(waybill, orders)
    await operator.cancel(id, ann)
    const { id: retry } = await operator.retry(id, { name: 'bob' })
    await expect(operator.delete(retry, ann)).rejects.toThrow()
    await operator.delete(id, ann)
    const { items } = await operator.audit()
    // Those of one millisecond are in no order.
    const expected = [
      { action: 'cancel', target: id, actor: 'ann@example.com', count: 1, detail: null },
      { action: 'delete', target: id, actor: 'ann@example.com', count: 1, detail: null },
      { action: 'delete', target: retry, count: 0, detail: expect.stringContaining('pending') },
      { action: 'retry', target: id, actor: 'bob', count: 1, detail: expect.stringContaining(retry) },
    ]
    expect(items).toHaveLength(4)
    expect(items).toEqual(expect.arrayContaining(expected.map(entry => expect.objectContaining(entry))))
    const first = await operator.audit({ limit: 3 })
    expect((await operator.audit({ after: first.next })).items).toEqual(items.slice(3))
    await expect(operator.cancel(id, { name: '' })).rejects.toMatchObject({ problem: { code: 'invalid-request' } })
  })

  test('has an action whose process died, which another process completes', async ({ lab }) => {
    const store = await lab.store()
    const waybill = lab.composition([orders], { store })
    const id = await submit(waybill, orders)
    const act = { action: 'cancel', actor: 'ann', target: id }
    await store.accept(
      submissionOf('01941f29-7c00-7000-8000-000000000001', { type: 'operator-acts', input: JSON.stringify(act) }),
    )
    await waybill.start()
    await hasStatus(store, id, 'canceled')
  })
})

test('a store that fails is reported as unavailable', async ({ lab }) => {
  const { store, cut } = faultyStore(await lab.store())
  const { operator } = lab.composition([orders], { store })
  for (const call of ['browse', 'read', 'logs'] as const) cut.add(call)
  const calls = [operator.browse({}), operator.get('x'), operator.log('x'), operator.cancel('x', ann)]
  for (const call of calls) await expect(call).rejects.toMatchObject({ problem: { code: 'unavailable' } })
})
