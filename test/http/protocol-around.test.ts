/** What docs/reference/http.md says of lists, documents, dialects and what is around them, statement by statement. */

import fastify from 'fastify'
import { expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { frameworkErrors, waybill as plugin } from 'waybill/fastify'
import { isSuspended } from '../../src/model/operation.ts'
import { accepted, byHeader, documentOf, exchange, problemOf, sendWithoutEnd } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer, ordersWith, type Wish } from '../support/order-server.ts'
import { QUICK, startReceiver } from '../support/receiver.ts'
import { followsReference, textOf } from '../support/reference.ts'
import { serveNode } from '../support/servers.ts'
import { hasFinished, hasStatus, until, when } from '../support/waybill.ts'

const SECONDS = /^[1-9]\d*$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const alive = async () => ({ kind: 'alive' }) as const

async function order(served: OpenOrderServer, wish: Wish): Promise<string> {
  const id = await accepted(served, '/orders', { wish })
  if (wish === 'hold') await when(served.store, id, ({ progress }) => progress !== null)
  else if (wish === 'ask') await when(served.store, id, isSuspended)
  else await hasFinished(served.store, id)
  return id
}

function get({ app }: OpenOrderServer, url: string, headers: Record<string, string> = {}) {
  return app.inject({ url, headers })
}

followsReference('GET /orders', {
  'Only with `listing: true`': async lab => {
    const closed = await openOrderServer(lab)
    expect((await get(closed, '/orders')).statusCode).toBe(405)
    const served = await openOrderServer(lab, { api: { listing: true }, waybill: { worker: false } })
    const ids: string[] = []
    for (let n = 0; n < 51; n++) ids.push(await accepted(served, '/orders', { wish: 'complete' }))
    ids.reverse()
    const answer = await get(served, '/orders')
    const { items, next } = answer.json<{ items: { id: string; status: string }[]; next: string }>()
    expect(items.map(({ id }) => id)).toEqual(ids.slice(0, 50))
    expect(answer.headers.link).toBe(`<${next}>; rel="next"`)
    expect((await get(served, next)).json()).toEqual({ items: [expect.objectContaining({ id: ids[50] })] })
    expect((await get(served, '/orders?limit=200&status=pending')).json<{ items: unknown[] }>().items).toHaveLength(51)
    for (const bad of ['limit=0', 'limit=201', 'status=lost', 'cursor=x']) {
      expect((await get(served, `/orders?${bad}`)).statusCode).toBe(400)
    }
  },
})

followsReference('GET /operations/{id}/attempts', {
  'Only with `exposeAttempts: true`': async lab => {
    const closed = await openOrderServer(lab)
    const hidden = await order(closed, 'complete')
    expect((await get(closed, `/operations/${hidden}/attempts`)).statusCode).toBe(404)
    const served = await openOrderServer(lab, { api: { exposeAttempts: true } })
    const told = async (wish: Wish) => {
      const answer = await get(served, `/operations/${await order(served, wish)}/attempts`)
      expect(answer.body).not.toContain('a secret of the server')
      return answer.json<{ items: unknown[] }>().items
    }
    const time = expect.stringMatching(TIME)
    const [completed] = await told('complete')
    expect(completed).toEqual({ number: 1, startedAt: time, finishedAt: time, outcome: 'completed' })
    expect(await told('hold')).toEqual([{ number: 1, startedAt: time, outcome: 'running' }])
    expect(await told('fail')).toMatchObject([{ outcome: 'failed', error: { title: 'Out of stock' } }])
    expect(await told('crash')).toMatchObject([{ outcome: 'failed', error: { status: 500 } }])

    const launcher = { engine: 'kubernetes', start: async () => 'orders-1', stop: async () => {}, inspect: alive }
    const started = await openOrderServer(lab, {
      api: { exposeAttempts: true },
      waybill: { worker: false, dispatcher: { launcher } },
    })
    const id = await accepted(started, '/orders', { wish: 'complete' })
    await when(started.store, id, ({ execution }) => execution === 'orders-1')
    await started.store.claim({ from: { id }, holder: 'here', leaseMs: 60_000, execution: 'orders-1' })
    const { items } = (await get(started, `/operations/${id}/attempts`)).json<{ items: unknown[] }>()
    expect(items).toMatchObject([{ execution: 'orders-1', engine: 'kubernetes', outcome: 'running' }])

    // Launched by another process, and on another engine than this API would.
    const elsewhere = await openOrderServer(lab, { api: { exposeAttempts: true }, waybill: { worker: false } })
    const other = await accepted(elsewhere, '/orders', { wish: 'complete' })
    const by = { holder: 'there', leaseMs: 60_000, execution: 'orders-2', engine: 'container-apps' }
    await elsewhere.store.claim({ from: { id: other }, ...by })
    const runs = (await get(elsewhere, `/operations/${other}/attempts`)).json<{ items: unknown[] }>().items
    expect(runs).toMatchObject([{ execution: 'orders-2', engine: 'container-apps', outcome: 'running' }])
  },
})

/** Sends an event. */
async function send({ app }: OpenOrderServer, url: string, value: unknown, user?: string) {
  const headers = { 'content-type': 'application/json', ...(user !== undefined && { 'x-user': user }) }
  return await app.inject({ method: 'POST', url, payload: JSON.stringify(value), headers })
}

followsReference('GET and POST /operations/{id}/events/{name}', {
  'For operations whose handlers': async lab => {
    const served = await openOrderServer(lab)
    const url = `/operations/${await order(served, 'ask')}/events/approval`
    const wait = { kind: 'input', name: 'approval', message: 'Pack it?', schema: { type: 'boolean' }, url }
    expect((await get(served, url)).json()).toEqual(wait)
    expect((await get(served, url.replace('approval', 'other'))).statusCode).toBe(404)
  },

  '`POST` takes one JSON value': async lab => {
    const served = await openOrderServer(lab)
    const id = await order(served, 'ask')
    const approval = `/operations/${id}/events/approval`
    expect((await send(served, approval, 'x'.repeat(65_535))).statusCode).toBe(413)
    expect((await send(served, approval, 'yes')).statusCode).toBe(422)
    expect((await send(served, `/operations/${id}/events/early`, 1)).statusCode).toBe(202)
    const codes = []
    for (const value of [true, true, false]) codes.push((await send(served, approval, value)).statusCode)
    expect(codes).toEqual([202, 202, 409])
    await hasFinished(served.store, id)
    expect((await send(served, `/operations/${id}/events/late`, 1)).statusCode).toBe(409)
  },

  'The owner may use both': async lab => {
    const type = ordersWith({ mayAnswer: caller => caller === 'boss' })
    const served = await openOrderServer(lab, { type, api: { principal: byHeader } })
    const id = await accepted(served, '/orders', { wish: 'ask' }, { 'x-user': 'ann' })
    await when(served.store, id, isSuspended)
    const url = `/operations/${id}/events/approval`
    for (const [user, found] of [
      ['ann', 200],
      ['boss', 200],
      ['eve', 404],
    ] as const) {
      expect((await get(served, url, { 'x-user': user })).statusCode).toBe(found)
    }
    expect((await send(served, url, true, 'eve')).statusCode).toBe(404)
    expect((await send(served, `/operations/${id}/callbacks/guessed`, true)).statusCode).toBe(404)
    expect((await send(served, url, true, 'boss')).statusCode).toBe(202)
  },
})

followsReference('The status document', {
  '`id`, `operation`, `status`': async lab => {
    const served = await openOrderServer(lab)
    const listed = (textOf('The status document').split('\n\n')[0] ?? '').replaceAll(/\([^)]*\)/g, '')
    const members = [...listed.matchAll(/`(\w+)(\?)?`/g)].map(([, name = '', optional]) => ({ name, optional }))
    const fresh = documentOf(await served.app.inject({ method: 'POST', url: '/orders', payload: { wish: 'hold' } }))
    const failed = await order(served, 'fail')
    const ended = documentOf(await get(served, `/orders/status/${failed}`))
    for (const document of [fresh, ended]) {
      const names = members.filter(({ name, optional }) => !optional || name in document).map(({ name }) => name)
      expect(Object.keys(document).sort()).toEqual(names.sort())
    }
    const times = [ended.createdAt, ended.updatedAt, ended.startedAt, ended.finishedAt, ended.expiresAt]
    for (const time of times) expect(time).toMatch(TIME)
    expect(ended).toMatchObject({ operation: 'orders', attempt: 1, maxAttempts: 1, error: { title: 'Out of stock' } })
    expect(Object.keys(ended.links)).toEqual(['status', 'result', 'operation', 'events'])
  },

  '`waitingFor` says in words': async lab => {
    const served = await openOrderServer(lab, { waybill: { worker: false } })
    const ids = [
      await accepted(served, '/orders', { wish: 'hold' }),
      await accepted(served, '/orders', { wish: 'hold' }),
    ]
    const said = await Promise.all(
      ids.map(async id => documentOf(await get(served, `/orders/status/${id}`)).waitingFor),
    )
    expect(said).toEqual(['It is next in the queue.', 'One operation is before it in the queue.'])
  },

  '`waits` lists': async lab => {
    const served = await openOrderServer(lab)
    const { waits } = documentOf(await get(served, `/orders/status/${await order(served, 'ask')}`))
    expect(waits).toEqual([(await get(served, waits?.[0]?.url ?? '')).json()])
  },

  '`children` counts': async lab => {
    const parts = defineOperation({ name: 'parts', attempts: 1 })
    const kits = defineOperation({ name: 'kits' })
    const waybill = await lab.waybill([kits, parts], {
      worker: {
        handlers: [
          handler(parts, input => {
            if (input === 'missing') throw new ProblemError({ status: 422, title: 'It is missing' })
            return null
          }),
          handler(kits, async (_, job) => {
            const children = await Promise.all(['lid', 'box', 'missing'].map(part => job.submit(parts, part)))
            await job.settled(children)
          }),
        ] as never,
      },
    })
    const app = fastify()
    lab.onEnd(() => app.close())
    await app.register(plugin, { waybill })
    const id = await accepted({ app, store: waybill.store }, '/kits', null)
    await hasFinished(waybill.store, id)
    const parent = documentOf(await app.inject(`/kits/status/${id}`))
    expect(parent.children).toEqual({ total: 3, completed: 2, failed: 1, canceled: 0 })
    expect(parent.links).not.toHaveProperty('parent')
    const [failed = ''] = await waybill.store.listChildren({ parent: id, state: 'failed', limit: 10 })
    const child = documentOf(await app.inject(`/parts/status/${failed}`))
    expect(child.links.parent).toBe(parent.links.operation)
    expect(child).not.toHaveProperty('children')
  },

  '`status` is': async lab => {
    const served = await openOrderServer(lab)
    const seen = [await order(served, 'complete'), await order(served, 'fail')]
    const running = await order(served, 'hold')
    const read = async (id: string) => documentOf(await get(served, `/orders/status/${id}`)).status
    expect(await Promise.all([...seen, running].map(read))).toEqual(['completed', 'failed', 'running'])
    await served.app.inject({ method: 'DELETE', url: `/orders/status/${running}` })
    await hasStatus(served.store, running, 'canceled')
    // Whatever is tried, the final ones stay.
    for (const id of [...seen, running]) {
      const before = await get(served, `/orders/status/${id}`)
      await served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })
      await served.store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
      expect((await get(served, `/orders/status/${id}`)).body).toBe(before.body)
    }
  },
})

/** What one dialect answers to an order in each of its states. */
async function dialectOf(served: OpenOrderServer, url: (id: string) => string, headers: Record<string, string>) {
  const ask = (id: string) => get(served, url(id), headers)
  const running = await order(served, 'hold')
  return {
    running,
    pending: await ask(running),
    done: await ask(await order(served, 'complete')),
    failed: await ask(await order(served, 'fail')),
    crashed: await ask(await order(served, 'crash')),
  }
}

followsReference('Dialects', {
  '| `redirect` (default)': async lab => {
    const served = await openOrderServer(lab)
    const { pending, done, failed, running } = await dialectOf(served, id => `/orders/status/${id}`, {})
    expect([pending, done, failed].map(({ statusCode }) => statusCode)).toEqual([200, 303, 303])
    expect((await get(served, String(failed.headers.location))).statusCode).toBe(422)
    const cancel = await served.app.inject({ method: 'DELETE', url: `/orders/status/${running}` })
    expect([cancel.statusCode, documentOf(cancel).cancelRequested]).toEqual([202, true])
  },

  '| `accepted`': async lab => {
    const byOption = await openOrderServer(lab, { api: { dialect: 'accepted' } })
    const byPreference = await openOrderServer(lab)
    for (const [served, headers] of [
      [byOption, {}],
      [byPreference, { prefer: 'respond-async' }],
    ] as const) {
      const url = (id: string) => `/orders/status/${id}`
      const { pending, done, failed, crashed, running } = await dialectOf(served, url, headers)
      const codes = [pending, done, failed, crashed].map(({ statusCode }) => statusCode)
      expect(codes).toEqual([202, 200, 422, 500])
      expect(pending.headers).toMatchObject({
        location: url(running),
        'retry-after': expect.stringMatching(SECONDS),
        'x-progress': '50% packing',
      })
      expect(done.json()).toMatchObject({ status: 'completed', order: { packed: true } })
      const cancel = await served.app.inject({ method: 'DELETE', url: url(running) })
      expect(cancel.statusCode).toBe(202)
    }
  },

  '| `azure`': async lab => {
    const served = await openOrderServer(lab)
    const { pending, done, failed, running } = await dialectOf(served, id => `/operations/${id}`, {})
    expect([pending, done, failed].map(({ statusCode }) => statusCode)).toEqual([200, 200, 200])
    expect(pending.json()).toMatchObject({ id: running, status: 'Running', percentComplete: 50 })
    expect(pending.headers['retry-after']).toMatch(SECONDS)
    const { id } = done.json<{ id: string }>()
    expect(done.json()).toMatchObject({
      status: 'Succeeded',
      percentComplete: 100,
      resourceLocation: `/orders/${id}`,
      result: { packed: true },
    })
    expect(failed.json()).toMatchObject({ status: 'Failed', error: { code: 'out-of-stock', message: 'Out of stock' } })
    const cancel = await served.app.inject({ method: 'POST', url: `/operations/${running}:cancel` })
    expect(cancel.statusCode).toBe(200)
    await hasStatus(served.store, running, 'canceled')
    expect((await get(served, `/operations/${running}`)).json()).toMatchObject({ status: 'Canceled' })
    const idle = await openOrderServer(lab, { waybill: { worker: false } })
    const waiting = await accepted(idle, '/orders', { wish: 'complete' })
    expect((await get(idle, `/operations/${waiting}`)).json()).toMatchObject({ status: 'NotStarted' })
  },
})

followsReference('Around it', {
  '| `GET /operations/{id}/deliveries`': async lab => {
    const receiver = await startReceiver(lab)
    const type = ordersWith({ allowWebhooks: true })
    const served = await openOrderServer(lab, { type, waybill: { webhooks: QUICK } })
    const id = await accepted(served, '/orders', { wish: 'complete' }, { 'webhook-url': receiver.url })
    const deliveries = () => get(served, `/operations/${id}/deliveries`)
    const items = async () => (await deliveries()).json<{ items: { status: string }[] }>().items
    await until(async () => (await items())[0]?.status === 'completed')
    const again = await served.app.inject({ method: 'POST', url: `/operations/${id}/deliveries` })
    expect(again.statusCode).toBe(202)
    await until(async () => (await items()).length === 2 && receiver.got.length === 2)
  },

  '| `POST /operations/{id}:retry`': async lab => {
    const served = await openOrderServer(lab, { waybill: { worker: false } })
    const id = await accepted(served, '/orders', { wish: 'complete' })
    await served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })
    const retry = await served.app.inject({ method: 'POST', url: `/operations/${id}:retry` })
    expect([retry.statusCode, documentOf(retry).links.retryOf]).toEqual([202, `/orders/status/${id}`])
    expect((await served.app.inject({ method: 'DELETE', url: `/operations/${id}` })).statusCode).toBe(204)
    expect((await get(served, `/orders/${id}`)).statusCode).toBe(410)
  },

  '| `GET /operations/{id}/attempts`': async lab => {
    const served = await openOrderServer(lab, { api: { exposeAttempts: true } })
    const { statusCode } = await get(served, `/operations/${await order(served, 'complete')}/attempts`)
    expect(statusCode).toBe(200)
  },

  '| `GET /openapi.json`': async lab => {
    const served = await openOrderServer(lab)
    expect((await get(served, '/openapi.json')).json()).toMatchObject({ openapi: expect.stringMatching(/^3\.1\./) })
    const page = await get(served, '/docs')
    expect([page.statusCode, page.headers['content-type']]).toEqual([200, expect.stringMatching(/^text\/html/)])
  },

  '| `GET /healthz`': async lab => {
    const served = await openOrderServer(lab)
    expect((await get(served, '/healthz')).statusCode).toBe(200)
    served.waybill.stalled = () => ['work.claim']
    const answer = await get(served, '/healthz')
    expect([answer.statusCode, answer.json()]).toEqual([503, { status: 'stalled', loops: ['work.claim'] }])
  },

  '| `GET /readyz`': async lab => {
    const served = await openOrderServer(lab)
    expect((await get(served, '/readyz')).statusCode).toBe(200)
    served.waybill.operations.drain()
    expect((await get(served, '/readyz')).statusCode).toBe(503)
    const away = await openOrderServer(lab)
    await away.store.close()
    expect((await get(away, '/readyz')).statusCode).toBe(503)
  },

  '| `GET /metrics`': async lab => {
    const answer = await get(await openOrderServer(lab), '/metrics')
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ])
    expect(answer.body).toMatch(/^# TYPE waybill_waiting_requests gauge$/m)
  },

  'A method that a path does not have': async lab => {
    const served = await openOrderServer(lab)
    for (const [method, url, allow] of [
      ['PUT', '/orders', 'POST, OPTIONS'],
      ['POST', '/orders/status/x', 'GET, HEAD, DELETE, OPTIONS'],
      ['DELETE', '/orders/x', 'GET, HEAD, OPTIONS'],
      ['PATCH', '/operations/x', 'GET, HEAD, DELETE, OPTIONS'],
      ['POST', '/operations/x', 'GET, HEAD, DELETE, OPTIONS'],
      ['GET', '/operations/x:retry', 'POST, OPTIONS'],
      ['GET', '/operations/x:cancel', 'POST, OPTIONS'],
      ['POST', '/healthz', 'GET, HEAD, OPTIONS'],
    ] as const) {
      const answer = await served.app.inject({ method, url })
      expect([url, answer.statusCode, answer.headers.allow]).toEqual([url, 405, allow])
      expect(problemOf(answer).code).toBe('method-not-allowed')
      const asked = await served.app.inject({ method: 'OPTIONS', url })
      expect([url, asked.statusCode, asked.headers.allow]).toEqual([url, 204, allow])
    }
  },

  'Every answer has a ': async lab => {
    const desk = await openOrderServer(lab)
    const id = await accepted(desk, '/orders', { wish: 'complete' })
    await hasFinished(desk.store, id)
    const held = await accepted(desk, '/orders', { wish: 'hold' })
    const cacheControlOf = async (url: string, headers = {}) =>
      (await desk.app.inject({ url, headers })).headers['cache-control']
    expect(await cacheControlOf('/orders/x')).toBe('private, no-store')
    expect(await cacheControlOf(`/orders/status/${held}`)).toBe('private, no-cache')
    expect(await cacheControlOf(`/orders/${id}`)).toBe('private')
    const events = await cacheControlOf(`/orders/status/${id}`, { accept: 'text/event-stream' })
    expect(events).toBe('private, no-store, no-transform')
  },

  'During a shutdown': async lab => {
    const desk = await openOrderServer(lab)
    await desk.waybill.drain()
    expect((await get(desk, '/orders/x')).headers.connection).toBe('close')
  },

  'A hook or plugin of Fastify': async lab => {
    const app = fastify()
    lab.onEnd(() => app.close())
    app.addHook('onRequest', async ({ url }, reply) => {
      reply.header('Retry-After', '9')
      throw Object.assign(new Error('No.'), { statusCode: url === '/orders/a' ? 503 : 409 })
    })
    await app.register(plugin, { waybill: await lab.waybill([ordersWith()]) })
    const [known, other] = [await app.inject('/orders/a'), await app.inject('/orders/b')]
    expect([problemOf(known).code, known.headers['retry-after']]).toEqual(['unavailable', '9'])
    expect(problemOf(other)).toEqual({ type: 'about:blank', title: 'Conflict', status: 409, detail: 'No.' })
  },

  '`nodeListener` takes targets as they are': async lab => {
    const api = await serveNode(lab, await lab.waybill([ordersWith()]))
    const port = Number(new URL(api.url).port)
    for (const target of ['//healthz', '/./healthz', '/x\\..\\healthz', '/healthz#', 'http://x/healthz']) {
      const answer = await exchange(port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, {
        end: true,
      })
      expect([target, answer]).toEqual([target, expect.stringMatching(/^HTTP\/1\.1 400 /)])
    }
    expect((await (await api.ask('/nowhere')).json()).code).toBe('no-such-route')
  },

  'Fastify refuses some requests': async lab => {
    const app = fastify({ frameworkErrors })
    lab.onEnd(() => app.close())
    app.addHttpMethod('PROPFIND')
    await app.register(plugin, { waybill: await lab.waybill([ordersWith()]) })
    for (const [method, url, status] of [
      ['GET', '/orders/%ZZ', 400],
      ['GET', `/orders/${'x'.repeat(101)}`, 414],
      ['DELETE', `/orders/status/${'x'.repeat(101)}`, 414],
      ['TRACE', '/orders', 405],
      ['PROPFIND', '/orders', 405],
    ] as const) {
      const answer = await app.inject({ method: method as 'GET', url })
      expect([url, answer.statusCode, problemOf(answer).status]).toEqual([url, status, status])
    }
  },

  'Of a body that nobody wants': async lab => {
    const api = await serveNode(lab, await lab.waybill([ordersWith({ bodyLimit: 1000 })]))
    for (const line of ['POST /orders', 'PUT /orders', 'POST /nowhere', 'POST //[']) {
      const { sent, answer } = await sendWithoutEnd(api, line)
      expect([line, answer]).toEqual([
        line,
        expect.stringMatching(/^HTTP\/1\.1 4\d\d [\s\S]*Connection: close[\s\S]*"code"/),
      ])
      // The buffers of both sides of the connection hold some more.
      expect(sent).toBeLessThan(2 ** 26)
    }
  },
})
