import { describe, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { accepted, byHeader, documentOf, post, problemOf, type Served, serve } from '../support/http.ts'
import { faultyStore, hasFinished, hasStatus, recordOf, test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', resultKey: 'order', attempts: 1 })
const others = defineOperation({ name: 'others' })
const UNKNOWN = '0197a3b2-1111-7222-8333-444455556666'

const handlers = [
  handler(orders, input => {
    if (input === 'fail') throw new ProblemError({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
    if (input === 'crash') throw new Error('a secret of the server')
    return { done: input }
  }),
  handler(others, () => 'other'),
]

async function get({ app }: Served, url: string, headers: Record<string, string> = {}) {
  return await app.inject({ method: 'GET', url, headers })
}

describe('the status of an operation that', () => {
  test('is not finished is 200 with Retry-After, an ETag and the document', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders', { secret: 'input' })
    const response = await get(served, `/orders/status/${id}`)
    expect(response.statusCode).toBe(200)
    expect(response.headers).toMatchObject({
      'retry-after': expect.stringMatching(/^[1-9]\d*$/),
      etag: expect.stringMatching(/^W\/"\d+"$/),
      'cache-control': 'private, no-cache',
    })
    expect(documentOf(response)).toMatchObject({ id, status: 'pending', operation: 'orders' })
    expect(response.body).not.toContain('secret')
  })

  test('has not changed since is 304 with Retry-After and no body', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    const etag = String((await get(served, `/orders/status/${id}`)).headers.etag)
    for (const known of [etag, etag.replace('W/', ''), `"other", ${etag}`, '*']) {
      const response = await get(served, `/orders/status/${id}`, { 'if-none-match': known })
      expect([known, response.statusCode, response.body]).toEqual([known, 304, ''])
      expect(response.headers).toMatchObject({ etag, 'retry-after': expect.stringMatching(/^[1-9]\d*$/) })
      expect(response.headers).not.toHaveProperty('content-type')
    }
    await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
    const changed = await get(served, `/orders/status/${id}`, { 'if-none-match': etag })
    expect(changed.statusCode).toBe(200)
    expect(documentOf(changed)).toMatchObject({ status: 'running', attempt: 1, startedAt: expect.any(String) })
    expect(changed.headers.etag).not.toBe(etag)
  })

  test('runs has its progress', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
    await served.store.change(id, { kind: 'progress', attempt: 1, progress: { fraction: 0.4, message: 'packing' } })
    const { progress } = documentOf(await get(served, `/orders/status/${id}`))
    expect(progress).toEqual({ fraction: 0.4, message: 'packing' })
  })

  for (const input of ['well', 'fail', 'crash']) {
    test(`has finished is 303 to its result, ${input}`, async ({ lab }) => {
      const served = await serve(lab, [orders, others], { worker: { handlers } })
      const id = await accepted(served, '/orders', input)
      const { status } = await hasFinished(served.store, id)
      const response = await get(served, `/orders/status/${id}`, { 'if-none-match': '*' })
      expect(response.statusCode).toBe(303)
      expect(response.headers.location).toBe(`/orders/${id}`)
      expect(documentOf(response)).toMatchObject({ id, status, retryAfter: 0, expiresAt: expect.any(String) })
      expect(response.body).not.toContain('secret')
    })
  }

  test('was canceled is 303 to its result', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    await served.store.change(id, { kind: 'cancel' })
    const response = await get(served, `/orders/status/${id}`)
    expect([response.statusCode, response.headers.location]).toEqual([303, `/orders/${id}`])
    expect(documentOf(response)).toMatchObject({ status: 'canceled', error: { code: 'operation-canceled' } })
  })

  test('is delayed has the time of its start', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
    const problem = { type: 'about:blank', title: 'No', status: 500 }
    const outcome = { kind: 'released' } as const
    await served.store.change(id, { kind: 'finish', attempt: 1, outcome })
    expect(documentOf(await get(served, `/orders/status/${id}`))).toMatchObject({ status: 'pending', attempt: 0 })
    await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
    await served.store.change(id, { kind: 'cancel' })
    const asked = documentOf(await get(served, `/orders/status/${id}`))
    expect(asked).toMatchObject({ status: 'running', cancelRequested: true, attempt: 1 })
    await served.store.change(id, { kind: 'finish', attempt: 2, outcome: { kind: 'failed', problem } })
    expect((await recordOf(served.store, id)).status).toBe('failed')
  })
})

describe('the result of an operation that', () => {
  test('completed is 200 under the result key, with ETag and Expires', async ({ lab }) => {
    const served = await serve(lab, [orders, others], { worker: { handlers } })
    const id = await accepted(served, '/orders', 'well')
    const { expiresAt } = await hasStatus(served.store, id, 'completed')
    const response = await get(served, `/orders/${id}`)
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({ id, status: 'completed', order: { done: 'well' } })
    expect(response.headers).toMatchObject({
      etag: expect.stringMatching(/^"\d+"$/),
      expires: new Date(expiresAt ?? 0).toUTCString(),
      'cache-control': 'private',
    })
    const known = await get(served, `/orders/${id}`, { 'if-none-match': String(response.headers.etag) })
    expect([known.statusCode, known.body]).toEqual([304, ''])
    const other = await accepted(served, '/others', 1)
    await hasStatus(served.store, other, 'completed')
    expect((await get(served, `/others/${other}`)).json()).toEqual({ id: other, status: 'completed', result: 'other' })
  })

  test('failed with a problem of the handler has the status code of that problem', async ({ lab }) => {
    const served = await serve(lab, [orders, others], { worker: { handlers } })
    const id = await accepted(served, '/orders', 'fail')
    await hasStatus(served.store, id, 'failed')
    const response = await get(served, `/orders/${id}`)
    expect(response.statusCode).toBe(422)
    expect(response.json()).toMatchObject({ id, status: 'failed', error: { status: 422, code: 'out-of-stock' } })
  })

  test('failed by an error is 500, without the error', async ({ lab }) => {
    const served = await serve(lab, [orders, others], { worker: { handlers } })
    const id = await accepted(served, '/orders', 'crash')
    await hasStatus(served.store, id, 'failed')
    const response = await get(served, `/orders/${id}`)
    expect(response.statusCode).toBe(500)
    expect(response.json()).toMatchObject({ id, status: 'failed', error: { code: 'operation-failed' } })
    expect(response.body).not.toMatch(/secret|stack|\.ts/)
  })

  test('was canceled is 410', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    await served.store.change(id, { kind: 'cancel' })
    const response = await get(served, `/orders/${id}`)
    expect(response.statusCode).toBe(410)
    expect(response.json()).toMatchObject({ id, status: 'canceled', error: { code: 'operation-canceled' } })
  })

  test('is not finished is 404 with Retry-After and a link to its status', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const id = await accepted(served, '/orders')
    const response = await get(served, `/orders/${id}`)
    expect(response.statusCode).toBe(404)
    expect(problemOf(response)).toMatchObject({ code: 'not-finished', links: { status: `/orders/status/${id}` } })
    expect(response.headers).toMatchObject({
      'retry-after': expect.stringMatching(/^[1-9]\d*$/),
      link: `</orders/status/${id}>; rel="monitor"`,
    })
  })
})

test('an operation past its retention is 410 at every URL', async ({ lab }) => {
  const brief = defineOperation({ name: 'brief', retention: 0 })
  const served = await serve(lab, [brief])
  const id = await accepted(served, '/brief')
  await served.store.change(id, { kind: 'cancel' })
  await served.store.sweep(10)
  for (const [method, url] of routesOf(id, 'brief')) {
    const response = await served.app.inject({ method, url })
    expect([url, response.statusCode, problemOf(response).code]).toEqual([url, 410, 'operation-expired'])
  }
})

test('an operation that is unknown, of another type or of another owner is the same 404, byte for byte', async ({
  lab,
}) => {
  const served = await serve(lab, [orders, others], { principal: byHeader, worker: { handlers } })
  const foreign = await accepted(served, '/orders', 'well', { 'x-user': 'ann' })
  await hasStatus(served.store, foreign, 'completed')
  const waiting = await post(served, '/orders', 'well', { 'x-user': 'ann' })
  const ids = [foreign, documentOf(waiting).id, foreign.toUpperCase(), 'x', 'a%2Fb', 'status', '__proto__']
  for (const headers of [{}, { accept: 'text/event-stream' }, { prefer: 'wait=1' }, { 'if-none-match': '*' }]) {
    const bodies = new Set<string>()
    for (const [method, template] of routesOf('ID', 'orders')) {
      for (const id of [UNKNOWN, ...ids]) {
        const url = template.replace('ID', id)
        const response = await served.app.inject({ method, url, headers: { 'x-user': 'eve', ...headers } })
        expect([url, response.statusCode]).toEqual([url, 404])
        const { date: _, ...told } = response.headers
        bodies.add(JSON.stringify([told, response.body]))
      }
    }
    expect([...bodies]).toHaveLength(1)
  }
  for (const url of [`/others/status/${foreign}`, `/others/${foreign}`]) {
    expect((await get(served, url, { 'x-user': 'ann' })).statusCode).toBe(404)
  }
  expect((await get(served, `/orders/${foreign}`, { 'x-user': 'ann' })).statusCode).toBe(200)
})

/** Every route of one operation. */
function routesOf(id: string, name: string): ['GET' | 'DELETE' | 'POST', string][] {
  return [
    ['GET', `/${name}/status/${id}`],
    ['DELETE', `/${name}/status/${id}`],
    ['GET', `/${name}/${id}`],
    ['GET', `/operations/${id}`],
    ['POST', `/operations/${id}:cancel`],
  ]
}

test('every URL is 503 with Retry-After while the store is unreachable, and works again afterwards', async ({
  lab,
}) => {
  const { store, cut } = faultyStore(await lab.store())
  const served = await serve(lab, [orders], { store })
  const id = await accepted(served, '/orders')
  for (const name of ['read', 'readWithOutput'] as const) cut.add(name)
  for (const [method, url] of routesOf(id, 'orders')) {
    const response = await served.app.inject({ method, url })
    expect([url, response.statusCode, problemOf(response).code]).toEqual([url, 503, 'unavailable'])
    expect(response.headers['retry-after']).toMatch(/^[1-9]\d*$/)
  }
  cut.clear()
  expect((await get(served, `/orders/status/${id}`)).statusCode).toBe(200)
})
