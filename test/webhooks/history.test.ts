import { describe, expect } from 'vitest'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { carrier, carry, parcels, send, startReceiver, statuses, verified } from '../support/receiver.ts'
import { faultyStore, hasFinished, hasStatus, recordOf, test, until, when } from '../support/waybill.ts'

const NOT_FOUND = { problem: { status: 404, code: 'not-found' } }

describe('the history', () => {
  test('has each attempt with its outcome and the status code of the response', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(503, 202) })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    const deliveries = await waybill.webhooks.deliveries(id, 'alice')
    expect(deliveries).toMatchObject([
      {
        id: deliveryId(id, 0),
        number: 0,
        event: `msg_${id}`,
        url: receiver.url,
        status: 'completed',
        nextAttemptAt: null,
        attempts: [
          { number: 1, outcome: 'failed', answerStatus: 503, error: { code: 'webhook-not-delivered', status: 502 } },
          { number: 2, outcome: 'completed', answerStatus: 202, error: null },
        ],
      },
    ])
  })

  test('has the time of the next attempt', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(500) })
    const waybill = await carrier(lab, { retries: ['1h'] })
    const id = await send(waybill, receiver.url)
    const { runAt } = await when(waybill.store, deliveryId(id, 0), ({ runAt }) => runAt !== null)
    expect(await waybill.webhooks.deliveries(id, '')).toMatchObject([
      { status: 'pending', nextAttemptAt: runAt, finishedAt: null, attempts: [{ answerStatus: 500 }] },
    ])
  })

  test('contains only the status code of responses', async ({ lab }) => {
    const receiver = await startReceiver(lab, {
      answer: (_, response) => void response.writeHead(500).end('an inner secret'),
    })
    const waybill = await carrier(lab, { retries: [] })
    const id = await send(waybill, receiver.url)
    await hasFinished(waybill.store, deliveryId(id, 0))
    expect(JSON.stringify(await waybill.webhooks.deliveries(id, ''))).not.toContain('inner secret')
  })

  test('is visible only to the owner', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    for (const owner of ['bob', '']) {
      await expect(waybill.webhooks.deliveries(id, owner)).rejects.toMatchObject(NOT_FOUND)
      await expect(waybill.webhooks.redeliver(id, owner)).rejects.toMatchObject(NOT_FOUND)
    }
    expect(receiver.got).toHaveLength(1)
  })

  test.for(['', 'x', '../..', '00000000-0000-7000-8000-000000000000'])('has no operation %j', async (id, { lab }) => {
    const { webhooks } = await carrier(lab)
    await expect(webhooks.deliveries(id, '')).rejects.toMatchObject(NOT_FOUND)
    await expect(webhooks.redeliver(id, '')).rejects.toMatchObject(NOT_FOUND)
  })

  test('is kept longer than the operation', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const brief = { ...parcels, policy: { ...parcels.policy, retention: 0 } }
    const waybill = await carrier(lab, {}, { operations: [brief] })
    const { operation } = await waybill.operations.submit(brief, { input: 1, webhookUrl: receiver.url })
    await when(waybill.store, operation.id, ({ purged }) => purged)
    await hasStatus(waybill.store, deliveryId(operation.id, 0), 'completed')
    expect(await waybill.webhooks.deliveries(operation.id, '')).toMatchObject([{ status: 'completed' }])
    await waybill.webhooks.redeliver(operation.id, '')
    await until(() => receiver.got.length === 2)
  })

  test('is unavailable while the store is unreachable', async ({ lab }) => {
    const { store, cut } = faultyStore(await lab.store())
    const { webhooks } = await carrier(lab, {}, { store })
    cut.add('read')
    await expect(webhooks.deliveries('00000000-0000-7000-8000-000000000000', '')).rejects.toMatchObject({
      problem: { status: 503, code: 'unavailable' },
    })
  })
})

describe('a redelivery', () => {
  test('sends the same bytes with the same id, as a new delivery', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(410, 204) })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, deliveryId(id, 0), 'failed')
    const redelivery = await waybill.webhooks.redeliver(id, 'alice')
    expect(redelivery).toMatchObject({ id: deliveryId(id, 1), number: 1, event: `msg_${id}`, url: receiver.url })
    await hasStatus(waybill.store, redelivery.id, 'completed')
    const [first, second] = receiver.got
    expect(second?.body).toBe(first?.body)
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    for (const got of receiver.got) expect(verified(got).data.id).toBe(id)
    expect(await waybill.webhooks.deliveries(id, 'alice')).toMatchObject([
      { number: 0, status: 'failed' },
      { number: 1, status: 'completed' },
    ])
  })

  test('replaces a delivery that waits for a retry', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(500, 204) })
    const waybill = await carrier(lab, { retries: ['1h'] })
    const id = await send(waybill, receiver.url)
    await when(waybill.store, deliveryId(id, 0), ({ runAt }) => runAt !== null)
    const { id: second } = await waybill.webhooks.redeliver(id, '')
    await hasStatus(waybill.store, second, 'completed')
    expect((await recordOf(waybill.store, deliveryId(id, 0))).status).toBe('canceled')
    expect(receiver.got).toHaveLength(2)
  })

  test('aborts a delivery that is being sent', async ({ lab }) => {
    const held = Promise.withResolvers<void>()
    const receiver = await startReceiver(lab, {
      answer: (n, response) => (n === 1 ? held.resolve() : void response.writeHead(204).end()),
    })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    await held.promise
    await waybill.webhooks.redeliver(id, '')
    await hasStatus(waybill.store, deliveryId(id, 0), 'canceled')
    await hasStatus(waybill.store, deliveryId(id, 1), 'completed')
  })

  test('is made once for several concurrent requests', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    const all = await Promise.all(Array.from({ length: 5 }, () => waybill.webhooks.redeliver(id, '')))
    expect(new Set(all.map(({ id }) => id))).toEqual(new Set([deliveryId(id, 1)]))
    await hasStatus(waybill.store, deliveryId(id, 1), 'completed')
    expect(receiver.got).toHaveLength(2)
  })

  test('has a limit', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    for (let n = 1; n <= 20; n++) {
      const { id: again } = await waybill.webhooks.redeliver(id, '')
      await hasStatus(waybill.store, again, 'completed')
    }
    await expect(waybill.webhooks.redeliver(id, '')).rejects.toMatchObject({
      problem: { status: 429, code: 'too-many-requests' },
    })
    expect(await waybill.webhooks.deliveries(id, '')).toHaveLength(21)
  })

  test('requires a URL and an ended operation', async ({ lab }) => {
    const waybill = await carrier(lab, {}, { worker: { handlers: carry } })
    const { operation } = await waybill.operations.submit(parcels, { input: 'ok' })
    await expect(waybill.webhooks.redeliver(operation.id, '')).rejects.toMatchObject({
      problem: { status: 409, code: 'no-webhook' },
    })
    const waiting = await send(waybill, 'http://127.0.0.1:1/', 'wait')
    await expect(waybill.webhooks.redeliver(waiting, '')).rejects.toMatchObject({ problem: { code: 'not-finished' } })
  })
})
