import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { accepted, byHeader, documentOf, problemOf, type Served, serve } from '../support/http.ts'
import { hasStatus, test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', attempts: 1, inFlightLimit: 2 })
const UNKNOWN = '01941f29-7c00-7000-8000-000000000001'

const failing = handler(orders, () => {
  throw new Error('no')
})

async function ask({ app }: Served, method: 'GET' | 'POST' | 'DELETE', url: string, user = '') {
  return await app.inject({ method, url, headers: { 'x-user': user } })
}

const retry = (served: Served, id: string, user?: string) => ask(served, 'POST', `/operations/${id}:retry`, user)
const remove = (served: Served, id: string, user?: string) => ask(served, 'DELETE', `/operations/${id}`, user)

describe('retry', () => {
  test('202 with the new operation, and the same one again; both documents link to each other', async ({ lab }) => {
    const served = await serve(lab, [orders], { worker: { handlers: failing }, prefix: '/api' })
    const id = await accepted(served, '/api/orders', 'x')
    await hasStatus(served.store, id, 'failed')
    const first = await ask(served, 'POST', `/api/operations/${id}:retry`)
    expect(first.statusCode).toBe(202)
    const document = documentOf(first)
    expect(first.headers).toMatchObject({
      location: `/api/orders/status/${document.id}`,
      'operation-location': `/api/operations/${document.id}`,
      'retry-after': expect.any(String),
    })
    expect(first.headers).not.toHaveProperty('idempotency-replayed')
    expect(document).toMatchObject({ status: 'pending', links: { retryOf: `/api/orders/status/${id}` } })
    const second = await ask(served, 'POST', `/api/operations/${id}:retry?fresh=true`)
    expect(second.headers).toMatchObject({ location: first.headers.location, 'idempotency-replayed': 'true' })
    const old = documentOf(await ask(served, 'GET', `/api/orders/status/${id}`))
    expect(old.links).toMatchObject({ retriedBy: `/api/orders/status/${document.id}` })
    expect(old.links).not.toHaveProperty('retryOf')
  })

  test('409 for a running or completed operation, and 400 for an invalid flag', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    expect(problemOf(await retry(served, id))).toMatchObject({ code: 'operation-unfinished', status: 409 })
    expect((await ask(served, 'POST', `/operations/${id}:retry?fresh=1`)).statusCode).toBe(400)
  })

  test('404 for an unknown operation, or one of another owner', async ({ lab }) => {
    const served = await serve(lab, [orders], { principal: byHeader })
    const id = await accepted(served, '/orders', 1, { 'x-user': 'ann' })
    await ask(served, 'DELETE', `/orders/status/${id}`, 'ann')
    for (const [other, user] of [
      [id, 'bob'],
      [UNKNOWN, 'ann'],
    ] as const) {
      expect((await retry(served, other, user)).statusCode).toBe(404)
      expect((await remove(served, other, user)).statusCode).toBe(404)
    }
    expect((await retry(served, id, 'ann')).statusCode).toBe(202)
  })

  test('429 past the limit of the type, as for any request', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    await ask(served, 'DELETE', `/orders/status/${id}`)
    for (const _ of [1, 2]) await accepted(served, '/orders')
    expect((await retry(served, id)).statusCode).toBe(429)
  })
})

describe('delete', () => {
  test('204, then 410 at every URL', async ({ lab }) => {
    const served = await serve(lab, [orders], { worker: { handlers: failing } })
    const id = await accepted(served, '/orders')
    await hasStatus(served.store, id, 'failed')
    const response = await remove(served, id)
    expect([response.statusCode, response.body]).toEqual([204, ''])
    for (const url of [`/orders/${id}`, `/orders/status/${id}`, `/operations/${id}`]) {
      expect(problemOf(await ask(served, 'GET', url))).toMatchObject({ status: 410, code: 'operation-expired' })
    }
    expect((await remove(served, id)).statusCode).toBe(410)
    expect((await retry(served, id)).statusCode).toBe(410)
  })

  test('409 for an unfinished operation, unless the request also cancels it', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    expect(problemOf(await remove(served, id))).toMatchObject({ code: 'operation-unfinished' })
    expect((await ask(served, 'DELETE', `/operations/${id}?cancel=true`)).statusCode).toBe(204)
    expect((await ask(served, 'GET', `/orders/${id}`)).statusCode).toBe(410)
  })

  test('202 if the handler is asked to stop, and 204 once it has stopped', async ({ lab }) => {
    const open = Promise.withResolvers<void>()
    const waiting = handler(orders, async (_, job) => {
      await open.promise
      job.signal.throwIfAborted()
    })
    const served = await serve(lab, [orders], { worker: { handlers: waiting, gracePeriod: '1m' } })
    const id = await accepted(served, '/orders')
    await hasStatus(served.store, id, 'running')
    const url = `/operations/${id}?cancel=true`
    expect((await ask(served, 'DELETE', url)).statusCode).toBe(202)
    open.resolve()
    await hasStatus(served.store, id, 'canceled')
    expect((await ask(served, 'DELETE', url)).statusCode).toBe(204)
  })
})

test('a path with :cancel or :retry at its end allows only POST, and an id allows GET and DELETE', async ({ lab }) => {
  const served = await serve(lab, [orders])
  expect((await ask(served, 'DELETE', `/operations/${UNKNOWN}:retry`)).headers.allow).toBe('POST, OPTIONS')
  expect((await ask(served, 'POST', `/operations/${UNKNOWN}`)).headers.allow).toBe('GET, HEAD, DELETE, OPTIONS')
})
