import { expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { accepted, byHeader, documentOf, problemOf, type Served, serve } from '../support/http.ts'
import { hasStatus, recordOf, test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', attempts: 1 })

async function cancel({ app }: Served, id: string, headers: Record<string, string> = {}) {
  return await app.inject({ method: 'DELETE', url: `/orders/status/${id}`, headers })
}

test('a pending operation is canceled at once: 200, and 200 again', async ({ lab }) => {
  const served = await serve(lab, [orders])
  const id = await accepted(served, '/orders')
  for (const _ of ['first', 'again']) {
    const response = await cancel(served, id)
    expect(response.statusCode).toBe(200)
    expect(documentOf(response)).toMatchObject({ id, status: 'canceled', cancelRequested: true })
  }
  expect((await recordOf(served.store, id)).version).toBe(2)
})

test('a running operation is asked to stop: 202 until it has stopped, then 200', async ({ lab }) => {
  const open = Promise.withResolvers<void>()
  const handlers = handler(orders, async (_, job) => {
    await open.promise
    job.signal.throwIfAborted()
  })
  const served = await serve(lab, [orders], { worker: { handlers, gracePeriod: '1m' } })
  const id = await accepted(served, '/orders')
  await hasStatus(served.store, id, 'running')
  for (const _ of ['first', 'again']) {
    const response = await cancel(served, id)
    expect(response.statusCode).toBe(202)
    expect(response.headers).toMatchObject({
      location: `/orders/status/${id}`,
      'retry-after': expect.stringMatching(/^[1-9]\d*$/),
    })
    expect(documentOf(response)).toMatchObject({ status: 'running', cancelRequested: true })
  }
  open.resolve()
  await hasStatus(served.store, id, 'canceled')
  expect((await cancel(served, id)).statusCode).toBe(200)
})

test('a completed or failed operation cannot be canceled: 409', async ({ lab }) => {
  const handlers = handler(orders, input => {
    if (input === 'fail') throw new Error('no')
  })
  const served = await serve(lab, [orders], { worker: { handlers } })
  for (const [input, status] of [
    ['well', 'completed'],
    ['fail', 'failed'],
  ] as const) {
    const id = await accepted(served, '/orders', input)
    const before = await hasStatus(served.store, id, status)
    const response = await cancel(served, id)
    expect(response.statusCode).toBe(409)
    expect(problemOf(response)).toMatchObject({
      code: 'operation-finished',
      detail: expect.stringContaining(`"${status}"`),
    })
    expect(await recordOf(served.store, id)).toEqual(before)
  }
})

test('concurrent cancels all answer correctly, and one takes effect', async ({ lab }) => {
  const served = await serve(lab, [orders])
  const id = await accepted(served, '/orders')
  const responses = await Promise.all(Array.from({ length: 20 }, () => cancel(served, id)))
  expect(new Set(responses.map(({ statusCode }) => statusCode))).toEqual(new Set([200]))
  expect((await recordOf(served.store, id)).version).toBe(2)
})

test('if a cancel and an outcome are concurrent, the first one that is recorded counts', async ({ lab }) => {
  const served = await serve(lab, [orders])
  for (let round = 0; round < 10; round++) {
    const id = await accepted(served, '/orders')
    await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
    const outcome = { kind: 'completed', output: '1' } as const
    const [response] = await Promise.all([
      cancel(served, id),
      served.store.change(id, { kind: 'finish', attempt: 1, outcome }),
    ])
    expect([202, 409]).toContain(response.statusCode)
    expect((await recordOf(served.store, id)).status).toBe('completed')
  }
})

test('a caller cannot cancel operations of others', async ({ lab }) => {
  const served = await serve(lab, [orders], { principal: byHeader })
  const id = await accepted(served, '/orders', {}, { 'x-user': 'ann' })
  expect((await cancel(served, id, { 'x-user': 'eve' })).statusCode).toBe(404)
  expect((await recordOf(served.store, id)).status).toBe('pending')
  expect((await cancel(served, id, { 'x-user': 'ann' })).statusCode).toBe(200)
})

test('a cancel may come with a body or a media type, as some clients send them', async ({ lab }) => {
  const served = await serve(lab, [orders])
  for (const payload of [undefined, '', '{}']) {
    const id = await accepted(served, '/orders')
    const response = await served.app.inject({
      method: 'DELETE',
      url: `/orders/status/${id}`,
      headers: { 'content-type': 'application/json' },
      ...(payload !== undefined && { payload }),
    })
    expect(response.statusCode).toBe(200)
  }
})
