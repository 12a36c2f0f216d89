/** The admin API: the same on every server. */
import { get } from 'node:http'
import { describe, expect } from 'vitest'
import { fetchHandler } from 'waybill/web'
import type { AdminPrincipal } from '../../../src/http/admin/operator-identity.ts'
import { atLength } from '../../support/length.ts'
import { OrderServer, orders } from '../../support/order-server.ts'
import { type Api, eventsOf, idOf, postJson, SERVERS, type ServerOptions } from '../../support/servers.ts'
import { hasFinished, hasStatus, KeptLog, type TestContext, test, until } from '../../support/waybill.ts'

const PEOPLE: Readonly<Record<string, AdminPrincipal>> = {
  ann: { name: 'ann@example.com', role: 'operator' },
  vic: { name: 'vic@example.com', role: 'viewer' },
  val: { name: 'val@example.com', role: 'viewer', payloads: true },
}
const operator = (name: string | undefined) => PEOPLE[name ?? '']

async function open(
  lab: TestContext,
  door: (typeof SERVERS)[string],
  options: ServerOptions = { admin: { operator } },
) {
  const logger = new KeptLog()
  const desk = new OrderServer()
  const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers }, logger })
  const api = await door(lab, waybill, options)
  const order = (wish: string) => idOf(api.ask('/orders', postJson({ wish })))
  return { api, desk, waybill, logger, order }
}

async function sessionOf(api: Api, name: string) {
  const answer = await api.ask('/admin/session', { headers: { 'x-operator': name } })
  return (await answer.json()) as { token: string; actor: string; role: string; payloads: boolean; version: string }
}

async function look(api: Api, path: string, name = 'ann') {
  const answer = await api.ask(`/admin${path}`, { headers: { 'x-operator': name } })
  return { status: answer.status, body: await answer.json(), headers: answer.headers }
}

const JSON_TYPE = { 'content-type': 'application/json' }

async function change(
  api: Api,
  method: string,
  path: string,
  name = 'ann',
  more: Record<string, string> = {},
  body?: string,
) {
  const { token } = await sessionOf(api, name)
  const headers = { 'x-operator': name, 'waybill-token': token, ...more }
  return await api.ask(`/admin${path}`, { method, headers, ...(body !== undefined && { body }) })
}

describe.each(Object.entries(SERVERS).slice(0, atLength(1, undefined)))('the admin API on %s', (_, door) => {
  test('does not exist unless it is enabled', async ({ lab }) => {
    const { api } = await open(lab, door, {})
    expect((await api.ask('/admin/session')).status).toBe(404)
  })

  test('refuses unknown operators, and says how to authenticate', async ({ lab }) => {
    const { api } = await open(lab, door, { admin: { operator, challenge: 'Basic realm="operators"' } })
    for (const path of ['/admin/session', '/admin/operations', '/admin/events']) {
      const answer = await api.ask(path, { headers: { 'x-operator': 'nobody' } })
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="operators"'])
      expect(await answer.json()).toMatchObject({ code: 'unauthenticated' })
    }
  })

  test('uses its own principal function for operators, and that of callers for no operator', async ({ lab }) => {
    const { api } = await open(lab, door, { byHeader: true, admin: { operator } })
    expect((await look(api, '/session')).status).toBe(200)
    expect((await api.ask('/admin/session', { headers: { 'x-user': 'ann' } })).status).toBe(401)
    expect((await api.ask('/orders', postJson({ wish: 'complete' }, { 'x-user': 'bob' }))).status).toBe(202)
  })

  test('a principal that returns something else is refused, with a warning', async ({ lab }) => {
    const { api, logger } = await open(lab, door, {
      admin: { operator: () => JSON.parse('{"name":"ann","role":"root"}') },
    })
    expect((await look(api, '/session')).status).toBe(401)
    expect(logger.lines.map(({ level }) => level)).toEqual(['warn'])
  })

  test('returns the operator and the permissions', async ({ lab }) => {
    const { api } = await open(lab, door, {
      admin: {
        operator,
        traceUrl: 'https://traces.example.com/{traceId}',
        executionUrl: 'https://logs.example.com/{execution}',
      },
    })
    const ann = await look(api, '/session')
    expect(ann.body).toEqual({
      actor: 'ann@example.com',
      role: 'operator',
      payloads: true,
      token: expect.stringMatching(/^[\w-]{43}$/),
      version: expect.stringMatching(/^\d/),
      traceUrl: 'https://traces.example.com/{traceId}',
      executionUrl: 'https://logs.example.com/{execution}',
    })
    expect(ann.headers.get('cache-control')).toBe('private, no-store')
    expect((await look(api, '/session', 'vic')).body).toMatchObject({ role: 'viewer', payloads: false })
  })

  test('lists and shows the operations of all owners, with their log', async ({ lab }) => {
    const { api, waybill, order, desk } = await open(lab, door)
    const failed = await order('fail')
    await hasFinished(waybill.store, failed)
    const held = await order('hold')
    await hasStatus(waybill.store, held, 'running')
    expect((await look(api, '/operations')).body).toMatchObject({ items: [{ id: held }, { id: failed }], scanned: 2 })
    const filter = encodeURIComponent('status:failed problem:out-of-stock')
    expect((await look(api, `/operations?filter=${filter}&limit=1`)).body).toMatchObject({ items: [{ id: failed }] })
    const detail = await look(api, `/operations/${failed}`)
    expect(detail.body).toMatchObject({
      id: failed,
      attempts: [{ outcome: 'failed' }],
      error: { code: 'out-of-stock' },
    })
    expect(detail.headers.get('cache-control')).toBe('private, no-store')
    desk.letGo()
    await hasFinished(waybill.store, held)
    expect((await look(api, `/operations/${held}/log`)).body).toMatchObject({
      items: [{ sequence: 1, message: 'held' }],
    })
    expect((await look(api, `/operations/${held}/log?after=1`)).body).toEqual({ items: [] })
  })

  test.for([
    ['/operations?filter=status:done', 400, 'invalid-request'],
    ['/operations?limit=501', 400, 'invalid-request'],
    ['/operations/x/log?after=-1', 400, 'invalid-request'],
    ['/operations/01936f5e-8c1a-7b3c-9d4e-5f60718293a4', 404, 'not-found'],
    ['/operations/01936f5e-8c1a-7b3c-9d4e-5f60718293a4/input', 404, 'not-found'],
    ['/nothing', 404, undefined],
  ] as const)('%s is answered with %d', async ([path, status, code], { lab }) => {
    const { api } = await open(lab, door)
    const answer = await look(api, path)
    expect(answer.status).toBe(status)
    if (code !== undefined) expect(answer.body).toMatchObject({ code, status })
  })

  test('an invalid filter is refused with the part that is wrong', async ({ lab }) => {
    const { api } = await open(lab, door)
    expect((await look(api, '/operations?filter=status:done')).body).toMatchObject({ token: 'status:done' })
  })

  test('shows payloads only to operators with the permission', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('complete')
    await hasFinished(waybill.store, id)
    for (const name of ['ann', 'val']) {
      expect((await look(api, `/operations/${id}/input`, name)).body).toEqual({ wish: 'complete' })
      expect((await look(api, `/operations/${id}/result`, name)).body).toEqual({ packed: true })
    }
    for (const part of ['input', 'result']) {
      expect(await look(api, `/operations/${id}/${part}`, 'vic')).toMatchObject({
        status: 403,
        body: { code: 'forbidden' },
      })
    }
  })

  test('cancels for an operator', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('hold')
    await hasStatus(waybill.store, id, 'running')
    const answer = await change(api, 'POST', `/operations/${id}/cancel`)
    expect([answer.status, await answer.json()]).toMatchObject([200, { id, cancelRequested: true }])
    expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'canceled' })
  })

  test('retries a failed operation once, and deletes an ended one', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('fail')
    await hasFinished(waybill.store, id)
    const retry = async () => {
      const answer = await change(api, 'POST', `/operations/${id}/retry`, 'ann', JSON_TYPE, '{"fresh":true}')
      return { status: answer.status, body: (await answer.json()) as { id: string } }
    }
    const first = await retry()
    expect(first).toMatchObject({ status: 200, body: { retryOf: id, type: 'orders' } })
    expect((await retry()).body.id).toBe(first.body.id)
    expect((await look(api, `/operations/${id}`)).body).toMatchObject({ retriedBy: first.body.id })
    expect((await change(api, 'DELETE', `/operations/${id}`)).status).toBe(204)
    expect((await look(api, `/operations/${id}`)).body).toMatchObject({ purged: true, hasInput: false })
    expect((await api.ask(`/orders/status/${id}`)).status).toBe(410)
  })

  test('sends an event for an operator, once for each name', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('hold')
    await hasStatus(waybill.store, id, 'running')
    const send = (body: string, who = 'ann') =>
      change(api, 'POST', `/operations/${id}/events/booked`, who, JSON_TYPE, body)
    const answer = await send('{"receipt":"R-17"}')
    expect([answer.status, await answer.json()]).toMatchObject([200, { id, waits: [] }])
    expect((await send('{"receipt":"R-17"}')).status).toBe(200)
    expect((await send('{"receipt":"R-18"}')).status).toBe(409)
    expect((await send('null', 'val')).status).toBe(403)
    expect((await send('{')).status).toBe(400)
  })

  test.for(['', '[]', '{"fresh":1}', '{'])('a retry with the body %j is refused', async (body, { lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('fail')
    await hasFinished(waybill.store, id)
    expect((await change(api, 'POST', `/operations/${id}/retry`, 'ann', JSON_TYPE, body)).status).toBe(400)
    expect(await waybill.store.read(id)).toMatchObject({ retriedBy: null })
  })

  test('shows the options and the state of each type, pauses it, and resumes it', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const types = async () => (await look(api, '/types')).body
    expect(await types()).toMatchObject({
      items: [
        { name: 'orders', paused: false, depth: 0, running: 0, policy: { attempts: 1 }, input: { type: 'object' } },
      ],
    })
    expect((await change(api, 'POST', '/types/orders/pause')).status).toBe(204)
    const id = await order('complete')
    expect(await types()).toMatchObject({ items: [{ paused: true, depth: 1, oldestAt: expect.any(Number) }] })
    expect((await change(api, 'POST', '/types/orders/resume')).status).toBe(204)
    expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'completed' })
    expect((await change(api, 'POST', '/types/refunds/pause')).status).toBe(404)
  })

  test('acts on all operations that match after a preview, and records the actor', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const failed = [await order('fail'), await order('fail')]
    for (const id of failed) await hasFinished(waybill.store, id)
    const ask = async (path: string, body: object) => {
      const answer = await change(api, 'POST', path, 'ann', JSON_TYPE, JSON.stringify(body))
      return { status: answer.status, body: (await answer.json()) as { id: string } }
    }
    const all = { action: 'retry', filter: 'status:failed type:orders' }
    expect(await ask('/bulk/preview', all)).toMatchObject({ status: 200, body: { count: 2, complete: true } })
    const run = await ask('/bulk', all)
    expect(run).toMatchObject({ status: 202, body: { action: 'retry', actor: { name: 'ann@example.com' } } })
    await until(async () => (await look(api, `/bulk/${run.body.id}`)).body.status === 'completed')
    expect((await look(api, `/bulk/${run.body.id}`)).body).toMatchObject({ matched: 2, done: 2, skipped: 0, failed: 0 })
    expect((await look(api, '/bulk')).body).toMatchObject({ items: [{ id: run.body.id }] })
    for (const id of failed) expect(await waybill.store.read(id)).toMatchObject({ retriedBy: expect.any(String) })
    expect((await look(api, '/bulk/01936f5e-8c1a-7b3c-9d4e-5f60718293a4')).status).toBe(404)
    expect((await look(api, '/audit?limit=1')).body).toMatchObject({
      items: [{ actor: 'ann@example.com', action: 'bulk-retry', target: 'status:failed type:orders' }],
    })
    expect((await change(api, 'POST', `/bulk/${run.body.id}/cancel`)).status).toBe(409)
    expect((await ask('/bulk', { action: 'pause', filter: '' })).status).toBe(400)
    const selection = { action: 'delete', ids: [run.body.id, 'none'] }
    expect(await ask('/bulk/preview', selection)).toMatchObject({ status: 200, body: { count: 1 } })
    expect(await ask('/bulk', selection)).toMatchObject({ status: 202, body: { selected: 2, filter: null } })
    for (const wrong of [{ ids: [] }, { ids: 'x' }, { ids: [1] }, { ids: ['x'], filter: '' }, {}]) {
      expect(await ask('/bulk', { action: 'delete', ...wrong })).toMatchObject({ status: 400 })
    }
    expect((await ask('/bulk', { action: 'retry', filter: 'status:done' })).status).toBe(400)
  })

  test('a viewer changes nothing', async ({ lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('hold')
    await hasStatus(waybill.store, id, 'running')
    const answer = await change(api, 'POST', `/operations/${id}/cancel`, 'val')
    expect([answer.status, await answer.json()]).toMatchObject([403, { code: 'forbidden' }])
    expect(await waybill.store.read(id)).toMatchObject({ cancelRequested: false })
  })

  test.for<[string, Record<string, string>, string | undefined]>([
    ['from a page of another site', { 'sec-fetch-site': 'cross-site' }, 'cross-origin'],
    ['from a page of another host of this site', { 'sec-fetch-site': 'same-site' }, 'cross-origin'],
    [
      'from another origin, by a browser that says no more',
      { origin: 'https://evil.example', host: 'api.test' },
      'cross-origin',
    ],
    ['from a page without an origin', { origin: 'null', host: 'api.test' }, 'cross-origin'],
    ['with no token', { 'waybill-token': '' }, 'admin-token-invalid'],
    ['with a wrong token', { 'waybill-token': 'a'.repeat(43) }, 'admin-token-invalid'],
    ['with the token of other credentials', { cookie: 'session=2' }, 'admin-token-invalid'],
    ['from its own page', { 'sec-fetch-site': 'same-origin', origin: 'https://api.example.com' }, undefined],
  ])('a change %s', async ([, headers, code], { lab }) => {
    const { api, waybill, order } = await open(lab, door)
    const id = await order('hold')
    await hasStatus(waybill.store, id, 'running')
    const answer = await change(api, 'POST', `/operations/${id}/cancel`, 'ann', headers)
    expect(answer.status).toBe(code === undefined ? 200 : 403)
    if (code !== undefined) expect(await answer.json()).toMatchObject({ code })
    expect(await waybill.store.read(id)).toMatchObject({ cancelRequested: code === undefined })
  })

  test('pages of other origins can read nothing, whatever origins the API allows', async ({ lab }) => {
    const { api } = await open(lab, door, { admin: { operator }, cors: { origins: '*' } })
    const headers = { origin: 'https://app.example.com', 'x-operator': 'ann' }
    expect((await api.ask('/admin/session', { headers })).headers.get('access-control-allow-origin')).toBeNull()
    const preflight = { ...headers, 'access-control-request-method': 'POST' }
    const answer = await api.ask('/admin/operations/x/cancel', { method: 'OPTIONS', headers: preflight })
    expect([answer.status, answer.headers.get('access-control-allow-methods')]).toEqual([204, null])
  })

  test('sends hints about changes', async ({ lab }) => {
    const { api, order } = await open(lab, door)
    const left = new AbortController()
    lab.onEnd(() => left.abort())
    const answer = await api.ask('/admin/events', { headers: { 'x-operator': 'ann' }, signal: left.signal })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    expect(answer.headers.get('cache-control')).toBe('private, no-store, no-transform')
    const events = eventsOf(answer)
    expect((await events.next()).value).toMatchObject({ event: 'hello' })
    await order('complete')
    expect((await events.next()).value).toMatchObject({ event: 'changed', data: '{}' })
  })
})

/** The status under a name of the host, which `fetch` would not send. */
function statusFor(api: Api, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(`${api.url}/admin/session`, { headers: { host } }, response => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })
}

describe('without a principal', () => {
  const local = { admin: {} }
  const { Fastify, 'node:http': Node } = SERVERS

  test.for([Fastify, Node])('only this machine gets an answer, and a warning says so', async (door, { lab }) => {
    if (door === undefined) throw new Error('There is no such server.')
    const { api, logger, waybill, order } = await open(lab, door, local)
    expect(logger.lines).toMatchObject([
      { level: 'warn', message: expect.stringContaining('Everyone on this machine') },
    ])
    const session = await look(api, '/session')
    expect(session).toMatchObject({ status: 200, body: { actor: 'local', role: 'operator', payloads: true } })
    const id = await order('hold')
    await hasStatus(waybill.store, id, 'running')
    expect((await change(api, 'POST', `/operations/${id}/cancel`)).status).toBe(200)
    for (const headers of [
      { 'x-forwarded-for': '192.0.2.1' },
      { 'x-forwarded-proto': 'https' },
      { 'cf-connecting-ip': '192.0.2.1' },
      { via: '1.1 proxy' },
      // A proxy that adds nothing and replaces the host.
      { origin: 'https://orders.example' },
      { origin: 'null' },
    ]) {
      expect((await api.ask('/admin/session', { headers })).status, JSON.stringify(headers)).toBe(403)
    }
    expect(await statusFor(api, 'localhost')).toBe(200)
    expect((await api.ask('/admin/session', { headers: { origin: 'http://localhost:3000' } })).status).toBe(200)
    expect(await statusFor(api, 'rebound.example')).toBe(403)
  })

  test('a function of requests answers only requests that are known to come from this machine', async ({ lab }) => {
    const { waybill } = await open(lab, Fastify as NonNullable<typeof Fastify>, local)
    const answer = fetchHandler(waybill, local)
    const ask = async (source?: object, headers = {}) => {
      const request = new Request('http://localhost:3000/admin/session', { headers })
      const response = await answer(request, source)
      const { actor, detail } = (await response.json()) as { actor?: string; detail?: string }
      return [response.status, actor ?? detail]
    }
    const why = /Without admin.principal, only requests from this machine to localhost are answered\. Ask/
    const unknown = /This server does not say where a request comes from\./
    expect(await ask({ address: '127.0.0.1' })).toEqual([200, 'local'])
    expect(await ask({ address: '192.0.2.1' })).toEqual([403, expect.stringMatching(why)])
    expect(await ask({ address: '127.0.0.1' }, { host: 'rebound.example' })).toEqual([403, expect.stringMatching(why)])
    expect(await ask()).toEqual([403, expect.stringMatching(unknown)])
    // Bun gives the server itself, whose address is where it listens.
    expect(await ask({ address: { address: '127.0.0.1' } })).toEqual([403, expect.stringMatching(unknown)])
  })

  test('a start in production is refused', async ({ lab }) => {
    const before = process.env.NODE_ENV
    lab.onEnd(() => {
      process.env.NODE_ENV = before
    })
    process.env.NODE_ENV = 'production'
    for (const door of [Fastify, Node] as NonNullable<typeof Fastify>[]) {
      await expect(open(lab, door, local)).rejects.toThrow('admin.principal is required while NODE_ENV')
    }
  })
})

test.for<[object, string]>([
  [{ principals: () => undefined }, '"principals"'],
  [
    { traceUrl: 'https://traces.example.com/' },
    'admin.traceUrl must be a URL of http or https that contains {traceId}',
  ],
  [{ executionUrl: 'javascript:{execution}' }, 'admin.executionUrl must be a URL'],
])('the options %o are refused', async ([admin, message], { lab }) => {
  for (const door of Object.values(SERVERS)) {
    await expect(open(lab, door, { admin: { operator, ...admin } })).rejects.toThrow(message)
  }
})
