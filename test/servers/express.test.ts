/** The listener for `node:http` as a middleware of Express. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import compression from 'compression'
import express, { type Express } from 'express'
import { expect } from 'vitest'
import { nodeListener } from 'waybill/node'
import { OrderServer, ordersWith } from '../support/order-server.ts'
import { eventsOf, idOf, postJson } from '../support/servers.ts'
import { hasFinished, KeptLog, type TestContext, test, when } from '../support/waybill.ts'

const type = ordersWith()

async function open(lab: TestContext) {
  const desk = new OrderServer(type)
  const logger = new KeptLog()
  const waybill = await lab.waybill([type], { worker: { handlers: desk.handlers }, logger })
  return { desk, waybill, logger }
}

async function serve(lab: TestContext, app: Express): Promise<string> {
  const server = app.listen(0, '127.0.0.1')
  lab.onEnd(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const MOUNTS: [mount: string, prefix: string | undefined, path: string][] = [
  ['/api', undefined, '/api'],
  ['/api', '/api', '/api'],
  ['/api', '/api/v1', '/api/v1'],
  ['/api', '/v1', '/api/v1'],
  ['/', '/api', '/api'],
  ['/shops/:shop', undefined, '/shops/7'],
]

test.for(MOUNTS)('mounted on %s with the prefix %s, links begin with %s', async ([mount, prefix, path], { lab }) => {
  const { waybill } = await open(lab)
  const app = express().use(mount, nodeListener(waybill, { listing: true, ...(prefix && { prefix }) }))
  const url = await serve(lab, app)
  const answer = await fetch(`${url}${path}/orders`, postJson({ wish: 'complete' }))
  const location = answer.headers.get('location')
  expect([answer.status, location]).toEqual([202, expect.stringMatching(`^${path}/orders/status/`)])
  await hasFinished(waybill.store, (await answer.json()).id)
  const result = await fetch(url + location)
  expect([result.status, result.url]).toEqual([200, expect.stringMatching(`^${url}${path}/orders/[^/]+$`)])
  expect((await fetch(`${url}${path}/orders?limit=1`)).status).toBe(200)
})

test('other routes of the application still work, and an unknown path of the API is 404', async ({ lab }) => {
  const { waybill } = await open(lab)
  const app = express()
    .use(nodeListener(waybill))
    .get('/own', (_, response) => void response.send('own'))
    .get('/orders', (_, response) => void response.send('listed'))
  const url = await serve(lab, app)
  expect(await (await fetch(`${url}/own`)).text()).toBe('own')
  expect((await fetch(`${url}/nowhere`)).status).toBe(404)
  expect((await fetch(`${url}/nowhere`)).headers.get('content-type')).toMatch(/^text\/html/)
  expect((await fetch(`${url}/orders/x`)).headers.get('content-type')).toMatch(/^application\/problem/)
})

test('a body that a parser has read is accepted', async ({ lab }) => {
  const { waybill } = await open(lab)
  for (const parser of [express.json(), express.text({ type: '*/*' }), express.raw({ type: '*/*' })]) {
    const url = await serve(lab, express().use(parser, nodeListener(waybill)))
    const key = { 'idempotency-key': '"one"' }
    await hasFinished(waybill.store, await idOf(fetch(`${url}/orders`, postJson({ wish: 'complete' }, key))))
    expect((await fetch(`${url}/orders`, postJson({ wish: 'more' }))).status).toBe(400)
  }
  // However it was read, it is the same body.
  expect(await waybill.store.list({ type: 'orders', owner: '', limit: 10 })).toHaveLength(1)
})

test('a body that was read and discarded is an error, and the log names the cure', async ({ lab }) => {
  const { waybill, logger } = await open(lab)
  const app = express().use(async (request, _response, next) => {
    for await (const _piece of request);
    next()
  }, nodeListener(waybill))
  const answer = await fetch(`${await serve(lab, app)}/orders`, postJson({ wish: 'complete' }))
  expect([answer.status, (await answer.json()).code]).toEqual([500, 'internal-error'])
  const [{ fields } = { fields: {} }] = logger.lines
  expect(String((fields as { err: unknown }).err)).toMatch(/put the listener before what reads it/)
})

test('compression delays no event, and Vary has the headers of both', async ({ lab }) => {
  const { desk, waybill } = await open(lab)
  const url = await serve(lab, express().use(compression({ threshold: 0 }), nodeListener(waybill)))
  const id = await idOf(fetch(`${url}/orders`, postJson({ wish: 'hold' })))
  await when(waybill.store, id, ({ progress }) => progress !== null)
  const stream = await fetch(`${url}/orders/status/${id}`, { headers: { accept: 'text/event-stream' } })
  const events = eventsOf(stream)
  expect((await events.next()).value).toMatchObject({ event: 'status' })
  desk.letGo()
  expect((await events.next()).value).toMatchObject({ event: 'status' })
  const status = await fetch(`${url}/orders/status/${id}`, { redirect: 'manual' })
  expect(status.headers.get('vary')?.split(', ')).toEqual(
    expect.arrayContaining(['Prefer', 'Accept', 'Accept-Encoding']),
  )
})
