/** The API is the same on every server: statuses, headers, bodies, streams, and what is refused. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect } from 'vitest'
import { fetchHandler } from 'waybill/web'
import type { Waybill } from '../../src/waybill.ts'
import { exchange, sendWithoutEnd } from '../support/http.ts'
import { OrderServer, ordersWith } from '../support/order-server.ts'
import { type Api, eventsOf, idOf, postJson, SERVERS, type ServerOptions, serveFastify } from '../support/servers.ts'
import { hasFinished, KeptLog, type TestContext, test, until, when } from '../support/waybill.ts'

const NAMES = Object.keys(SERVERS)
/** What belongs to one connection, or says how the body is framed; and the time of day. */
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date'])

const type = ordersWith({ bodyLimit: 2000, requireIdempotencyKey: false })

interface Seen {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** The same composition behind each of the servers. */
async function openAll(
  lab: TestContext,
  options: ServerOptions = {},
  waybillOptions: Partial<Parameters<TestContext['waybill']>[1]> = {},
) {
  const desk = new OrderServer(type)
  const waybill = await lab.waybill([type], { worker: { handlers: desk.handlers }, ...waybillOptions })
  const apis: [name: string, api: Api][] = []
  for (const [name, door] of Object.entries(SERVERS)) apis.push([name, await door(lab, waybill, options)])
  return { desk, waybill, apis }
}

function firstOf([first]: readonly [string, Api][]): Api {
  if (first === undefined) throw new Error('There is no server.')
  return first[1]
}

async function see(answer: Promise<Response>): Promise<Seen> {
  const response = await answer
  const headers = Object.fromEntries([...response.headers].filter(([name]) => !HOP.has(name)))
  return { status: response.status, headers, body: withoutEstimate(await response.text()) }
}

/** An estimate is about the moment at which it is made. */
function withoutEstimate(document: string): string {
  return document.replace(/"estimatedCompletionAt":"[^"]*",/, '')
}

/** What all servers answer, which must be one and the same. */
async function ask(apis: readonly [string, Api][], path: string, init?: RequestInit): Promise<Seen> {
  const [first, ...others] = await Promise.all(apis.map(async ([name, api]) => [name, await see(api.ask(path, init))]))
  const [, expected] = first ?? []
  for (const [name, seen] of others) expect([name, seen]).toEqual([name, expected])
  return expected as Seen
}

test('all servers answer a dozen requests in the same way', async ({ lab }) => {
  const { desk, waybill, apis } = await openAll(lab, { listing: true, byHeader: true, cors: { origins: '*' } })
  const api = firstOf(apis)
  const ann = { 'x-user': 'ann', origin: 'https://app.example.com' }
  const key = { ...ann, 'idempotency-key': '"one"' }
  const held = await idOf(api.ask('/orders', postJson({ wish: 'hold' }, key)))
  await when(waybill.store, held, ({ progress }) => progress !== null)
  const failed = await idOf(api.ask('/orders', postJson({ wish: 'fail' }, ann)))
  await hasFinished(waybill.store, failed)

  const status = `/orders/status/${held}`
  const asks: [expected: number, path: string, init?: RequestInit][] = [
    [202, '/orders', postJson({ wish: 'hold' }, key)],
    [422, '/orders', postJson({ wish: 'fail' }, key)],
    [400, '/orders', postJson({ wish: 'more' }, ann)],
    [400, '/orders', { ...postJson({}, ann), body: '{' }],
    [415, '/orders', { method: 'POST', headers: { ...ann, 'content-type': 'text/plain' }, body: 'x' }],
    [415, '/orders', { method: 'POST', headers: ann, body: new Uint8Array([1]) }],
    [413, '/orders', postJson({ wish: 'hold', more: 'x'.repeat(3000) }, ann)],
    [200, status, { headers: ann }],
    [304, status, { headers: { ...ann, 'if-none-match': '*' } }],
    [200, status, { headers: { ...ann, prefer: 'wait=0' } }],
    [202, status, { headers: { ...ann, prefer: 'respond-async' } }],
    [404, status, { headers: { 'x-user': 'eve' } }],
    [404, `/orders/${held}`, { headers: ann }],
    [303, `/orders/status/${failed}`, { headers: ann }],
    [422, `/orders/${failed}`, { headers: ann }],
    [409, `/orders/status/${failed}`, { method: 'DELETE', headers: ann }],
    [200, `/operations/${held}`, { headers: ann }],
    [404, '/operations/x:cancel', { method: 'POST', headers: ann }],
    [405, '/operations/x:cancel', { headers: ann }],
    [405, '/operations/x', { method: 'POST', headers: ann }],
    [204, '/operations/x', { method: 'OPTIONS', headers: ann }],
    [412, status, { method: 'DELETE', headers: { ...ann, 'if-match': '"x"' } }],
    [200, '/orders?limit=1', { headers: ann }],
    [400, '/orders?limit=x', { headers: ann }],
    [405, '/orders', { ...postJson({}, ann), method: 'PUT' }],
    [204, '/orders', { method: 'OPTIONS', headers: { ...ann, 'access-control-request-method': 'POST' } }],
    [200, '/openapi.json', { headers: ann }],
    [200, '/docs', {}],
    [200, '/healthz', {}],
    [200, '/readyz', {}],
    [200, '/metrics', {}],
  ]
  for (const [expected, path, init] of asks) {
    expect([path, init?.method, (await ask(apis, path, init)).status]).toEqual([path, init?.method, expected])
  }
  desk.letGo()
  await hasFinished(waybill.store, held)
  expect((await ask(apis, `/orders/${held}`, { headers: ann })).headers.etag).toMatch(/^"\d+"$/)
})

test('an unexpected body is ignored, whatever its headers say', async ({ lab }) => {
  const { apis, waybill } = await openAll(lab, { listing: true })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const plain = { headers: { 'content-type': 'text/plain' }, body: 'x' }
  const coded = { headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: '{' }
  const asks: [expected: number, path: string, init: RequestInit, allow?: string][] = [
    [404, '/operations/x:cancel', { method: 'POST', headers: form, body: '' }],
    [404, '/operations/x:cancel', { method: 'POST', headers: { 'content-type': 'x' } }],
    [404, '/operations/x:cancel', { method: 'POST', body: new Uint8Array([1]) }],
    [404, '/orders/status/x', { method: 'DELETE', ...plain }],
    [404, '/orders/status/x', { method: 'DELETE', ...coded }],
    [405, '/orders', { method: 'PUT', ...plain }, 'POST, GET, HEAD, OPTIONS'],
    [405, '/orders', { method: 'QUERY' }, 'POST, GET, HEAD, OPTIONS'],
    [204, '/orders', { method: 'OPTIONS', ...plain }, 'POST, GET, HEAD, OPTIONS'],
    [415, '/orders', { method: 'POST', ...plain }],
  ]
  for (const [expected, path, init, allow] of asks) {
    const { status, headers } = await ask(apis, path, init)
    expect([path, init, status, headers.allow]).toEqual([path, init, expected, allow])
  }
  const id = await idOf(firstOf(apis).ask('/orders', postJson({ wish: 'hold' })))
  await when(waybill.store, id, ({ progress }) => progress !== null)
  for (const [name, api] of apis) {
    const answer = await see(api.ask(`/operations/${id}:cancel`, { method: 'POST', headers: form, body: '' }))
    expect([name, answer.status]).toEqual([name, expect.toBeOneOf([200, 202])])
  }
})

test('If-None-Match: * applies only to responses with an ETag', async ({ lab }) => {
  const { apis } = await openAll(lab, { listing: true })
  const { status, headers } = await ask(apis, '/orders', { headers: { 'if-none-match': '*' } })
  expect([status, headers.etag]).toEqual([200, undefined])
})

test('a prefix and a public URL work with and without a slash at the end', async ({ lab }) => {
  for (const [prefix, publicUrl, base] of [
    ['/v1', undefined, '/v1'],
    ['/v1', 'https://api.example.com/', 'https://api.example.com/v1'],
  ] as const) {
    const { apis } = await openAll(lab, { prefix, ...(publicUrl && { publicUrl }) })
    const key = { 'idempotency-key': '"one"' }
    await ask(apis.slice(0, 1), '/v1/orders', postJson({ wish: 'complete' }, key))
    const { headers, status } = await ask(apis, '/v1/orders', postJson({ wish: 'complete' }, key))
    expect([status, headers.location?.startsWith(`${base}/orders/status/`)]).toEqual([202, true])
  }
  const answer = fetchHandler(await lab.waybill([type]), { prefix: '/v1/' })
  expect((await answer(new Request('http://x/v1/healthz'))).status).toBe(200)
  expect((await answer(new Request('http://x/v12/healthz'))).status).toBe(404)
  expect((await answer(new Request('http://x/healthz'))).status).toBe(404)
})

test('HEAD is GET without the body, and starts no stream', async ({ lab }) => {
  const { waybill, apis } = await openAll(lab)
  const id = await idOf(firstOf(apis).ask('/orders', postJson({ wish: 'hold' })))
  await when(waybill.store, id, ({ progress }) => progress !== null)
  for (const path of [`/orders/status/${id}`, `/orders/${id}`, `/operations/${id}`, '/healthz', '/openapi.json']) {
    for (const [name, api] of apis) {
      const [head, get] = [await see(api.ask(path, { method: 'HEAD' })), await see(api.ask(path))]
      expect([name, path, head]).toEqual([name, path, { ...get, body: '' }])
    }
  }
  for (const [name, api] of apis) {
    const headers = { accept: 'text/event-stream' }
    const head = await see(api.ask(`/orders/status/${id}`, { method: 'HEAD', headers }))
    expect([name, head.status, head.headers['content-type']]).toEqual([name, 200, 'text/event-stream'])
    expect(waybill.operations.waiting).toBe(0)
  }
})

test('all servers stream the same events', async ({ lab }) => {
  const { desk, waybill, apis } = await openAll(lab)
  const id = await idOf(firstOf(apis).ask('/orders', postJson({ wish: 'hold' })))
  await when(waybill.store, id, ({ progress }) => progress !== null)
  const streams = apis.map(async ([, api]) => {
    const response = await api.ask(`/orders/status/${id}`, { headers: { accept: 'text/event-stream' } })
    const events: unknown[] = []
    for await (const { data, ...event } of eventsOf(response)) events.push({ ...event, data: withoutEstimate(data) })
    const { 'content-type': media, vary, ...rest } = Object.fromEntries(response.headers)
    return { media, vary, cache: rest['cache-control'], events }
  })
  await until(() => waybill.operations.waiting === apis.length)
  desk.letGo()
  const [first, ...others] = await Promise.all(streams)
  for (const other of others) expect(other).toEqual(first)
  expect(first?.events).toHaveLength(2)
})

describe.each(NAMES)('over %s', name => {
  async function open(
    lab: TestContext,
    more: Partial<Parameters<TestContext['waybill']>[1]> = {},
  ): Promise<[Api, Waybill]> {
    const { apis, waybill } = await openAll(lab, {}, more)
    const api = apis.find(([found]) => found === name)?.[1]
    if (api === undefined) throw new Error(`There is no ${name}.`)
    return [api, waybill]
  }

  test('a body of exactly the limit is accepted, and one byte more is refused, declared or not', async ({ lab }) => {
    const [api, { store }] = await open(lab)
    const of = (length: number) => `{"wish":"complete"${' '.repeat(length - 19)}}`
    expect(of(2000)).toHaveLength(2000)
    const chunked = (text: string) => {
      const body = new Blob([text]).stream()
      return { ...postJson(null), body, duplex: 'half' } as RequestInit
    }
    for (const body of [of(2000), of(2001)]) {
      const code = body.length === 2000 ? 202 : 413
      expect((await see(api.ask('/orders', { ...postJson(null), body }))).status).toBe(code)
      expect((await see(api.ask('/orders', chunked(body)))).status).toBe(code)
    }
    expect(await store.list({ type: 'orders', owner: '', limit: 10 })).toHaveLength(2)
  })

  test('an internal error is 500, and only the log has the details', async ({ lab }) => {
    const logger = new KeptLog()
    const [api, waybill] = await open(lab, { logger })
    waybill.operations.find = () => Promise.reject(new Error('a secret of the server'))
    const { status, body } = await see(api.ask('/orders/x'))
    expect([status, JSON.parse(body)]).toEqual([500, expect.objectContaining({ code: 'internal-error' })])
    expect(body).not.toContain('secret')
    expect(logger.lines).toContainEqual(expect.objectContaining({ level: 'error', message: 'A request met an error' }))
  })
})

describe('Fastify', () => {
  test('keeps the connection after a body that it does not read, declared or not', async ({ lab }) => {
    const api = await serveFastify(lab, await lab.waybill([type]))
    const body = 'x'.repeat(3_000_000)
    for (const framed of [
      `Content-Length: ${body.length}\r\n\r\n${body}`,
      `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ]) {
      const first = `DELETE /orders/status/x HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${framed}`
      const next = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
      const answers = await exchange(Number(new URL(api.url).port), first + next, { end: true })
      expect(answers.match(/(?<=HTTP\/1\.1 )\d+/g)).toEqual(['404', '200'])
    }
  })

  test('answers and closes the connection if a body does not end', async ({ lab }) => {
    const api = await serveFastify(lab, await lab.waybill([type]))
    for (const [line, status] of [
      ['DELETE /orders/status/x', 404],
      ['PUT /orders', 405],
      ['GET /healthz', 200],
    ] as const) {
      const { sent, answer } = await sendWithoutEnd(api, line)
      expect([line, answer]).toEqual([line, expect.stringMatching(new RegExp(`^HTTP/1\\.1 ${status} `))])
      // The buffers of both sides of the connection hold some more.
      expect(sent).toBeLessThan(2 ** 26)
    }
  })
})

describe('node:http', () => {
  async function open(lab: TestContext): Promise<Api> {
    const { apis } = await openAll(lab)
    return apis.find(([name]) => name === 'node:http')?.[1] as Api
  }

  const portOf = ({ url }: Api) => Number(new URL(url).port)

  test('survives invalid request targets', async ({ lab }) => {
    const api = await open(lab)
    for (const line of [
      'GET //[ HTTP/1.1',
      'GET http://[ HTTP/1.1',
      'POST //[ HTTP/1.1',
      'GET http://x:99999/ HTTP/1.1',
      // A proxy that lets some paths pass alone must find here the paths that it has seen.
      'GET //x/metrics HTTP/1.1',
      'GET /\\x/metrics HTTP/1.1',
      'GET /x\\..\\metrics HTTP/1.1',
      'GET /x/../metrics HTTP/1.1',
      'GET /./metrics HTTP/1.1',
      'GET /x/%2e%2E/metrics HTTP/1.1',
      'GET /x/.%2e/metrics HTTP/1.1',
      'GET /metrics#x HTTP/1.1',
      'GET /metrics/.. HTTP/1.1',
      'GET http://x/metrics HTTP/1.1',
      'OPTIONS * HTTP/1.1',
    ]) {
      const bytes = `${line}\r\nHost: x\r\nConnection: close\r\n\r\n`
      expect([line, await exchange(portOf(api), bytes, { end: true })]).toEqual([
        line,
        expect.stringMatching(/^HTTP\/1\.1 400 [\s\S]*"invalid-request"/),
      ])
    }
    expect((await api.ask('/healthz')).status).toBe(200)
    expect((await api.ask('/orders/...?x=/../y')).status).toBe(404)
  })

  test('refuses unknown methods with 405', async ({ lab }) => {
    const api = await open(lab)
    for (const [line, status] of [
      ['TRACE /orders', 405],
      ['PROPFIND /orders', 405],
      ['TRACE /nowhere', 404],
      ['PROPFIND /nowhere', 404],
    ] as const) {
      const bytes = `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
      const answer = await exchange(portOf(api), bytes, { end: true })
      expect([line, answer]).toEqual([
        line,
        expect.stringMatching(new RegExp(`^HTTP/1\\.1 ${status} [^]*problem\\+json`)),
      ])
      if (status === 405) expect(answer).toMatch(/^allow: POST, OPTIONS\r$/m)
    }
  })

  test('answers before it has read an unwanted body, and keeps the connection', async ({ lab }) => {
    const api = await open(lab)
    const body = 'x'.repeat(3_000_000)
    const requests: [string, string, number][] = [
      ['POST /orders', 'text/plain', 415],
      ['POST /orders', 'application/json', 413],
      ['POST /nowhere', 'application/json', 404],
      ['DELETE /orders/status/x', 'application/json', 404],
      ['PUT /orders', 'application/json', 405],
    ]
    for (const [line, media, status] of requests) {
      const head = `${line} HTTP/1.1\r\nHost: x\r\nContent-Type: ${media}\r\nContent-Length: ${body.length}\r\n\r\n`
      const next = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
      const answers = await exchange(portOf(api), head + body + next, { end: true })
      expect([line, answers.match(/(?<=HTTP\/1\.1 )\d+/g)]).toEqual([line, [String(status), '200']])
    }
  })

  test('survives clients that disconnect while they send', async ({ lab }) => {
    const api = await open(lab)
    const head = 'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n'
    const closed = Array.from({ length: 100 }, async (_, n) => {
      const socket = connect(portOf(api), '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.write(head.slice(0, n) + (n % 2 === 0 ? '' : `${head.slice(n)}{`), () => socket.destroy())
      await once(socket, 'close')
    })
    await Promise.all(closed)
    expect((await api.ask('/healthz')).status).toBe(200)
  })
})
