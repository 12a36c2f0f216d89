import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect } from 'vitest'
import { defineOperation, handler, type Job, ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import {
  type ClientOptions,
  client,
  fetchAndWait,
  OperationError,
  type StatusDocument,
  type SubmitOptions,
  WaitError,
} from '../../src/client/client.ts'
import { startScriptedServer } from '../support/article-server.ts'
import { freePort } from '../support/free-port.ts'
import { byHeader, countOf, listen, type ServeOptions, serve } from '../support/http.ts'
import { hasStatus, type TestContext, test, until } from '../support/waybill.ts'

const orders = defineOperation({
  name: 'orders',
  input: z.object({ customer: z.string().min(1), act: z.enum(['complete', 'fail', 'hold']).default('complete') }),
  output: z.object({ customer: z.string(), attempt: z.number() }),
  resultKey: 'order',
  attempts: 1,
})
const invoices = defineOperation({ name: 'invoices', inFlightLimit: 1 })
const operations = [orders, invoices]

/** The jobs that are held, by their customer: each goes on when it is let go, or told to stop. */
const held = new Map<string, () => void>()

afterEach(() => held.clear())

function hold(customer: string, job: Job): Promise<void> {
  return new Promise((resolve, reject) => {
    held.set(customer, resolve)
    job.signal.addEventListener('abort', () => reject(job.signal.reason))
  })
}

const handlers = [
  handler(orders, async ({ customer, act }, job) => {
    if (act === 'hold') await hold(customer, job)
    if (act === 'fail') throw new ProblemError({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
    return { customer, attempt: job.attempt }
  }),
  handler(invoices, async () => null),
]

const WORKER: ServeOptions = { worker: { handlers, run: 'inline', pollInterval: 50 } }

/** One request that a client has made. */
interface Sent {
  readonly route: string
  readonly headers: Headers
}

/** A client of a server, and what it has sent. */
function connectTo(port: number, options: ClientOptions = {}, base = '') {
  const baseUrl = `http://127.0.0.1:${port}${base}`
  const sent: Sent[] = []
  const spy: typeof fetch = (input, init) => {
    const route = `${init?.method ?? 'GET'} ${new URL(`${input}`).pathname}`
    sent.push({ route, headers: new Headers(init?.headers) })
    return fetch(input, init)
  }
  return { baseUrl, sent, api: client({ orders, invoices }, { baseUrl, fetch: spy, ...options }) }
}

async function start(lab: TestContext, options: ServeOptions = WORKER, forClient: ClientOptions = {}, onPort = 0) {
  const served = await serve(lab, operations, options)
  const port = await listen(served, onPort)
  return { ...served, port, ...connectTo(port, forClient) }
}

async function errorOf(work: Promise<unknown>): Promise<WaitError> {
  const error = await work.then(
    value => expect.fail(`resolved with ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  )
  if (!(error instanceof WaitError)) throw error
  return error
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** A proxy whose connections a test can cut. */
interface Proxy {
  readonly port: number
  /** Cuts this many connections in the moment that the server begins to answer. */
  cutAnswers(count: number): void
  /** Cuts all connections. */
  cut(): void
}

async function startProxy(lab: TestContext, target: number): Promise<Proxy> {
  let toCut = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    const upstream = connect(target, '127.0.0.1')
    for (const end of [socket, upstream]) {
      sockets.add(end)
      end
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(end)
          for (const other of [socket, upstream]) other.destroy()
        })
    }
    socket.pipe(upstream)
    upstream.on('data', data => {
      if (toCut > 0) {
        toCut--
        socket.destroy()
      } else socket.write(data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  lab.onEnd(() => {
    cut()
    server.close()
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    cut,
    cutAnswers: count => {
      toCut = count
    },
  }
}

describe('submit', () => {
  test('returns a handle whose result has the type of the contract', async ({ lab }) => {
    const { api, baseUrl, sent } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada' })
    expect(order.url).toBe(`${baseUrl}/orders/status/${order.id}`)
    expect(order.operation).toBe('orders')
    const result = await order.result()
    expect(result).toEqual({ customer: 'Ada', attempt: 1 })
    expect(sent.map(({ route }) => route)).toEqual([
      'POST /orders',
      `GET /orders/status/${order.id}`,
      `GET /orders/${order.id}`,
    ])
    expect(sent[1]?.headers.get('accept')).toBe('text/event-stream')
    expect(await order.result()).toEqual(result)
  })

  test('rejects with the errors of the input', async ({ lab }) => {
    const { api } = await start(lab)
    const error = await errorOf(api.orders.submit({ customer: '' }))
    expect(error).not.toBeInstanceOf(OperationError)
    expect(error).toMatchObject({ code: 'refused', statusUrl: '', problem: { status: 400 } })
    expect(error.problem?.errors).toMatchObject([{ pointer: '/customer' }])
  })

  test('creates one operation with equal keys, and two with default keys', async ({ lab }) => {
    const { api, store } = await start(lab, {})
    const key = 'a "quoted" \\ key'
    const [one, two] = await Promise.all(
      [1, 2].map(() => api.orders.submit({ customer: 'Ada' }, { idempotencyKey: key })),
    )
    expect(one?.url).toBe(two?.url)
    await api.orders.submit({ customer: 'Ada' })
    await api.orders.submit({ customer: 'Ada' })
    expect(await countOf(store, orders)).toBe(3)
  })

  test('with notBefore delays the operation, and the status has the time', async ({ lab }) => {
    const { api } = await start(lab, {})
    const notBefore = new Date(Date.now() + 3_600_000)
    const delayed = await api.orders.submit({ customer: 'Ada' }, { notBefore })
    const { notBefore: told = '' } = await delayed.status()
    expect(Math.abs(Date.parse(told) - notBefore.getTime())).toBeLessThan(60_000)
    const passed = await api.orders.submit({ customer: 'Ada' }, { notBefore: new Date(0) })
    expect((await passed.status()).notBefore).toBeUndefined()
    const tooFar = new Date(Date.now() + 2 * 366 * 86_400_000)
    const error = await errorOf(api.orders.submit({ customer: 'Ada' }, { notBefore: tooFar }))
    expect(error).toMatchObject({ code: 'refused', problem: { code: 'invalid-request' } })
    await expect(api.orders.submit({ customer: 'Ada' }, { notBefore: new Date('?') })).rejects.toThrow(RangeError)
  })

  test('is repeated if the response is lost, and creates one operation', async ({ lab }) => {
    const { port, store } = await start(lab)
    const proxy = await startProxy(lab, port)
    proxy.cutAnswers(2)
    const { api, sent } = connectTo(proxy.port)
    const order = await api.orders.submit({ customer: 'Ada' })
    expect(await order.result()).toEqual({ customer: 'Ada', attempt: 1 })
    expect(sent.slice(0, 3).map(({ route }) => route)).toEqual(Array(3).fill('POST /orders'))
    expect(new Set(sent.slice(0, 3).map(({ headers }) => headers.get('idempotency-key'))).size).toBe(1)
    expect(await countOf(store, orders)).toBe(1)
  })

  test('is repeated after a Retry-After', async () => {
    const { url, requests } = await startScriptedServer({
      'POST /orders': [
        () => [503, { 'Retry-After': '0' }],
        () => [429, { 'Retry-After': '0' }],
        () => [202, { Location: '/orders/status/1' }],
      ],
    })
    const order = await client({ orders }, { baseUrl: url }).orders.submit({ customer: 'Ada' })
    expect(order.url).toBe(`${url}/orders/status/1`)
    expect(new Set(requests.map(({ headers, body }) => `${headers['idempotency-key']} ${body}`)).size).toBe(1)
  })

  test.for([
    ['for longer than a minute', () => [429, { 'Retry-After': '61' }, { title: 'Slow down' }] as const, 1],
    ['again and again', () => [503, { 'Retry-After': '0' }, { title: 'Slow down' }] as const, 6],
  ] as const)('rejects if the Retry-After is %s', async ([_, answer, times]) => {
    const { url, requests } = await startScriptedServer({ 'POST /orders': answer })
    const error = await errorOf(client({ orders }, { baseUrl: url }).orders.submit({ customer: 'Ada' }))
    expect(error).toMatchObject({ code: 'unreachable', problem: { title: 'Slow down' } })
    expect(error.response?.headers.get('Retry-After')).toBe(answer()[1]['Retry-After'])
    expect(requests).toHaveLength(times)
  })

  test('stops when its signal aborts, also between two tries', async () => {
    const { url } = await startScriptedServer({ 'POST /orders': () => [503, { 'Retry-After': '60' }] })
    const controller = new AbortController()
    const spy: typeof fetch = async (...given) => {
      const response = await fetch(...given)
      setImmediate(() => controller.abort('enough'))
      return response
    }
    const { orders: resource } = client({ orders }, { baseUrl: url, fetch: spy })
    await expect(resource.submit({ customer: 'Ada' }, { signal: controller.signal })).rejects.toBe('enough')
    await expect(resource.submit({ customer: 'Ada' }, { signal: controller.signal })).rejects.toBe('enough')
  })

  test('rejects a redirect, and a response without an operation', async () => {
    const { url, requests } = await startScriptedServer({
      'POST /orders': [() => [308, { Location: '/elsewhere' }], () => [200, {}, { status: 'odd' }]],
    })
    const { orders: resource } = client({ orders }, { baseUrl: url })
    expect(await errorOf(resource.submit({ customer: 'Ada' }))).toMatchObject({ code: 'refused' })
    expect(await errorOf(resource.submit({ customer: 'Ada' }))).toMatchObject({ code: 'no-location' })
    expect(requests).toHaveLength(2)
  })

  describe('with a wait', () => {
    const submit = async (
      lab: TestContext,
      act: 'complete' | 'fail',
      options: SubmitOptions = { waitTimeout: 30_000 },
    ) => {
      const started = await start(lab)
      return { ...started, order: await started.api.orders.submit({ customer: 'Ada', act }, options) }
    }

    test('has the result at once, and again', async ({ lab }) => {
      const { order, sent, baseUrl } = await submit(lab, 'complete')
      expect(order.url).toBe(`${baseUrl}/orders/status/${order.id}`)
      expect(await order.result()).toEqual({ customer: 'Ada', attempt: 1 })
      expect(await order.result()).toEqual({ customer: 'Ada', attempt: 1 })
      expect(sent.map(({ route }) => route)).toEqual(['POST /orders'])
      expect(await order.status()).toMatchObject({ status: 'completed' })
      expect(await collect(order.events())).toMatchObject([{ status: 'completed' }])
    })

    test('has the failure at once', async ({ lab }) => {
      const { order, sent } = await submit(lab, 'fail')
      const error = await errorOf(order.result())
      expect(error).toBeInstanceOf(OperationError)
      expect(error).toMatchObject({ code: 'failed', statusUrl: order.url, id: order.id, problem: { status: 422 } })
      expect(sent).toHaveLength(1)
    })

    test('that ends before the operation returns a handle', async ({ lab }) => {
      const { api } = await start(lab, { ...WORKER, maxWait: 10 })
      const order = await api.orders.submit({ customer: 'Ada', act: 'hold' }, { waitTimeout: 30_000 })
      await until(() => held.has('Ada'))
      held.get('Ada')?.()
      expect(await order.result()).toMatchObject({ customer: 'Ada' })
    })
  })
})

describe('result', () => {
  test('rejects with the problem of a failed operation', async ({ lab }) => {
    const { api } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'fail' })
    const error = await errorOf(order.result())
    expect(error).toBeInstanceOf(OperationError)
    expect(error).toMatchObject({ code: 'failed', statusUrl: order.url, id: order.id })
    expect(error.problem).toMatchObject({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
  })

  test('rejects if the operation was canceled or does not exist', async ({ lab }) => {
    const { api } = await start(lab, {})
    const order = await api.orders.submit({ customer: 'Ada' })
    expect(await order.cancel()).toMatchObject({ status: 'canceled', id: order.id })
    expect(await errorOf(order.result())).toMatchObject({ code: 'canceled', problem: { status: 410 } })
    const unknown = api.orders.attach('00000000-0000-7000-8000-000000000000')
    expect(await errorOf(unknown.result())).toMatchObject({ code: 'gone', problem: { status: 404 } })
    expect(await errorOf(unknown.status())).toMatchObject({ code: 'gone', statusUrl: unknown.url })
    expect(await errorOf(unknown.cancel())).toMatchObject({ code: 'gone' })
    expect(await errorOf(collect(unknown.events()))).toMatchObject({ code: 'gone' })
  })

  test('is available to another client by JSON, an id, a URL or a status document', async ({ lab }) => {
    const { api, port } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    const document = await order.status()
    await until(() => held.has('Ada'))
    held.get('Ada')?.()
    const json = JSON.stringify({ order })
    expect(JSON.parse(json)).toEqual({ order: { operation: 'orders', url: order.url } })
    for (const target of [JSON.parse(json).order, order, order.id, order.url, new URL(order.url), document]) {
      const fresh = connectTo(port).api.orders.attach(target)
      expect(JSON.stringify(fresh)).toBe(JSON.stringify(order))
      expect(await fresh.result()).toEqual({ customer: 'Ada', attempt: 1 })
    }
  })

  test('calls onStatus with each status', async ({ lab }) => {
    const { api } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    const seen: string[] = []
    await order.result({
      onStatus: ({ status }) => {
        seen.push(status)
        if (status === 'running') until(() => held.has('Ada')).then(() => held.get('Ada')?.(), expect.fail)
      },
    })
    expect(seen.slice(-2)).toEqual(['running', 'completed'])
  })

  test('does not cancel the operation when the wait ends', async ({ lab }) => {
    const { api } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    const controller = new AbortController()
    const waits = order.result({ signal: controller.signal, onStatus: () => controller.abort('enough') })
    await expect(waits).rejects.toBe('enough')
    expect(await errorOf(order.result({ timeout: 0 }))).toMatchObject({ code: 'timed-out', statusUrl: order.url })
    await until(() => held.has('Ada'))
    held.get('Ada')?.()
    expect(await order.result()).toMatchObject({ customer: 'Ada' })
  })

  test.for(['late', 'before'])('with cancelOnAbort cancels when the signal aborts (%s)', async (when, { lab }) => {
    const { api, store } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    await until(() => held.has('Ada'))
    const controller = new AbortController()
    if (when === 'before') controller.abort('enough')
    const onStatus = () => controller.abort('enough')
    const waits = order.result({ signal: controller.signal, cancelOnAbort: true, onStatus })
    await expect(waits).rejects.toBe('enough')
    await hasStatus(store, order.id, 'canceled')
    expect(await errorOf(order.result())).toMatchObject({ code: 'canceled' })
  })

  test('ends with the signal of the client', async ({ lab }) => {
    const controller = new AbortController()
    const { api } = await start(lab, {}, { signal: controller.signal })
    const order = await api.orders.submit({ customer: 'Ada' })
    await expect(order.result({ onStatus: () => controller.abort('closed') })).rejects.toBe('closed')
    await expect(order.status()).rejects.toBe('closed')
    await expect(collect(order.events())).rejects.toBe('closed')
  })

  test('arrives after a restart of the server', async ({ lab }) => {
    const path = lab.file()
    const first = await start(lab, { store: sqliteStore({ path }) }, {}, await freePort())
    const order = await first.api.orders.submit({ customer: 'Ada' })
    const heard = Promise.withResolvers<void>()
    const result = order.result({ onStatus: () => heard.resolve() })
    await heard.promise
    await first.app.close()
    const second = await serve(lab, operations, { ...WORKER, store: sqliteStore({ path }) })
    await listen(second, first.port)
    expect(await result).toEqual({ customer: 'Ada', attempt: 1 })
  })

  test('of another API is refused', async () => {
    const { url } = await startScriptedServer({
      'GET /orders/status/1': () => [303, { Location: '/orders/1' }],
      'GET /orders/1': () => [200, { 'Content-Type': 'text/html' }, '<p>Log in</p>'],
    })
    const order = client({ orders }, { baseUrl: url }).orders.attach('1')
    expect(await errorOf(order.result())).toMatchObject({ code: 'refused', statusUrl: order.url })
  })
})

describe('status and cancel', () => {
  test('report an operation that is pending, running and canceled', async ({ lab }) => {
    const { api, store } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    await hasStatus(store, order.id, 'running')
    expect(await order.status()).toMatchObject({ id: order.id, status: 'running', cancelRequested: false })
    expect(await order.cancel()).toMatchObject({ cancelRequested: true })
    await hasStatus(store, order.id, 'canceled')
    expect(await order.status()).toMatchObject({ status: 'canceled' })
    expect(await order.cancel()).toMatchObject({ status: 'canceled' })
  })

  test('cannot cancel what has completed', async ({ lab }) => {
    const { api } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada' }, { waitTimeout: 30_000 })
    const error = await errorOf(order.cancel())
    expect(error).not.toBeInstanceOf(OperationError)
    expect(error).toMatchObject({ code: 'refused', problem: { code: 'operation-finished', status: 409 } })
  })

  test.for(['complete', 'fail'] as const)('return the status in the dialect of 202 (%s)', async (act, { lab }) => {
    const { api } = await start(lab, { ...WORKER, dialect: 'accepted' })
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    expect(await order.status()).toMatchObject({ id: order.id, cancelRequested: false })
    const other = await api.orders.submit({ customer: 'Bob', act })
    await other.result().catch(() => {})
    expect(await other.status()).toMatchObject({ status: act === 'fail' ? 'failed' : 'completed', id: other.id })
    expect(await order.cancel()).toMatchObject({ id: order.id, cancelRequested: true })
  })
})

describe('sendEvent', () => {
  test('sends one answer to a question of the handler, and rejects with the reason of a refusal', async ({ lab }) => {
    const ask = (job: Job) => job.ask('paid', { message: 'Paid?', schema: { type: 'boolean' } })
    const handlers = handler(invoices, (_, job) => ask(job))
    const { api } = await start(lab, { worker: { handlers, run: 'inline', pollInterval: 50 } })
    const invoice = await api.invoices.submit(null)
    await until(async () => (await invoice.status()).waits?.[0]?.name === 'paid')
    expect((await errorOf(invoice.sendEvent('paid', 'yes'))).problem).toMatchObject({ code: 'invalid-event' })
    await invoice.sendEvent('paid', true)
    await invoice.sendEvent('paid', true)
    expect((await errorOf(invoice.sendEvent('paid', false))).problem).toMatchObject({ code: 'event-refused' })
    expect(await invoice.result()).toBe(true)
    const gone = api.invoices.attach('01936f5e-8c1a-7b3c-9d4e-5f60718293a4')
    expect(await errorOf(gone.sendEvent('paid', true))).toMatchObject({ code: 'gone' })
  })
})

describe('events', () => {
  test('yield each status up to the final one, also of a failure', async ({ lab }) => {
    const { api } = await start(lab)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    const seen: StatusDocument[] = []
    for await (const document of order.events()) {
      seen.push(document)
      if (document.status !== 'running') continue
      await until(() => held.has('Ada'))
      held.get('Ada')?.()
    }
    expect(seen.map(({ status }) => status).slice(-2)).toEqual(['running', 'completed'])
    expect(new Set(seen.map(document => JSON.stringify(document))).size).toBe(seen.length)
    const failing = await api.orders.submit({ customer: 'Ada', act: 'fail' })
    expect((await collect(failing.events())).at(-1)).toMatchObject({
      status: 'failed',
      error: { title: 'Out of stock' },
    })
    expect(await collect(failing.events())).toHaveLength(1)
  })

  test('continue after the stream breaks', async ({ lab }) => {
    const { port } = await start(lab)
    const proxy = await startProxy(lab, port)
    const { api, sent } = connectTo(proxy.port)
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    await until(() => held.has('Ada'))
    const seen: string[] = []
    for await (const { status } of order.events()) {
      seen.push(status)
      proxy.cut()
      if (status !== 'running') continue
      held.get('Ada')?.()
    }
    expect(seen).toEqual(['running', 'completed'])
    const streams = sent.filter(({ headers }) => headers.get('accept') === 'text/event-stream')
    expect(streams.length).toBeGreaterThan(1)
  })

  test('come by long polls if there is no event stream', async ({ lab }) => {
    const served = await start(lab)
    const sent: string[] = []
    const noStreams: typeof fetch = (input, init) => {
      const headers = new Headers(init?.headers)
      if (headers.get('accept') === 'text/event-stream') headers.delete('accept')
      sent.push(headers.get('prefer') ?? '')
      return fetch(input, { ...init, headers })
    }
    const { api } = connectTo(served.port, { fetch: noStreams })
    const order = await api.orders.submit({ customer: 'Ada', act: 'hold' })
    await hasStatus(served.store, order.id, 'running')
    const seen: string[] = []
    for await (const { status } of order.events()) {
      seen.push(status)
      until(() => sent.includes('wait=30')).then(() => held.get('Ada')?.(), expect.fail)
    }
    expect(seen).toEqual(['running', 'completed'])
  })

  test('end with the loop, and with the signal', async ({ lab }) => {
    const { api } = await start(lab, {})
    const order = await api.orders.submit({ customer: 'Ada' })
    for await (const { status } of order.events()) {
      expect(status).toBe('pending')
      break
    }
    const controller = new AbortController()
    const aborting = async () => {
      for await (const _ of order.events({ signal: controller.signal })) controller.abort('enough')
    }
    await expect(aborting()).rejects.toBe('enough')
    expect(await order.status()).toMatchObject({ status: 'pending' })
  })
})

describe('list', () => {
  test('yields the operations of all pages, newest first, and each can be attached to', async ({ lab }) => {
    const { api, sent } = await start(lab, { ...WORKER, listing: true, prefix: '/v1' }, {})
    expect(await errorOf(collect(api.orders.list()))).toMatchObject({ code: 'refused', problem: { status: 404 } })
    sent.length = 0
    const { api: mounted } = connectTo(Number(new URL(api.orders.attach('1').url).port), {}, '/v1/')
    const ids: string[] = []
    for (const customer of ['a', 'b', 'c', 'd', 'e']) {
      const order = await mounted.orders.submit({ customer }, { waitTimeout: 30_000 })
      ids.unshift(order.id)
    }
    await mounted.orders.submit({ customer: 'f', act: 'hold' })
    const listed = await collect(mounted.orders.list({ pageSize: 2, status: 'completed' }))
    expect(listed.map(({ id }) => id)).toEqual(ids)
    const [newest] = listed
    if (newest === undefined) expect.fail()
    expect(await mounted.orders.attach(newest).result()).toMatchObject({ customer: 'e' })
    expect(await collect(mounted.invoices.list())).toEqual([])
  })

  test('is refused if the API has no list', async ({ lab }) => {
    const { api } = await start(lab)
    expect(await errorOf(collect(api.orders.list()))).toMatchObject({ code: 'refused', problem: { status: 405 } })
  })
})

describe('credentials', () => {
  test('are requested before each request', async ({ lab }) => {
    let calls = 0
    const headers = async () => {
      calls++
      return { 'x-user': 'ada' }
    }
    const { api, sent, port } = await start(lab, { ...WORKER, principal: byHeader }, { headers })
    const order = await api.orders.submit({ customer: 'Ada' })
    expect(await order.result()).toMatchObject({ customer: 'Ada' })
    expect(calls).toBe(sent.length)
    expect(sent.every(({ headers }) => headers.get('x-user') === 'ada')).toBe(true)
    const stranger = connectTo(port, { headers: { 'x-user': 'eve' } }).api.orders.attach(order.toJSON())
    expect(await errorOf(stranger.result())).toMatchObject({ code: 'gone' })
  })

  test('go to no other origin', async () => {
    const other = await startScriptedServer({
      'GET /orders/status/1': () => [303, { Location: '/orders/1' }],
      'GET /orders/1': () => [200, {}, { id: '1', status: 'completed', order: 1 }],
      'DELETE /orders/status/1': () => [200, {}, { links: {} }],
      'GET /orders': () => [200, {}, { items: [] }],
    })
    const home = await startScriptedServer({
      'GET /orders/status/2': () => [307, { Location: `${other.url}/orders/status/1` }],
      'GET /orders': () => [200, {}, { items: [], next: `${other.url}/orders` }],
    })
    const headers = { Authorization: 'Bearer t', 'X-Api-Key': 'k' }
    const { orders: resource } = client({ orders }, { baseUrl: home.url, headers, credentials: 'include' })
    const foreign = resource.attach(`${other.url}/orders/status/1`)
    expect(await foreign.result()).toBe(1)
    expect(await resource.attach('2').result()).toBe(1)
    await foreign.cancel()
    await collect(resource.list())
    expect(home.requests.every(request => request.headers['x-api-key'] === 'k')).toBe(true)
    expect(other.requests.length).toBeGreaterThan(5)
    for (const request of other.requests) {
      expect(request.headers).not.toHaveProperty('authorization')
      expect(request.headers).not.toHaveProperty('x-api-key')
    }
  })
})

test('attach refuses an operation of another type, and client refuses an invalid base URL', () => {
  const api = client({ orders, invoices }, { baseUrl: 'https://api.example.com/v1' })
  const order = api.orders.attach('1')
  expect(order.url).toBe('https://api.example.com/v1/orders/status/1')
  expect(api.orders.attach('/v2/orders/status/1').url).toBe('https://api.example.com/v2/orders/status/1')
  for (const wrong of ['..', '', '/admin', '/orders/status/../../admin', '/orders/status/1/2']) {
    expect(() => api.orders.attach(wrong)).toThrow(TypeError)
  }
  expect(() => api.invoices.attach(JSON.parse(JSON.stringify(order)))).toThrow('invoices')
  expect(() => client({ orders }, { baseUrl: 'https://[' })).toThrow('baseUrl is not a URL: "https://[".')
})

test('a client with a relative base URL can be created outside a page, and throws when it is used', async () => {
  for (const api of [client({ orders }), client({ orders }, { baseUrl: '/api' })]) {
    const refused = /^baseUrl must be absolute outside a page: "\/(api\/)?"\.$/
    await expect(api.orders.submit({ customer: 'Ada' })).rejects.toThrow(refused)
    await expect(api.orders.list().next()).rejects.toThrow(refused)
    expect(() => api.orders.attach('1')).toThrow(refused)
  }
})

test('a client that is created from types only works', async ({ lab }) => {
  const { baseUrl } = await start(lab)
  const api = client<{ mine: typeof orders }>({ mine: { name: 'orders', resultKey: 'order' } }, { baseUrl })
  const order = await api.mine.submit({ customer: 'Ada' })
  expect(await order.result()).toMatchObject({ customer: 'Ada' })
})

test('fetchAndWait sends requests with the given function', async ({ lab }) => {
  const { baseUrl } = await start(lab)
  const sent: string[] = []
  const spy: typeof fetch = (input, init) => {
    sent.push(input instanceof Request ? input.url : `${input}`)
    return fetch(input, init)
  }
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"customer":"Ada"}' }
  expect(await fetchAndWait(`${baseUrl}/orders`, { ...init, fetch: spy })).toMatchObject({ order: { customer: 'Ada' } })
  expect(sent).toHaveLength(3)
})
