/** Every route, asked by the owner, by a stranger, and by someone who does not say who it is. */
import type { LightMyRequestResponse } from 'fastify'
import { describe, expect } from 'vitest'
import { createRoutes } from '../../src/http/routes.ts'
import { accepted, byHeader, post, problemOf } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer, ordersWith } from '../support/order-server.ts'
import { QUICK, startReceiver } from '../support/receiver.ts'
import { hasFinished, recordOf, type TestContext, test, until, when } from '../support/waybill.ts'

const UNKNOWN = '0197a3b2-1111-7222-8333-444455556666'
const OWNER = { 'x-user': 'ann' }
const STRANGER = { 'x-user': 'eve' }
const NOBODY = {}

type Method = 'GET' | 'POST' | 'DELETE'

interface Way {
  readonly method: Method
  readonly path: string
  readonly headers?: Record<string, string>
  readonly payload?: object
}

/** Each way to ask about one operation, and what its owner is answered while it runs. */
const WAYS: Record<string, Way & { status: number }> = {
  'the status': { method: 'GET', path: '/orders/status/ID', status: 200 },
  'the status if it has changed': {
    method: 'GET',
    path: '/orders/status/ID',
    headers: { 'if-none-match': '*' },
    status: 304,
  },
  'a wait': { method: 'GET', path: '/orders/status/ID', headers: { prefer: 'wait=0' }, status: 200 },
  'the dialect of 202': {
    method: 'GET',
    path: '/orders/status/ID',
    headers: { prefer: 'respond-async' },
    status: 202,
  },
  'the result': { method: 'GET', path: '/orders/ID', status: 404 },
  'the monitor': { method: 'GET', path: '/operations/ID', status: 200 },
  'the attempts': { method: 'GET', path: '/operations/ID/attempts', status: 200 },
  'the deliveries': { method: 'GET', path: '/operations/ID/deliveries', status: 200 },
  'a redelivery': { method: 'POST', path: '/operations/ID/deliveries', status: 404 },
  'what it waits for': { method: 'GET', path: '/operations/ID/events/paid', status: 404 },
  'an event': { method: 'POST', path: '/operations/ID/events/paid', payload: { paid: true }, status: 202 },
  'a cancel': { method: 'DELETE', path: '/orders/status/ID', status: 202 },
  'a retry': { method: 'POST', path: '/operations/ID:retry', status: 409 },
  'a deletion': { method: 'DELETE', path: '/operations/ID', status: 409 },
  "a monitor's cancel": { method: 'POST', path: '/operations/ID:cancel', status: 200 },
}

const STREAM = { method: 'GET', path: '/orders/status/ID', headers: { accept: 'text/event-stream' } } as const

async function open(lab: TestContext): Promise<{ served: OpenOrderServer; id: string }> {
  const receiver = await startReceiver(lab)
  const type = ordersWith({ allowWebhooks: true, exposeLogs: true })
  const served = await openOrderServer(lab, {
    type,
    api: { listing: true, exposeAttempts: true, principal: byHeader },
    waybill: { webhooks: QUICK },
  })
  const id = await accepted(served, '/orders', { wish: 'hold' }, { ...OWNER, 'webhook-url': receiver.url })
  await when(served.store, id, ({ progress }) => progress !== null)
  return { served, id }
}

function ask({ app }: OpenOrderServer, { path, headers, ...way }: Way, id: string, user: object) {
  return app.inject({ ...way, url: path.replace('ID', id), headers: { ...headers, ...user } })
}

/** Whether a request that does not say the caller is answered with 401, whatever it asks for. */
async function isRefused(served: OpenOrderServer, way: Way, id: string) {
  const [answer, other] = [await ask(served, way, id, NOBODY), await ask(served, way, UNKNOWN, NOBODY)]
  return answer.statusCode === 401 && seen(answer) === seen(other)
}

/** All that a client can see of an answer. */
function seen({ statusCode, headers, body }: LightMyRequestResponse): string {
  const { date: _, ...told } = headers
  return JSON.stringify([statusCode, told, body])
}

test('every route of an operation is in the list of this test', async ({ lab }) => {
  const { served } = await open(lab)
  const routes = createRoutes(served.waybill, { listing: true, exposeAttempts: true })
  const found = routes
    .filter(({ path, open }) => path.includes(':id') && !open)
    .map(({ path, method }) => `${method} ${path.replace(':id', 'ID').replace(':name', 'paid')}`)
  const known = Object.values(WAYS).map(({ method, path }) => `${method} ${path.replace(/:(cancel|retry)$/, '')}`)
  expect([...new Set(known)].sort()).toEqual(found.sort())
})

describe('while it runs', () => {
  for (const [name, way] of Object.entries(WAYS)) {
    test(`${name}: the owner gets a response, and others do not learn that the operation exists`, async ({ lab }) => {
      const { served, id } = await open(lab)
      const before = await recordOf(served.store, id)
      const foreign = seen(await ask(served, way, id, STRANGER))
      expect(foreign).toEqual(seen(await ask(served, way, UNKNOWN, STRANGER)))
      expect(foreign).toMatch(/^\[404,.*not-found/)
      expect(await isRefused(served, way, id)).toBe(true)
      expect(await recordOf(served.store, id)).toEqual(before)
      expect((await ask(served, way, id, OWNER)).statusCode).toBe(way.status)
    })
  }

  test('a stream: the owner sees the status and the log, and others do not learn that the operation exists', async ({
    lab,
  }) => {
    const { served, id } = await open(lab)
    expect(seen(await ask(served, STREAM, id, STRANGER))).toBe(seen(await ask(served, STREAM, UNKNOWN, STRANGER)))
    expect(await isRefused(served, STREAM, id)).toBe(true)
    const stream = ask(served, STREAM, id, OWNER)
    await until(() => served.waybill.operations.waiting === 1)
    served.desk.letGo()
    expect((await stream).body).toMatch(/event: log[\s\S]*event: status[\s\S]*"completed"/)
  })
})

test('only the owner can read an ended operation and its result', async ({ lab }) => {
  const { served, id } = await open(lab)
  served.desk.letGo()
  await hasFinished(served.store, id)
  for (const way of [...Object.values(WAYS), STREAM]) {
    expect(seen(await ask(served, way, id, STRANGER))).toBe(seen(await ask(served, way, UNKNOWN, STRANGER)))
    expect(await isRefused(served, way, id)).toBe(true)
  }
  expect((await ask(served, { method: 'GET', path: '/orders/ID' }, id, OWNER)).statusCode).toBe(200)
})

test('only the owner learns that a purged operation existed', async ({ lab }) => {
  const type = ordersWith({ retention: 0 })
  const served = await openOrderServer(lab, { type, api: { principal: byHeader }, waybill: { sweepInterval: '1h' } })
  const id = await accepted(served, '/orders', { wish: 'complete' }, OWNER)
  await hasFinished(served.store, id)
  await served.store.sweep(10)
  const way = WAYS['the status'] ?? STREAM
  expect((await ask(served, way, id, OWNER)).statusCode).toBe(410)
  expect((await ask(served, way, id, STRANGER)).statusCode).toBe(404)
  expect(await isRefused(served, way, id)).toBe(true)
})

test('unauthenticated callers cannot submit, and share no operations', async ({ lab }) => {
  const served = await openOrderServer(lab, { api: { principal: byHeader, listing: true }, waybill: { worker: false } })
  for (const answer of [await post(served, '/orders', { wish: 'complete' }), await served.app.inject('/orders')]) {
    expect([answer.statusCode, problemOf(answer).code]).toEqual([401, 'unauthenticated'])
    expect(answer.headers['www-authenticate']).toBe('Bearer')
  }
  expect(await served.store.browse({ limit: 10 })).toMatchObject({ operations: [] })
})

test('a list shows each caller only the operations of this caller', async ({ lab }) => {
  const { served, id } = await open(lab)
  const listed = async (headers: Record<string, string>) =>
    (await served.app.inject({ url: '/orders', headers }))
      .json<{ items: { id: string }[] }>()
      .items.map(item => item.id)
  expect(await listed(OWNER)).toEqual([id])
  expect(await listed(STRANGER)).toEqual([])
})
