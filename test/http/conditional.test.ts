/** Conditional requests (RFC 9110, 13): what docs/reference/http.md says of them, and the corners around it. */
import { expect } from 'vitest'
import { accepted, countOf, problemOf } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer, ordersWith, type Wish } from '../support/order-server.ts'
import { QUICK, startReceiver } from '../support/receiver.ts'
import { followsReference } from '../support/reference.ts'
import { hasFinished, recordOf, test, when } from '../support/waybill.ts'

async function order(served: OpenOrderServer, wish: Wish): Promise<string> {
  const id = await accepted(served, '/orders', { wish })
  if (wish === 'hold') await when(served.store, id, ({ progress }) => progress !== null)
  else await hasFinished(served.store, id)
  return id
}

function ask({ app }: OpenOrderServer, line: string, headers: Record<string, string> = {}) {
  const [method, url] = line.split(' ', 2) as ['GET', string]
  return app.inject({ method, url, headers })
}

async function statusOf(served: OpenOrderServer, line: string, headers: Record<string, string>): Promise<number> {
  return (await ask(served, line, headers)).statusCode
}

followsReference('Conditions', {
  '- `If-None-Match` of a GET': async lab => {
    const served = await openOrderServer(lab)
    const [held, done] = [await order(served, 'hold'), await order(served, 'complete')]
    for (const path of [`/orders/status/${held}`, `/orders/${done}`, '/openapi.json', '/docs']) {
      const etag = String((await ask(served, `GET ${path}`)).headers.etag)
      const opaque = etag.replace('W/', '')
      for (const known of [etag, opaque, `W/${opaque}`, `"a, b", ${etag}`, '*']) {
        expect([path, known, await statusOf(served, `GET ${path}`, { 'if-none-match': known })]).toEqual([
          path,
          known,
          304,
        ])
        expect(await statusOf(served, `HEAD ${path}`, { 'if-none-match': known })).toBe(304)
      }
      // A star inside a tag is a part of the tag.
      for (const other of ['"other"', '"a, *, b"', `"x${opaque.slice(1)}`]) {
        expect([other, await statusOf(served, `GET ${path}`, { 'if-none-match': other })]).toEqual([other, 200])
      }
    }
  },

  '- `If-Match` is compared strongly': async lab => {
    const served = await openOrderServer(lab, { api: { listing: true } })
    const id = await order(served, 'complete')
    const etag = String((await ask(served, `GET /orders/${id}`)).headers.etag)
    for (const [required, status] of [
      [etag, 200],
      [`"other", ${etag}`, 200],
      ['*', 200],
      [`W/${etag}`, 412],
      ['"other"', 412],
      ['', 412],
    ] as const) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(served, `${method} /orders/${id}`, { 'if-match': required })
        expect([required, method, answer.statusCode]).toEqual([required, method, status])
      }
    }
    expect(problemOf(await ask(served, `GET /orders/${id}`, { 'if-match': '"x"' })).code).toBe('precondition-failed')
    // If-Match is asked before If-None-Match (13.2.2).
    expect(await statusOf(served, `GET /orders/${id}`, { 'if-match': '"x"', 'if-none-match': etag })).toBe(412)
    for (const path of ['/orders', `/operations/${id}`, '/healthz', '/openapi.json']) {
      expect([path, await statusOf(served, `GET ${path}`, { 'if-match': '"x"' })]).toEqual([path, 412])
      expect([path, await statusOf(served, `GET ${path}`, { 'if-match': '*' })]).toEqual([path, 200])
    }
    const before = await countOf(served.store, ordersWith(), 'anyone')
    const post = (required: string) =>
      served.app.inject({
        method: 'POST',
        url: '/orders',
        payload: { wish: 'complete' },
        headers: { 'if-match': required },
      })
    expect((await post('"x"')).statusCode).toBe(412)
    expect(await countOf(served.store, ordersWith(), 'anyone')).toBe(before)
    expect((await post('*')).statusCode).toBe(202)
  },

  '- The `ETag` of a status is weak': async lab => {
    const served = await openOrderServer(lab)
    const id = await order(served, 'hold')
    const etag = String((await ask(served, `GET /orders/status/${id}`)).headers.etag)
    const refused = [{ 'if-match': '"nope"' }, { 'if-match': etag }, { 'if-match': etag.slice(2) }]
    for (const headers of [...refused, { 'if-none-match': '*' }, { 'if-none-match': etag }]) {
      const answer = await ask(served, `DELETE /orders/status/${id}`, headers)
      expect([headers, answer.statusCode, problemOf(answer).code]).toEqual([headers, 412, 'precondition-failed'])
    }
    for (const headers of refused) {
      expect(await statusOf(served, `GET /orders/status/${id}`, headers)).toBe(412)
      const stream = { ...headers, accept: 'text/event-stream' }
      expect(await statusOf(served, `GET /orders/status/${id}`, stream)).toBe(412)
      expect(await statusOf(served, `POST /operations/${id}:cancel`, headers)).toBe(412)
    }
    expect(await recordOf(served.store, id)).toMatchObject({ status: 'running', cancelRequested: false })
    expect(await statusOf(served, `GET /orders/status/${id}`, { 'if-match': '*' })).toBe(200)
    const canceled = await ask(served, `DELETE /orders/status/${id}`, { 'if-match': '*', 'if-none-match': '"other"' })
    expect([canceled.statusCode, canceled.json()]).toEqual([202, expect.objectContaining({ cancelRequested: true })])
    expect(await statusOf(served, `POST /operations/${id}:cancel`, { 'if-match': '*' })).toBe(200)
  },

  '- A response that is not a success': async lab => {
    const served = await openOrderServer(lab)
    const failed = await order(served, 'fail')
    const canceled = await order(served, 'hold')
    await ask(served, `DELETE /orders/status/${canceled}`)
    await hasFinished(served.store, canceled)
    const held = await order(served, 'hold')
    for (const headers of [{ 'if-none-match': '*' }, { 'if-match': '"x"' }]) {
      for (const [line, status] of [
        [`GET /orders/${failed}`, 422],
        [`GET /orders/${canceled}`, 410],
        [`GET /orders/${held}`, 404],
        [`GET /orders/status/${failed}`, 303],
        [`DELETE /orders/status/${failed}`, 409],
        [`POST /operations/${failed}:cancel`, 409],
        ['DELETE /orders/status/x', 404],
        ['POST /operations/x:cancel', 404],
        ['GET /orders/x', 404],
      ] as const) {
        expect([line, headers, await statusOf(served, line, headers)]).toEqual([line, headers, status])
      }
    }
    const etag = String((await ask(served, `GET /orders/${failed}`)).headers.etag)
    expect(await statusOf(served, `GET /orders/${failed}`, { 'if-none-match': etag })).toBe(422)
  },

  '`If-Modified-Since` and': async lab => {
    const served = await openOrderServer(lab)
    const id = await order(served, 'complete')
    const [before, after] = [new Date(0).toUTCString(), new Date(2 ** 42).toUTCString()]
    for (const headers of [{ 'if-modified-since': after }, { 'if-unmodified-since': before }]) {
      const answer = await ask(served, `GET /orders/${id}`, headers)
      expect([answer.statusCode, answer.headers['last-modified']]).toEqual([200, undefined])
    }
  },
})

test('conditions also apply to a result at the status URL', async ({ lab }) => {
  const served = await openOrderServer(lab, { api: { dialect: 'accepted' } })
  const id = await order(served, 'complete')
  const etag = String((await ask(served, `GET /orders/status/${id}`)).headers.etag)
  for (const [headers, status] of [
    [{ 'if-match': '"x"' }, 412],
    [{ 'if-match': etag }, 200],
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': '"x"' }, 200],
  ] as const) {
    expect([headers, await statusOf(served, `GET /orders/status/${id}`, headers)]).toEqual([headers, status])
  }
})

test('a webhook is not sent again if a precondition fails', async ({ lab }) => {
  const receiver = await startReceiver(lab)
  const served = await openOrderServer(lab, { type: ordersWith({ allowWebhooks: true }), waybill: { webhooks: QUICK } })
  const id = await accepted(served, '/orders', { wish: 'complete' }, { 'webhook-url': receiver.url })
  const path = `/operations/${id}/deliveries`
  const deliveries = async () => (await ask(served, `GET ${path}`)).json<{ items: { status: string }[] }>().items
  await hasFinished(served.store, id)
  await expect
    .poll(async () => (await deliveries()).map(({ status }) => status), { timeout: 240_000 })
    .toEqual(['completed'])
  expect(await statusOf(served, `POST ${path}`, { 'if-match': '"x"' })).toBe(412)
  expect(await deliveries()).toHaveLength(1)
  expect(await statusOf(served, 'POST /operations/x/deliveries', { 'if-match': '"x"' })).toBe(404)
  expect(await statusOf(served, `POST ${path}`, { 'if-match': '*' })).toBe(202)
  expect(await deliveries()).toHaveLength(2)
})
