import { describe, expect } from 'vitest'
import type { Store } from '../../src/stores/store.ts'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { carrier, carry, parcels, QUICK, secret, send, startReceiver, statuses, verified } from '../support/receiver.ts'
import { hasFinished, hasStatus, KeptLog, recordOf, test, until, when } from '../support/waybill.ts'

const firstDelivery = (id: string) => deliveryId(id, 0)

describe('a webhook', () => {
  test('reports the end of a completed operation: signed, small and once', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab, { baseUrl: 'https://api.example.com/v1/' })
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, firstDelivery(id), 'completed')
    expect(receiver.got).toHaveLength(1)
    const [got] = receiver.got
    if (got === undefined) throw new Error('Nothing was received.')
    expect(got).toMatchObject({
      method: 'POST',
      url: '/hooks',
      headers: {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(got.body)),
        'webhook-id': `msg_${id}`,
        'user-agent': 'Waybill-Webhooks',
      },
    })
    const { finishedAt } = await recordOf(waybill.store, id)
    expect(verified(got)).toEqual({
      type: 'parcel_runs.completed',
      timestamp: new Date(finishedAt ?? 0).toISOString(),
      data: {
        id,
        operation: 'parcel-runs',
        status: 'completed',
        links: {
          status: `https://api.example.com/v1/parcel-runs/status/${id}`,
          result: `https://api.example.com/v1/parcel-runs/${id}`,
          operation: `https://api.example.com/v1/operations/${id}`,
          events: `https://api.example.com/v1/parcel-runs/status/${id}`,
        },
      },
    })
    expect(await recordOf(waybill.store, id)).toMatchObject({ webhookDue: false })
    expect(await recordOf(waybill.store, firstDelivery(id))).toMatchObject({ owner: 'alice', attempt: 1 })
  })

  test('reports a failed operation with its problem, and a canceled one', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab)
    const failed = await send(waybill, receiver.url, 'fail')
    const canceled = await send(waybill, receiver.url, 'wait')
    await hasStatus(waybill.store, canceled, 'running')
    await waybill.operations.cancel(canceled, '')
    await until(() => receiver.got.length === 2)
    const events = receiver.got.map(got => verified(got))
    expect(events.find(({ data }) => data.id === failed)).toMatchObject({
      type: 'parcel_runs.failed',
      data: { status: 'failed', error: { status: 422, title: 'Too heavy', detail: 'It weighs a ton.' } },
    })
    expect(events.find(({ data }) => data.id === canceled)).toMatchObject({
      type: 'parcel_runs.canceled',
      data: { status: 'canceled', error: { code: 'operation-canceled' } },
    })
  })

  test('is retried with the same id and the same bytes, and a new signature', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(500, 404, 200) })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    await hasStatus(waybill.store, firstDelivery(id), 'completed')
    expect(receiver.got).toHaveLength(3)
    expect(new Set(receiver.got.map(({ body }) => body)).size).toBe(1)
    expect(new Set(receiver.got.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([`msg_${id}`]))
    for (const got of receiver.got) expect(verified(got).data.id).toBe(id)
  })

  test('fails after its last retry, with a log line for the operator', async ({ lab }) => {
    const logger = new KeptLog()
    const receiver = await startReceiver(lab, { answer: statuses(500) })
    const waybill = await carrier(lab, {}, { logger })
    const id = await send(waybill, receiver.url)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(receiver.got).toHaveLength(4)
    expect(delivery.error).toMatchObject({ code: 'webhook-not-delivered', reason: 'answer', answerStatus: 500 })
    expect(logger.lines.filter(({ level }) => level !== 'info')).toEqual([
      expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ reason: 'answer' }) }),
    ])
  })

  test('is not retried after 410', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(410) })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(receiver.got).toHaveLength(1)
    expect(delivery).toMatchObject({ attempt: 1, error: { reason: 'gone', answerStatus: 410 } })
  })

  test('is not sent earlier than Retry-After says, up to a day', async ({ lab }) => {
    const receiver = await startReceiver(lab, {
      answer: (n, response) => void response.writeHead(503, { 'Retry-After': n === 1 ? '7200' : '99999999' }).end(),
    })
    const waybill = await carrier(lab)
    const wait = async (id: string) => {
      const { runAt, updatedAt } = await when(waybill.store, firstDelivery(id), ({ runAt }) => runAt !== null)
      return ((runAt ?? 0) - updatedAt) / 3_600_000
    }
    const [two, day] = [await wait(await send(waybill, receiver.url)), await wait(await send(waybill, receiver.url))]
    expect(two).toBeGreaterThanOrEqual(2)
    expect(two).toBeLessThanOrEqual(2.41)
    expect(day).toBeGreaterThanOrEqual(24)
    expect(day).toBeLessThanOrEqual(28.81)
  })

  test('is retried by its schedule', async ({ lab }) => {
    const receiver = await startReceiver(lab, { answer: statuses(500) })
    const waybill = await carrier(lab, { retries: [0, '2h', '9h'] })
    const id = await send(waybill, receiver.url)
    const { runAt, updatedAt } = await when(waybill.store, firstDelivery(id), ({ runAt }) => runAt !== null)
    expect(((runAt ?? 0) - updatedAt) / 3_600_000).toBeGreaterThanOrEqual(2)
    expect(receiver.got).toHaveLength(2)
  })
})

describe('secrets', () => {
  test('of an old and a new kind both verify during a rotation', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab, { secrets: [secret(1, 64), secret(2, 24)] })
    await send(waybill, receiver.url)
    await until(() => receiver.got.length === 1)
    const [got] = receiver.got
    if (got === undefined) throw new Error('Nothing was received.')
    expect(got.headers['webhook-signature']?.split(' ')).toHaveLength(2)
    expect(verified(got, secret(1, 64)).data.status).toBe('completed')
    expect(verified(got, secret(2, 24)).data.status).toBe('completed')
    expect(() => verified(got, secret(3))).toThrow('No matching signature')
  })

  test('can be different for each owner; a failure to load them is logged and retried', async ({ lab }) => {
    const logger = new KeptLog()
    const receiver = await startReceiver(lab)
    let asked = 0
    const secrets = async (owner: string) => {
      if (++asked === 1) throw new Error('The vault is closed.')
      return [owner === 'alice' ? secret(11) : secret(12)]
    }
    const waybill = await carrier(lab, { secrets }, { logger })
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'completed')
    expect(receiver.got.map(got => verified(got, secret(11)).data.id)).toEqual([id])
    expect(delivery.history[0]?.error).toMatchObject({ reason: 'internal' })
    expect(JSON.stringify(delivery.history)).not.toContain('vault')
    expect(logger.lines.filter(({ level }) => level === 'error')).toHaveLength(1)
  })
})

describe('the end of an operation is delivered', () => {
  test('by the next process if the process stops between the end and the delivery', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const path = lab.file()
    const before = await lab.waybill([parcels], { store: await lab.store(path), worker: { handlers: carry } })
    const id = await send(before, receiver.url)
    expect(await hasFinished(before.store, id)).toMatchObject({ webhookDue: true })
    await before.stop()
    const after = await carrier(lab, {}, { store: await lab.store(path) })
    await hasStatus(after.store, firstDelivery(id), 'completed')
    expect(receiver.got.map(got => verified(got).data.id)).toEqual([id])
  })

  test('once if the process stops between the acceptance and the mark', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const store = await lab.store()
    const first = await lab.waybill([parcels], { store, worker: { handlers: carry } })
    const id = await send(first, receiver.url)
    await hasFinished(store, id)
    const accepted = Promise.withResolvers<void>()
    const change: Store['change'] = async (changed, by) => {
      if (by.kind !== 'webhook-accepted') return await store.change(changed, by)
      accepted.resolve()
      throw new Error('The process is gone.')
    }
    const crashing = new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name)
        return name === 'change' ? change : typeof member === 'function' ? member.bind(target) : member
      },
    })
    await carrier(lab, {}, { store: crashing })
    await accepted.promise
    await hasStatus(store, firstDelivery(id), 'completed')
    await carrier(lab, {}, { store })
    await when(store, id, ({ webhookDue }) => !webhookDue)
    expect(receiver.got).toHaveLength(1)
  })

  test('once by several processes on one file', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const path = lab.file()
    const before = await lab.waybill([parcels], { store: await lab.store(path), worker: { handlers: carry } })
    const ids = await Promise.all(Array.from({ length: 20 }, () => send(before, receiver.url)))
    for (const id of ids) await hasFinished(before.store, id)
    const [one, two] = await Promise.all([
      carrier(lab, {}, { store: await lab.store(path) }),
      carrier(lab, {}, { store: await lab.store(path) }),
    ])
    for (const id of ids) await hasStatus(one.store, firstDelivery(id), 'completed')
    for (const id of ids) await when(two.store, id, ({ webhookDue }) => !webhookDue)
    expect(receiver.got.map(({ headers }) => headers['webhook-id']).sort()).toEqual(ids.map(id => `msg_${id}`).sort())
  })

  test('later if a shutdown aborts the attempt, which is handed back and does not count', async ({ lab }) => {
    const held = Promise.withResolvers<void>()
    const receiver = await startReceiver(lab, {
      answer: (n, response) => (n === 1 ? held.resolve() : void response.writeHead(204).end()),
    })
    const path = lab.file()
    const before = await carrier(lab, {}, { store: await lab.store(path) })
    const id = await send(before, receiver.url)
    await held.promise
    await before.stop()
    const after = await carrier(lab, {}, { store: await lab.store(path) })
    const delivery = await hasStatus(after.store, firstDelivery(id), 'completed')
    expect(delivery).toMatchObject({ attempt: 2, released: 1 })
    expect(receiver.got[1]?.body).toBe(receiver.got[0]?.body)
  })

  test('by an attempt that ends within the shutdown time', async ({ lab }) => {
    const stopping = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const receiver = await startReceiver(lab, {
      answer: (_, response) => {
        held.resolve()
        void stopping.promise.then(() => response.writeHead(204).end())
      },
    })
    const path = lab.file()
    const waybill = await carrier(lab, { shutdownTimeout: '30s' }, { store: await lab.store(path) })
    const id = await send(waybill, receiver.url)
    await held.promise
    const stopped = waybill.stop()
    stopping.resolve()
    await stopped
    const store = await lab.store(path)
    expect(await recordOf(store, firstDelivery(id))).toMatchObject({ status: 'completed', attempt: 1 })
  })
})

describe('an event', () => {
  test('is smaller than 20 kB whatever the error is', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab)
    const { store } = waybill
    const end = async (title: string, detail: string) => {
      const id = await send(waybill, receiver.url, 'wait')
      const { attempt } = await hasStatus(store, id, 'running')
      const problem = { type: 'about:blank', title, status: 422, detail }
      await store.change(id, { kind: 'finish', attempt, outcome: { kind: 'failed', problem } })
      await hasStatus(store, firstDelivery(id), 'completed')
      return verified(receiver.got.at(-1) ?? expect.fail('Nothing was received.')).data.error
    }
    expect(await end('Short', 'long '.repeat(10_000))).toEqual({ type: 'about:blank', title: 'Short', status: 422 })
    expect(await end('long '.repeat(10_000), 'Short')).toBeUndefined()
  })

  test('contains neither the input nor the result', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url, 'a-private-matter')
    await hasStatus(waybill.store, firstDelivery(id), 'completed')
    expect(receiver.got[0]?.body).not.toContain('a-private-matter')
    expect(verified(receiver.got[0] ?? expect.fail()).data).not.toHaveProperty('links')
  })
})

test('an operation without a URL has no delivery', async ({ lab }) => {
  const waybill = await carrier(lab)
  const { operation } = await waybill.operations.submit(parcels, { input: 1 })
  await hasFinished(waybill.store, operation.id)
  expect(await waybill.store.webhooksDue(10)).toEqual([])
  expect(await waybill.webhooks.deliveries(operation.id, '')).toEqual([])
})

test('an operation type with the name of deliveries is refused', ({ lab }) => {
  const taken = { ...parcels, name: 'webhook-deliveries' }
  expect(() => lab.composition([taken], { webhooks: QUICK })).toThrow('"webhook-deliveries" is reserved')
})
