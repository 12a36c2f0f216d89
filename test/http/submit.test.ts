import { describe, expect } from 'vitest'
import { defineOperation, ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { accepted, byHeader, countOf, documentOf, post, problemOf, serve } from '../support/http.ts'
import { faultyStore, recordOf, test } from '../support/waybill.ts'

const Order = z.object({ item: z.string(), quantity: z.int().min(1) })
const orders = defineOperation({ name: 'orders', input: Order, resultKey: 'order' })
const keyed = defineOperation({ name: 'keyed', requireIdempotencyKey: true })
const order = { item: 'apple', quantity: 3 }

describe('an accepted request', () => {
  test('is answered 202 with the status URL, Retry-After and the status document', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const response = await post(served, '/orders', order)
    expect(response.statusCode).toBe(202)
    const document = documentOf(response)
    const { id } = document
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(response.headers).toMatchObject({
      location: `/orders/status/${id}`,
      'operation-location': `/operations/${id}`,
      'retry-after': expect.stringMatching(/^[1-9]\d*$/),
      'content-type': 'application/json; charset=utf-8',
    })
    expect(response.headers).not.toHaveProperty('idempotency-replayed')
    expect(document).toMatchObject({
      id,
      operation: 'orders',
      status: 'pending',
      attempt: 0,
      maxAttempts: 3,
      queuePosition: 1,
      cancelRequested: false,
      waitingFor: 'It is next in the queue.',
      links: {
        status: `/orders/status/${id}`,
        result: `/orders/${id}`,
        operation: `/operations/${id}`,
        events: `/orders/status/${id}`,
      },
    })
    expect(String(document.retryAfter)).toBe(response.headers['retry-after'])
    expect(new Date(document.createdAt).toISOString()).toBe(document.createdAt)
  })

  test('is durable and readable by another process at once', async ({ lab }) => {
    const path = lab.file()
    const served = await serve(lab, [orders], { store: sqliteStore({ path }) })
    const id = await accepted(served, '/orders', order)
    const other = await lab.store(path)
    expect(await recordOf(other, id)).toMatchObject({ id, type: 'orders', status: 'pending', version: 1 })
    expect(await other.readPayload(id, 'input')).toBe(JSON.stringify(order))
  })

  test('keeps its trace context', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const id = await accepted(served, '/orders', order, { traceparent })
    expect((await recordOf(served.store, id)).traceparent).toBe(traceparent)
    for (const bad of ['x'.repeat(8000), traceparent.toUpperCase(), traceparent.replace('4bf', '4b'), '']) {
      const other = await accepted(served, '/orders', order, { traceparent: bad })
      expect((await recordOf(served.store, other)).traceparent).toBe(null)
    }
  })

  for (const type of ['application/json; charset=utf-8', 'APPLICATION/JSON', 'application/vnd.order+json']) {
    test(`may have the media type ${type}`, async ({ lab }) => {
      await accepted(await serve(lab, [orders]), '/orders', order, { 'content-type': type })
    })
  }
})

describe('a refused request', () => {
  test('lists the errors of its input by JSON Pointers, and is not stored', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const response = await post(served, '/orders', { item: 7, quantity: 0 })
    expect(response.statusCode).toBe(400)
    const problem = problemOf(response)
    expect(problem).toMatchObject({ type: 'urn:problem-type:waybill:invalid-input', code: 'invalid-input' })
    expect(problem.errors?.map(({ pointer }) => pointer)).toEqual(['/item', '/quantity'])
    for (const { detail } of problem.errors ?? []) expect(detail).not.toBe('')
    expect(await countOf(served.store, orders)).toBe(0)
  })

  test('that is not JSON is answered 400', async ({ lab }) => {
    const served = await serve(lab, [orders])
    for (const payload of ['', '{', 'apple', "{'item': 1}", '[1,]', 'NaN']) {
      const headers = { 'content-type': 'application/json' }
      const response = await served.app.inject({ method: 'POST', url: '/orders', payload, headers })
      expect(response.statusCode).toBe(400)
      expect(problemOf(response).code).toBe('invalid-json')
    }
    expect(await countOf(served.store, orders)).toBe(0)
  })

  test('that is larger than the type allows is answered 413', async ({ lab }) => {
    const small = defineOperation({ name: 'small', bodyLimit: 100 })
    const served = await serve(lab, [small])
    const response = await post(served, '/small', 'x'.repeat(99))
    expect(response.statusCode).toBe(413)
    expect(problemOf(response).code).toBe('body-too-large')
    await accepted(served, '/small', 'x'.repeat(98))
    expect(await countOf(served.store, small)).toBe(1)
  })

  test('of another media type is answered 415', async ({ lab }) => {
    const served = await serve(lab, [orders])
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'json']) {
      const response = await post(served, '/orders', order, { 'content-type': type })
      expect(response.statusCode).toBe(415)
      expect(problemOf(response).code).toBe('unsupported-media-type')
    }
    expect(await countOf(served.store, orders)).toBe(0)
  })

  test('past the limits of the type is answered 429 or 503 with Retry-After', async ({ lab }) => {
    const bounded = defineOperation({ name: 'bounded', inFlightLimit: 1, backlogLimit: 2 })
    const served = await serve(lab, [bounded], { principal: byHeader })
    await accepted(served, '/bounded', 1, { 'x-user': 'ann' })
    const again = await post(served, '/bounded', 2, { 'x-user': 'ann' })
    expect([again.statusCode, problemOf(again).code]).toEqual([429, 'too-many-requests'])
    expect(again.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    await accepted(served, '/bounded', 3, { 'x-user': 'bob' })
    await new Promise(resolve => setTimeout(resolve, 600)) // A view of the queue is used for half a second.
    const full = await post(served, '/bounded', 4, { 'x-user': 'cid' })
    expect([full.statusCode, problemOf(full).code]).toEqual([503, 'unavailable'])
    expect(full.headers['retry-after']).toMatch(/^[1-9]\d*$/)
  })

  test('is answered 503 with Retry-After while the store is unreachable, and can be repeated', async ({ lab }) => {
    const { store, cut } = faultyStore(await lab.store())
    const served = await serve(lab, [orders], { store })
    cut.add('accept')
    const response = await post(served, '/orders', order)
    expect(response.statusCode).toBe(503)
    expect(response.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    expect(problemOf(response).code).toBe('unavailable')
    expect(response.body).not.toContain('away')
    cut.clear()
    await accepted(served, '/orders', order)
    await store.close()
    expect((await post(served, '/orders', order)).statusCode).toBe(503)
  })
})

describe('an Idempotency-Key', () => {
  test('is required if the type says so', async ({ lab }) => {
    const served = await serve(lab, [keyed])
    const response = await post(served, '/keyed', 1)
    expect([response.statusCode, problemOf(response).code]).toEqual([400, 'idempotency-key-required'])
    await accepted(served, '/keyed', 1, { 'idempotency-key': '"k"' })
  })

  test('with the same body again is answered with the same operation, whatever the order of its keys', async ({
    lab,
  }) => {
    const served = await serve(lab, [orders])
    const headers = { 'idempotency-key': '"8e03978e-40d5-43e8-bc93-6894a57f9324"' }
    const first = await post(served, '/orders', order, headers)
    const again = await post(served, '/orders', { quantity: 3, item: 'apple' }, headers)
    expect(again.statusCode).toBe(202)
    expect(again.headers.location).toBe(first.headers.location)
    expect(first.headers).not.toHaveProperty('idempotency-replayed')
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(await countOf(served.store, orders)).toBe(1)
  })

  test('with another body is answered 422, with the advice to use a new key', async ({ lab }) => {
    const served = await serve(lab, [orders])
    const headers = { 'idempotency-key': 'k' }
    await accepted(served, '/orders', order, headers)
    const response = await post(served, '/orders', { ...order, quantity: 4 }, headers)
    expect(response.statusCode).toBe(422)
    expect(problemOf(response)).toMatchObject({
      code: 'idempotency-key-reused',
      detail: expect.stringContaining('Send a new key'),
    })
    expect(await countOf(served.store, orders)).toBe(1)
  })

  test('of 100 concurrent requests creates one operation', async ({ lab }) => {
    const path = lab.file()
    const [here, there] = await Promise.all(
      [1, 2].map(() => serve(lab, [orders], { store: sqliteStore({ path, synchronous: 'NORMAL' }) })),
    )
    const headers = { 'idempotency-key': 'race' }
    const responses = await Promise.all(
      Array.from({ length: 100 }, async (_, n) => {
        const served = n % 2 === 0 ? here : there
        if (served === undefined) throw new Error('There is no server.')
        return await post(served, '/orders', order, headers)
      }),
    )
    expect(new Set(responses.map(({ statusCode }) => statusCode))).toEqual(new Set([202]))
    expect(new Set(responses.map(({ headers: { location } }) => location)).size).toBe(1)
    expect(responses.filter(response => response.headers['idempotency-replayed'] === undefined)).toHaveLength(1)
    expect(await countOf(await lab.store(path), orders)).toBe(1)
  })

  test('belongs to its caller and its type', async ({ lab }) => {
    const served = await serve(lab, [orders, keyed], { principal: byHeader })
    const ids = [
      await accepted(served, '/orders', order, { 'idempotency-key': 'k', 'x-user': 'ann' }),
      await accepted(served, '/orders', order, { 'idempotency-key': 'k', 'x-user': 'bob' }),
      await accepted(served, '/keyed', order, { 'idempotency-key': 'k', 'x-user': 'ann' }),
    ]
    expect(new Set(ids).size).toBe(3)
  })

  test('is the same with and without double quotes and escapes', async ({ lab }) => {
    const served = await serve(lab, [keyed])
    const bare = await accepted(served, '/keyed', 1, { 'idempotency-key': 'a b\\c' })
    expect(await accepted(served, '/keyed', 1, { 'idempotency-key': '"a b\\\\c"' })).toBe(bare)
  })

  test('that is invalid is answered 400', async ({ lab }) => {
    const served = await serve(lab, [keyed])
    for (const key of ['', ' ', '""', '"open', 'x'.repeat(256), 'ü', '"a", "b"', 'a, b', 'a,b', 'tab\there']) {
      const response = await post(served, '/keyed', 1, { 'idempotency-key': key })
      expect([key, response.statusCode]).toEqual([key, 400])
      expect(problemOf(response).code).toBe('invalid-idempotency-key')
    }
    expect(await countOf(served.store, keyed)).toBe(0)
  })

  test('can be used again once its operation is purged', async ({ lab }) => {
    const brief = defineOperation({ name: 'brief', retention: 0 })
    const served = await serve(lab, [brief])
    const headers = { 'idempotency-key': 'k' }
    const first = await accepted(served, '/brief', 1, headers)
    await served.store.change(first, { kind: 'cancel' })
    await served.store.sweep(10)
    expect(await accepted(served, '/brief', 2, headers)).not.toBe(first)
  })
})

describe('the form of URLs', () => {
  test('is relative, with the prefix, and never contains the Host of the request', async ({ lab }) => {
    const served = await serve(lab, [orders], { prefix: '/api/v1' })
    const response = await post(served, '/api/v1/orders', order, {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'evil',
      forwarded: 'host=evil.example;proto=evil',
    })
    const { id, links } = documentOf(response)
    expect(response.headers.location).toBe(`/api/v1/orders/status/${id}`)
    expect(response.headers['operation-location']).toBe(`/api/v1/operations/${id}`)
    expect(links.result).toBe(`/api/v1/orders/${id}`)
    expect(response.body + JSON.stringify(response.headers)).not.toContain('evil')
    for (const url of Object.values(links)) {
      expect((await served.app.inject({ url, headers: { host: 'evil.example' } })).body).not.toContain('evil')
    }
  })

  test('is absolute with the public URL, with or without a slash at its end', async ({ lab }) => {
    const served = await serve(lab, [orders], { prefix: '/v1', publicUrl: 'https://api.example.com/shop/' })
    const response = await post(served, '/v1/orders', order)
    const { id } = documentOf(response)
    expect(response.headers.location).toBe(`https://api.example.com/shop/v1/orders/status/${id}`)
    expect(documentOf(response).links.operation).toBe(`https://api.example.com/shop/v1/operations/${id}`)
  })
})

test('a principal that refuses determines the problem and the Retry-After of the response', async ({ lab }) => {
  const principal = () => {
    throw new ProblemError({ status: 429, title: 'Slow down', code: 'slow' }, { retryAfter: 7000 })
  }
  const served = await serve(lab, [orders], { principal })
  const response = await post(served, '/orders', order)
  expect(response.statusCode).toBe(429)
  expect(problemOf(response)).toMatchObject({ code: 'slow', title: 'Slow down' })
  expect(response.headers['retry-after']).toBe('7')
})
