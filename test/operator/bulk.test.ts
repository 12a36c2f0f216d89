/** Acts on many operations: by a filter, or by their ids. */
import { describe, expect } from 'vitest'
import { batchOf, defineOperation, handler, ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock } from 'waybill/testing'
import { isSuspended } from '../../src/model/operation.ts'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { carrier, parcels, send, startReceiver, statuses } from '../support/receiver.ts'
import { submissionOf } from '../support/submission.ts'
import { hasFinished, hasStatus, recordOf, submit, test, when } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders' })
const refunds = defineOperation({ name: 'refunds' })
const ann = { name: 'ann@example.com' }

describe('an action on all operations that match', () => {
  test('includes operations that were accepted in the same millisecond', async ({ lab }) => {
    const { now: clock, monotonic: monotonicClock } = manualClock(Date.now())
    const store = sqliteStore({ path: ':memory:', clock, monotonicClock })
    const waybill = await lab.waybill([orders], { store })
    for (let n = 0; n < 3; n++) await submit(waybill, orders)
    const run = await waybill.operator.bulk('cancel', { type: 'orders' }, ann)
    await hasStatus(store, run.id, 'completed')
    expect(await waybill.operator.bulkRun(run.id)).toMatchObject({ matched: 3, done: 3 })
  })

  test('has a preview, runs in the background, and skips operations that no longer match', async ({ lab }) => {
    const store = await lab.store()
    const waybill = await lab.waybill([orders, refunds], { store })
    const { operator } = waybill
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.push(await submit(waybill, orders, n, { owner: 'ann' }))
    const other = await submit(waybill, refunds)
    const filter = { type: 'orders', status: 'pending' } as const
    expect(await operator.preview('cancel', filter)).toMatchObject({ count: 5, complete: true, sample: { length: 5 } })
    expect(await operator.preview('retry', filter)).toEqual({
      count: 0,
      complete: true,
      sample: [],
      passedOver: [{ reason: 'unfinished', count: 5 }],
    })
    const run = await operator.bulk('cancel', filter, ann)
    expect(run).toMatchObject({ action: 'cancel', filter, actor: ann, matched: 0, done: 0 })
    await hasStatus(store, run.id, 'completed')
    expect(await operator.bulkRun(run.id)).toMatchObject({ status: 'completed', matched: 5, done: 5, skipped: 0 })
    for (const id of ids) expect((await recordOf(store, id)).status).toBe('canceled')
    expect((await recordOf(store, other)).status).toBe('pending')
    const retried = await operator.bulk('retry', { type: 'orders', status: 'canceled' }, ann)
    await hasStatus(store, retried.id, 'completed')
    expect(await operator.bulkRun(retried.id)).toMatchObject({ matched: 5, done: 5 })
    const again = await operator.bulk('retry', { type: 'orders' }, ann)
    await hasStatus(store, again.id, 'completed')
    expect(await operator.bulkRun(again.id)).toMatchObject({ matched: 0, done: 0 })
    const removed = await operator.bulk('delete', { status: 'canceled' }, ann)
    await hasStatus(store, removed.id, 'completed')
    expect(await operator.bulkRun(removed.id)).toMatchObject({ matched: 5, done: 5 })
    const runs = [removed, again, retried, run].map(({ id }) => id)
    expect((await operator.bulkRuns()).map(({ id }) => id).sort()).toEqual(runs.sort())
    expect(await operator.bulkRun('x')).toBeUndefined()
    const { items } = await operator.audit()
    expect(items.find(({ id }) => id === run.id)).toMatchObject({
      action: 'bulk-cancel',
      target: 'status:pending type:orders',
      actor: 'ann@example.com',
      count: 5,
    })
    expect(items.find(({ id }) => id === again.id)).toMatchObject({ action: 'bulk-retry', count: 0 })
  })

  test('accepts operations by their ids, and skips those that it cannot act on', async ({ lab }) => {
    const store = await lab.store()
    const waybill = await lab.waybill([orders], { store })
    const { operator } = waybill
    const ids: string[] = []
    for (let n = 0; n < 205; n++) ids.push(await submit(waybill, orders, n))
    const [first = '', second = ''] = ids
    const kept = await submit(waybill, orders)
    await operator.cancel(first, ann)
    const target = { ids: [...ids, second, 'none'] }
    const preview = await operator.preview('cancel', target)
    expect(preview).toMatchObject({ count: 204, complete: true, sample: { length: 10 } })
    expect(preview.sample[0]?.id).toBe(ids.slice(1).sort().at(-1))
    const run = await operator.bulk('cancel', target, ann)
    expect(run).toMatchObject({ filter: null, selected: 206 })
    await hasStatus(store, run.id, 'completed')
    expect(await operator.bulkRun(run.id)).toMatchObject({ matched: 206, done: 204, skipped: 2, failed: 0 })
    expect((await recordOf(store, kept)).status).toBe('pending')
    const [act] = (await operator.audit()).items
    expect(act).toMatchObject({
      action: 'bulk-cancel',
      selected: 206,
      count: 204,
      target: `${ids.slice(0, 3).join(', ')} and 203 more`,
    })
    for (const bad of [[], [''], Array.from({ length: 1001 }, (_, n) => `${n}`)]) {
      const refused = { problem: { code: 'invalid-request' } }
      await expect(operator.bulk('cancel', { ids: bad }, ann)).rejects.toMatchObject(refused)
      await expect(operator.preview('cancel', { ids: bad })).rejects.toMatchObject(refused)
    }
  })

  test('is left to a process that declares the types of the operations', async ({ lab }) => {
    const path = lab.file()
    const clock = manualClock(Date.now())
    const open = () => sqliteStore({ path, clock: clock.now, monotonicClock: clock.monotonic })
    const first = lab.composition([orders, refunds], { store: open() })
    await first.store.open()
    const ids = [await submit(first, orders), await submit(first, refunds)]
    for (const id of ids) await first.operator.cancel(id, ann)
    const run = await first.operator.bulk('retry', { status: 'canceled' }, ann)
    const act = { action: 'retry', actor: 'ann', target: ids[0] }
    const acts = '01941f29-7c00-7000-8000-000000000001'
    await first.store.accept(submissionOf(acts, { type: 'operator-acts', input: JSON.stringify(act) }))
    const other = await lab.waybill([refunds], { store: open() })
    for (const id of [run.id, acts]) await when(other.store, id, isSuspended)
    expect(await other.operator.bulkRun(run.id)).toMatchObject({ status: 'pending', matched: 0, done: 0 })
    // Which types it knows does not matter to what any process can do.
    const refund = await submit(other, refunds)
    await other.operator.cancel(refund, ann)
    const removed = await other.operator.bulk('delete', { ids: [refund] }, ann)
    await hasStatus(other.store, removed.id, 'completed')
    await other.stop()
    clock.advance(600_000)
    await first.start()
    lab.onEnd(() => first.stop())
    await hasStatus(first.store, run.id, 'completed')
    expect(await first.operator.bulkRun(run.id)).toMatchObject({ matched: 2, done: 2, skipped: 0 })
    await hasStatus(first.store, acts, 'completed')
    for (const id of ids) expect(await recordOf(first.store, id)).toMatchObject({ retriedBy: expect.any(String) })
  })

  test('retries a batch with failed items as a whole, and not its items separately', async ({ lab }) => {
    const store = await lab.store()
    const batches = batchOf(orders)
    let isOut = true
    const pack = handler(orders, input => {
      if (isOut && input === 'tea') throw new ProblemError({ code: 'out-of-stock', status: 409 })
      return input
    })
    const waybill = await lab.waybill([orders, batches], { store, worker: { handlers: pack } })
    const { operator } = waybill
    const whole = await submit(waybill, batches, ['pen', 'pen'])
    const partly = await submit(waybill, batches, ['tea', 'pen', 'tea'])
    for (const id of [whole, partly]) await hasStatus(store, id, 'completed')
    isOut = false
    expect(await operator.preview('retry', {})).toMatchObject({
      count: 1,
      sample: [{ id: partly }],
      passedOver: [
        { reason: 'completed', count: 4 },
        { reason: 'with-parent', count: 2 },
      ],
    })
    const run = await operator.bulk('retry', {}, ann)
    await hasStatus(store, run.id, 'completed')
    expect(await operator.bulkRun(run.id)).toMatchObject({ matched: 1, done: 1, skipped: 0 })
    const { retriedBy } = await recordOf(store, partly)
    await hasStatus(store, retriedBy ?? '', 'completed')
    const counts = { total: 2, completed: 2, failed: 0 }
    expect(await operator.get(retriedBy ?? '')).toMatchObject({ children: counts })
    expect(await operator.preview('retry', { status: 'failed' })).toMatchObject({
      count: 0,
      passedOver: [{ reason: 'with-parent', count: 2 }],
    })
  })

  test('retries the failed items of a batch that does not match', async ({ lab }) => {
    const store = await lab.store()
    const pack = handler(orders, () => {
      throw new ProblemError({ code: 'out-of-stock', status: 409 })
    })
    const batches = batchOf(orders)
    const waybill = await lab.waybill([orders, batches], { store, worker: { handlers: pack } })
    await hasStatus(store, await submit(waybill, batches, [1, 2]), 'completed')
    const filter = { status: 'failed' } as const
    expect(await waybill.operator.preview('retry', filter)).toMatchObject({ count: 2, passedOver: [] })
  })

  test('sends the webhooks of failed deliveries again, once for each operation', async ({ lab }) => {
    const store = await lab.store()
    const waybill = await carrier(lab, { retries: [] }, { store })
    const { operator } = waybill
    const receiver = await startReceiver(lab, { answer: statuses(500, 500, 500, 204) })
    const ids: string[] = []
    for (const _ of [1, 2]) {
      const id = await send(waybill, receiver.url, 'ok', 'alice')
      await hasStatus(store, deliveryId(id, 0), 'failed')
      ids.push(id)
    }
    const [first = '', second = ''] = ids
    const { id: again } = await operator.replay(first, ann)
    await hasStatus(store, again, 'failed')
    const filter = { type: 'webhook-deliveries', status: 'failed' } as const
    expect(await operator.preview('replay', filter)).toMatchObject({ count: 3, passedOver: [] })
    const run = await operator.bulk('replay', filter, ann)
    await hasStatus(store, run.id, 'completed')
    expect(await operator.bulkRun(run.id)).toMatchObject({ action: 'replay', matched: 3, done: 3 })
    for (const id of [deliveryId(first, 2), deliveryId(second, 1)]) await hasStatus(store, id, 'completed')
    expect(receiver.got).toHaveLength(5)
    const silent = await submit(waybill, parcels, 'ok', { owner: 'alice' })
    await hasFinished(store, silent)
    expect(await operator.preview('replay', { owner: 'alice' })).toMatchObject({
      count: 2,
      passedOver: [{ reason: 'no-webhook', count: 1 }],
    })
  })

  test('can be stopped, and does not undo what was done', async ({ lab }) => {
    const store = await lab.store()
    const { operator } = lab.composition([orders], { store })
    const run = await operator.bulk('delete', {}, ann)
    expect(await operator.cancelBulk(run.id, ann)).toMatchObject({ status: 'canceled' })
    await expect(operator.cancelBulk('x', ann)).rejects.toMatchObject({ problem: { code: 'not-found' } })
  })
})
