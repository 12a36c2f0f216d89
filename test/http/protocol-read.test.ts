/** What docs/reference/http.md says of the status URL and of the result URL, statement by statement. */
import { expect } from 'vitest'
import type { StatusDocument } from 'waybill'
import { ProblemError } from 'waybill'
import { accepted, documentOf, problemOf } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer, ordersWith, type Wish } from '../support/order-server.ts'
import { followsReference } from '../support/reference.ts'
import { hasFinished, hasStatus, type TestContext, until, when } from '../support/waybill.ts'

const SECONDS = /^[1-9]\d*$/
const UNKNOWN = '0197a3b2-1111-7222-8333-444455556666'

/** An order that has come as far as its wish takes it. */
async function order(served: OpenOrderServer, wish: Wish): Promise<string> {
  const id = await accepted(served, '/orders', { wish })
  if (wish === 'hold') await when(served.store, id, ({ progress }) => progress !== null)
  else await hasFinished(served.store, id)
  return id
}

async function canceled(served: OpenOrderServer): Promise<string> {
  const id = await order(served, 'hold')
  await served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })
  await hasStatus(served.store, id, 'canceled')
  return id
}

function get({ app }: OpenOrderServer, url: string, headers: Record<string, string> = {}) {
  return app.inject({ url, headers })
}

/** What is past its retention, and has been swept. */
async function expired(lab: TestContext): Promise<{ served: OpenOrderServer; id: string }> {
  const served = await openOrderServer(lab, { type: ordersWith({ retention: 0 }), waybill: { sweepInterval: '1h' } })
  const id = await order(served, 'complete')
  await served.store.sweep(10)
  return { served, id }
}

followsReference('GET /orders/status/{id}', {
  '| 200 |': async lab => {
    const served = await openOrderServer(lab)
    const answer = await get(served, `/orders/status/${await order(served, 'hold')}`)
    expect(answer.statusCode).toBe(200)
    expect(answer.headers).toMatchObject({
      'retry-after': expect.stringMatching(SECONDS),
      etag: expect.stringMatching(/^W\/"\d+"$/),
      'content-type': 'application/json; charset=utf-8',
    })
    expect(documentOf(answer)).toMatchObject({ status: 'running', progress: { fraction: 0.5, message: 'packing' } })
  },

  '| 304 |': async lab => {
    const served = await openOrderServer(lab)
    const url = `/orders/status/${await order(served, 'hold')}`
    const { etag } = (await get(served, url)).headers
    const answer = await get(served, url, { 'if-none-match': String(etag) })
    expect([answer.statusCode, answer.body]).toEqual([304, ''])
    expect(answer.headers).toMatchObject({ 'retry-after': expect.stringMatching(SECONDS), etag })
  },

  '| 303 |': async lab => {
    const served = await openOrderServer(lab)
    const ends = [await order(served, 'complete'), await order(served, 'fail'), await canceled(served)]
    for (const [index, status] of (['completed', 'failed', 'canceled'] as const).entries()) {
      const id = ends[index] ?? ''
      const answer = await get(served, `/orders/status/${id}`)
      expect([answer.statusCode, answer.headers.location]).toEqual([303, `/orders/${id}`])
      expect(documentOf(answer)).toMatchObject({ id, status, retryAfter: 0 })
    }
  },

  '| 404 |': async lab => {
    const served = await openOrderServer(lab)
    const id = await order(served, 'complete')
    const [foreign, unknown] = await Promise.all(
      [id, UNKNOWN].map(which => get(served, `/orders/status/${which}`, { 'x-user': 'eve' })),
    )
    expect([foreign?.statusCode, foreign?.body]).toEqual([404, unknown?.body])
    if (unknown !== undefined) expect(problemOf(unknown).code).toBe('not-found')
  },

  '| 410 |': async lab => {
    const { served, id } = await expired(lab)
    const answer = await get(served, `/orders/status/${id}`)
    expect([answer.statusCode, problemOf(answer).code]).toEqual([410, 'operation-expired'])
  },

  '- `Prefer: wait=N`': async lab => {
    const served = await openOrderServer(lab, { api: { maxWait: '20ms' } })
    const url = `/orders/status/${await order(served, 'hold')}`
    const etag = String((await get(served, url)).headers.etag)
    // The server's cap comes before the client's N.
    const late = await get(served, url, { prefer: 'wait=3600' })
    expect([late.statusCode, late.headers['preference-applied']]).toEqual([200, 'wait=0'])
    expect((await get(served, url, { prefer: 'wait=3600', 'if-none-match': etag })).statusCode).toBe(304)

    const patient = await openOrderServer(lab)
    const id = await order(patient, 'hold')
    const known = String((await get(patient, `/orders/status/${id}`)).headers.etag)
    const changed = get(patient, `/orders/status/${id}`, { prefer: 'wait=60', 'if-none-match': known })
    const finished = get(patient, `/orders/status/${id}`, { prefer: 'wait=60' })
    await until(() => patient.waybill.operations.waiting === 2)
    await patient.store.change(id, { kind: 'progress', attempt: 1, progress: { fraction: 0.75 } })
    expect(documentOf(await changed)).toMatchObject({ status: 'running', progress: { fraction: 0.75 } })
    expect(patient.waybill.operations.waiting).toBe(1)
    patient.desk.letGo()
    expect((await finished).statusCode).toBe(303)
  },

  '- `Accept: text/event-stream`': async lab => {
    const served = await openOrderServer(lab, { type: ordersWith({ exposeLogs: true }) })
    const id = await order(served, 'complete')
    const headers = { accept: 'text/event-stream' }
    const answer = await get(served, `/orders/status/${id}`, headers)
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'text/event-stream'])
    const [, last = '', data = ''] = /event: status\nid: (\S+)\ndata: (.*)\n\n$/.exec(answer.body) ?? []
    expect(JSON.parse(data) as StatusDocument).toMatchObject({ id, status: 'completed' })
    const over = await get(served, `/orders/status/${id}`, { ...headers, 'last-event-id': last })
    expect([over.statusCode, over.body]).toEqual([204, ''])
    // The log, the comments and what resumes are in events.test.ts.
  },

  '- `Prefer: respond-async`': async lab => {
    const served = await openOrderServer(lab)
    const url = `/orders/status/${await order(served, 'hold')}`
    const answer = await get(served, url, { prefer: 'respond-async' })
    expect([answer.statusCode, answer.headers.location]).toEqual([202, url])
    expect(answer.headers['preference-applied']).toBe('respond-async')
  },
})

followsReference('GET /orders/{id}', {
  '| 200 |': async lab => {
    const served = await openOrderServer(lab)
    const id = await order(served, 'complete')
    const answer = await get(served, `/orders/${id}`)
    expect([answer.statusCode, answer.json()]).toEqual([200, { id, status: 'completed', order: { packed: true } }])
    const { etag, expires } = answer.headers
    expect(etag).toMatch(/^"\d+"$/)
    expect(new Date(String(expires)).toUTCString()).toBe(expires)
  },

  "| the failure's own": async lab => {
    const served = await openOrderServer(lab)
    const own = await get(served, `/orders/${await order(served, 'fail')}`)
    expect(own.statusCode).toBe(422)
    expect(own.json()).toMatchObject({ status: 'failed', error: { status: 422, title: 'Out of stock' } })
    const other = await get(served, `/orders/${await order(served, 'crash')}`)
    expect([other.statusCode, other.json<{ status: string }>().status]).toEqual([500, 'failed'])
    expect(other.body).not.toContain('secret')
  },

  'A status that speaks of the exchange': async lab => {
    for (const [status, answered] of [
      ...[401, 405, 407, 408, 412, 416, 417, 421, 425, 426].map(own => [own, 422] as const),
      [511, 500],
      ...[400, 403, 404, 409, 410, 422, 429, 500, 503, 599].map(own => [own, own] as const),
    ] as const) {
      const served = await openOrderServer(lab, { waybill: { worker: false } })
      const id = await accepted(served, '/orders', { wish: 'fail' })
      await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
      const { problem } = new ProblemError({ status, title: 'No' })
      await served.store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'failed', problem } })
      const answer = await get(served, `/orders/${id}`)
      expect([status, answer.statusCode]).toEqual([status, answered])
      expect(answer.json()).toMatchObject({ status: 'failed', error: { status } })
      expect((await get(served, `/orders/status/${id}`, { prefer: 'respond-async' })).statusCode).toBe(answered)
    }
  },

  '| 410 |': async lab => {
    const served = await openOrderServer(lab)
    const id = await canceled(served)
    const answer = await get(served, `/orders/${id}`)
    expect(answer.statusCode).toBe(410)
    expect(answer.json()).toMatchObject({ id, status: 'canceled', error: { code: 'operation-canceled' } })
  },

  '| 404 |': async lab => {
    const served = await openOrderServer(lab)
    const id = await order(served, 'hold')
    const answer = await get(served, `/orders/${id}`)
    expect([answer.statusCode, problemOf(answer).code]).toEqual([404, 'not-finished'])
    expect(answer.headers).toMatchObject({
      'retry-after': expect.stringMatching(SECONDS),
      link: `</orders/status/${id}>; rel="monitor"`,
    })
  },
})

followsReference('DELETE /orders/status/{id}', {
  '200: canceled': async lab => {
    const served = await openOrderServer(lab)
    const cancel = (id: string) => served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })
    const running = await order(served, 'hold')
    const told = await cancel(running)
    expect([told.statusCode, documentOf(told).cancelRequested]).toEqual([202, true])
    await hasStatus(served.store, running, 'canceled')
    expect((await cancel(running)).statusCode).toBe(200)
    for (const wish of ['complete', 'fail'] as const) {
      const late = await cancel(await order(served, wish))
      expect([late.statusCode, problemOf(late).code]).toEqual([409, 'operation-finished'])
    }
    const idle = await openOrderServer(lab, { waybill: { worker: false } })
    const pending = await accepted(idle, '/orders', { wish: 'complete' })
    const done = await idle.app.inject({ method: 'DELETE', url: `/orders/status/${pending}` })
    expect([done.statusCode, documentOf(done).status]).toEqual([200, 'canceled'])
  },

  'What is recorded first wins': async lab => {
    const served = await openOrderServer(lab, { waybill: { worker: false } })
    const id = await accepted(served, '/orders', { wish: 'complete' })
    await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
    expect((await served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })).statusCode).toBe(202)
    await served.store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '{}' } })
    expect(documentOf(await get(served, `/orders/status/${id}`)).status).toBe('completed')
    expect((await get(served, `/orders/${id}`)).statusCode).toBe(200)
  },
})
