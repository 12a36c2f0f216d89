/** What docs/reference/http.md says of POST, statement by statement. */
import { expect } from 'vitest'
import { ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { countOf, documentOf, post, problemOf, type Served } from '../support/http.ts'
import { ANYONE, openOrderServer, ordersWith, type Wish } from '../support/order-server.ts'
import { followsReference, HEADINGS } from '../support/reference.ts'
import { faultyStore, hasStatus, test } from '../support/waybill.ts'

const SECONDS = /^[1-9]\d*$/

function place(served: Served, wish: Wish, headers: Record<string, string> = {}) {
  return post(served, '/orders', { wish }, headers)
}

test('every section of docs/reference/http.md is walked by a test', () => {
  // One here, the others in protocol-read.test.ts, blobs-http.test.ts, http-conditions.test.ts, protocol-around.test.ts, retry-delete.test.ts, admin/admin.test.ts, test/batches and test/http/mcp.
  expect(HEADINGS).toEqual([
    'POST /orders',
    'GET /orders/status/{id}',
    'GET /orders/{id}',
    'GET /orders/{id}, where the result is not JSON',
    'DELETE /orders/status/{id}',
    'POST /operations/{id}:retry',
    'DELETE /operations/{id}',
    'Conditions',
    'GET /orders',
    'POST /orders/batches',
    'POST /mcp',
    'GET /operations/{id}/attempts',
    'GET and POST /operations/{id}/events/{name}',
    'The status document',
    'Dialects',
    'Around it',
    'The admin API',
  ])
})

followsReference('POST /orders', {
  'Where the option `principal`': async lab => {
    const served = await openOrderServer(lab, {
      api: {
        listing: true,
        principal: ({ headers }) => {
          if (headers['x-user'] === 'eve') throw new ProblemError({ status: 403, title: 'Not you' })
          if (headers['x-user'] === 'bob') throw new TypeError('the directory is away')
          return headers['x-user'] as string | undefined
        },
      },
    })
    const { id } = documentOf(await place(served, 'complete', { 'x-user': 'ann' }))
    const who = [undefined, 'eve', 'bob', 'ann']
    for (const url of ['/orders', `/orders/status/${id}`, `/operations/${id}`]) {
      const answers = who.map(user => served.app.inject({ url, headers: user === undefined ? {} : { 'x-user': user } }))
      const [nobody, eve, bob, ann] = await Promise.all(answers)
      expect([nobody, eve, bob, ann].map(answer => answer?.statusCode)).toEqual([401, 403, 500, 200])
      expect(nobody?.headers['www-authenticate']).toBe('Bearer')
    }
  },

  '`Not-Before` delays the work': async lab => {
    const served = await openOrderServer(lab)
    const inAnHour = new Date(Math.floor(Date.now() / 1000) * 1000 + 3_600_000)
    for (const value of [
      inAnHour.toUTCString(),
      inAnHour.toISOString(),
      `${inAnHour.toISOString().slice(0, 19)}+00:00`,
    ]) {
      const answer = await place(served, 'complete', { 'not-before': value })
      const { status, notBefore, links } = documentOf(answer)
      expect([answer.statusCode, status]).toEqual([202, 'pending'])
      // The store counts the delay from its own acceptance, a moment later.
      expect(Math.abs(Date.parse(`${notBefore}`) - inAnHour.getTime())).toBeLessThan(60_000)
      expect(documentOf(await served.app.inject(links.status)).notBefore).toBe(notBefore)
    }
    const passed = documentOf(await place(served, 'complete', { 'not-before': 'Sun, 29 Nov 2020 12:00:00 GMT' }))
    expect(passed.notBefore).toBeUndefined()
    const [nextYear, muchLater] = [1, 3].map(years => new Date().getFullYear() + years)
    const none = [`${nextYear}-02-30T08:00:00Z`, `Tue, 30 Feb ${nextYear} 08:00:00 GMT`]
    for (const value of ['tomorrow', '2030-01-31', '-5', `${muchLater}-01-31T08:00:00Z`, ...none]) {
      const refused = await place(served, 'complete', { 'not-before': value })
      expect([value, refused.statusCode]).toEqual([value, 400])
      expect(problemOf(refused).detail).toContain(`Not-Before must be an HTTP date`)
    }
  },

  '| 202 | accepted': async lab => {
    const file = lab.file()
    const served = await openOrderServer(lab, { waybill: { worker: false, store: sqliteStore({ path: file }) } })
    const answer = await place(served, 'complete')
    const { id, status, retryAfter } = documentOf(answer)
    expect([answer.statusCode, status]).toEqual([202, 'pending'])
    expect(answer.headers).toMatchObject({
      location: `/orders/status/${id}`,
      'operation-location': `/operations/${id}`,
      'retry-after': String(retryAfter),
    })
    // Durable, and readable by another process.
    expect(await (await lab.store(file)).read(id)).toMatchObject({ id, status: 'pending' })
    expect((await served.app.inject(String(answer.headers.location))).statusCode).toBe(200)
  },

  '| 200, or': async lab => {
    const served = await openOrderServer(lab)
    for (const [wish, code] of [
      ['complete', 200],
      ['fail', 422],
      ['crash', 500],
    ] as const) {
      const answer = await place(served, wish, { prefer: 'wait=60' })
      const { id } = answer.json<{ id: string }>()
      expect([wish, answer.statusCode]).toEqual([wish, code])
      expect(answer.headers).toMatchObject({ 'content-location': `/orders/${id}`, 'preference-applied': 'wait=60' })
      const result = await served.app.inject(String(answer.headers['content-location']))
      expect(answer.body).toBe(result.body)
      for (const name of ['etag', 'expires', 'content-type']) expect(answer.headers[name]).toBe(result.headers[name])
    }
    const late = await place(served, 'hold', { prefer: 'wait=0' })
    expect([late.statusCode, late.headers['preference-applied']]).toEqual([202, 'wait=0'])
  },

  '| 202 | the same': async lab => {
    const served = await openOrderServer(lab)
    const headers = { 'idempotency-key': '"one"' }
    const first = await place(served, 'complete', headers)
    const again = await place(served, 'complete', headers)
    expect([again.statusCode, again.headers.location]).toEqual([202, first.headers.location])
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(await countOf(served.store, ordersWith(), ANYONE)).toBe(1)
    // One that waits is given the outcome of the first.
    const waited = await place(served, 'complete', { ...headers, prefer: 'wait=60' })
    expect([waited.statusCode, waited.headers['idempotency-replayed']]).toEqual([200, 'true'])
    expect(waited.json()).toMatchObject({ id: documentOf(first).id, status: 'completed' })
  },

  '| 400 |': async lab => {
    const served = await openOrderServer(lab, { type: ordersWith({ requireIdempotencyKey: true }) })
    const headers = { 'content-type': 'application/json', 'idempotency-key': '"k"' }
    const ask = async (payload: string, more: Record<string, string | undefined> = {}) => {
      const all = Object.entries({ ...headers, ...more }).filter(([, value]) => value !== undefined)
      const answer = await served.app.inject({
        method: 'POST',
        url: '/orders',
        payload,
        headers: Object.fromEntries(all) as Record<string, string>,
      })
      expect(answer.statusCode).toBe(400)
      return problemOf(answer)
    }
    const good = '{"wish":"complete"}'
    expect(await ask('{')).toMatchObject({ code: 'invalid-json' })
    const { code, errors } = await ask('{"wish":"more"}')
    expect([code, errors]).toEqual(['invalid-input', [{ pointer: '/wish', detail: expect.any(String) }]])
    expect(await ask(good, { 'idempotency-key': '"' })).toMatchObject({ code: 'invalid-idempotency-key' })
    expect(await ask(good, { 'idempotency-key': undefined })).toMatchObject({ code: 'idempotency-key-required' })
    expect(await ask(good, { 'webhook-url': 'https://example.com/' })).toMatchObject({ code: 'webhooks-not-allowed' })
    expect(await countOf(served.store, ordersWith())).toBe(0)
  },

  '| 413, 415 |': async lab => {
    const served = await openOrderServer(lab, { type: ordersWith({ bodyLimit: 30 }) })
    const ask = (payload: string, type: string) =>
      served.app.inject({ method: 'POST', url: '/orders', payload, headers: { 'content-type': type } })
    const large = await ask(`{"wish":"complete"${' '.repeat(30)}}`, 'application/json')
    expect([large.statusCode, problemOf(large).code]).toEqual([413, 'body-too-large'])
    const text = await ask('{"wish":"complete"}', 'text/plain')
    expect([text.statusCode, problemOf(text).code]).toEqual([415, 'unsupported-media-type'])
    expect(await countOf(served.store, ordersWith())).toBe(0)
  },

  '| 422 |': async lab => {
    const served = await openOrderServer(lab)
    const headers = { 'idempotency-key': '"one"' }
    await place(served, 'complete', headers)
    const other = await place(served, 'fail', headers)
    expect([other.statusCode, problemOf(other).code]).toEqual([422, 'idempotency-key-reused'])
    expect(problemOf(other).detail).toMatch(/new key/)
  },

  '| 429 |': async lab => {
    for (const policy of [{ inFlightLimit: 1 }, { rateLimit: { requests: 1, per: '1h' } }] as const) {
      const served = await openOrderServer(lab, { type: ordersWith(policy) })
      expect((await place(served, 'hold')).statusCode).toBe(202)
      const refused = await place(served, 'hold')
      expect([refused.statusCode, problemOf(refused).code]).toEqual([429, 'too-many-requests'])
      expect(refused.headers['retry-after']).toMatch(SECONDS)
      // The limit is this caller's: another one is taken.
      expect((await place(served, 'hold', { 'x-user': 'ann' })).statusCode).toBe(202)
    }
  },

  '| 503 |': async lab => {
    const { store, cut } = faultyStore(await lab.store())
    const full = await openOrderServer(lab, {
      type: ordersWith({ backlogLimit: 1 }),
      waybill: { store, worker: false },
    })
    const refuses = async () => {
      const refused = await place(full, 'complete')
      expect([refused.statusCode, problemOf(refused).code]).toEqual([503, 'unavailable'])
      expect(refused.headers['retry-after']).toMatch(SECONDS)
    }
    cut.add('accept')
    await refuses()
    cut.clear()
    full.waybill.operations.drain()
    await refuses()
    const deep = await openOrderServer(lab, { type: ordersWith({ backlogLimit: 1 }), waybill: { worker: false } })
    const { operation } = await deep.waybill.operations.submit(ordersWith(), { input: { wish: 'complete' } })
    expect(operation.status).toBe('pending')
    expect((await place(deep, 'complete')).statusCode).toBe(503)
  },

  'Bodies are compared as JSON values': async lab => {
    const brief = ordersWith({ retention: 0 })
    const served = await openOrderServer(lab, { type: brief, waybill: { sweepInterval: '1h' } })
    const headers = { 'idempotency-key': '"one"', 'content-type': 'application/json' }
    const ask = (payload: string, more: Record<string, string> = {}) =>
      served.app.inject({ method: 'POST', url: '/orders', payload, headers: { ...headers, ...more } })
    const first = documentOf(await ask('{"wish":"complete","a":1}'))
    expect(documentOf(await ask(' {"a": 1.0,\n"wish": "complete" } ')).id).toBe(first.id)
    expect(documentOf(await ask('{"wish":"fail"}', { 'x-user': 'ann' })).id).not.toBe(first.id)
    await hasStatus(served.store, first.id, 'completed')
    await served.store.sweep(10)
    expect(documentOf(await ask('{"wish":"fail"}')).id).not.toBe(first.id)
  },
})
