import { Writable } from 'node:stream'
import fastify, { type FastifyPluginAsync, type FastifyServerOptions } from 'fastify'
import { describe, expect, expectTypeOf, vi } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { handlerFile } from '../support/handlers.ts'
import { accepted, countOf, documentOf, listen, post, problemOf, serve } from '../support/http.ts'
import { faultyStore, hasStatus, SILENT, test, until } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', resultKey: 'order' })
const returns = defineOperation({ name: 'returns' })
const greetings = defineOperation({ name: 'greetings', input: z.string(), output: z.string() })

test('several operation types can be served together', async ({ lab }) => {
  const handlers = [handler(orders, () => 'ordered'), handler(returns, () => 'returned')]
  const served = await serve(lab, [orders, returns], { worker: { handlers } })
  for (const [name, key, value] of [
    ['orders', 'order', 'ordered'],
    ['returns', 'result', 'returned'],
  ] as const) {
    const id = await accepted(served, `/${name}`)
    await hasStatus(served.store, id, 'completed')
    const status = await served.app.inject(`/${name}/status/${id}`)
    const result = await served.app.inject(String(status.headers.location))
    expect(result.json()).toEqual({ id, status: 'completed', [key]: value })
  }
})

test('several instances can run in one app, each with its own store and prefix', async ({ lab }) => {
  const app = fastify()
  lab.onEnd(() => app.close())
  const stores = [sqliteStore({ path: ':memory:' }), sqliteStore({ path: ':memory:' })] as const
  await app.register(plugin, { prefix: '/a', operations: [orders], store: stores[0], logger: SILENT })
  await app.register(plugin, { prefix: '/b', operations: [orders], store: stores[1], logger: SILENT })
  await app.ready()
  const id = await accepted({ app, store: stores[0] }, '/a/orders')
  expect((await app.inject(`/a/orders/status/${id}`)).statusCode).toBe(200)
  expect((await app.inject(`/b/orders/status/${id}`)).statusCode).toBe(404)
  expect([await countOf(stores[0], orders), await countOf(stores[1], orders)]).toEqual([1, 0])
})

test('the composition is app.waybill in the scope of the plugin and below', async ({ lab }) => {
  const app = fastify()
  lab.onEnd(() => app.close())
  const store = sqliteStore({ path: ':memory:' })
  const worker = { handlers: handler(greetings, name => `Hello ${name}`) }
  await app.register(plugin, { prefix: '/api', operations: [greetings], store, worker, logger: SILENT })
  const own: FastifyPluginAsync = async scope => {
    scope.get('/hello', async () => {
      const { id } = await scope.waybill.submit(greetings, 'Ada')
      expect(await scope.waybill.wait(id)).toMatchObject({ status: 'completed' })
      const output = await scope.waybill.result(greetings, id)
      expectTypeOf(output).toEqualTypeOf<string>()
      return { output, listed: (await scope.waybill.operator.browse({})).items.length }
    })
  }
  await app.register(own)
  expect((await app.inject('/hello')).json()).toEqual({ output: 'Hello Ada', listed: 1 })
  expect((await app.inject('/api/healthz')).statusCode).toBe(200)
})

test('with several compositions app.waybill is the first one, or that of the own scope', async ({ lab }) => {
  const app = fastify()
  lab.onEnd(() => app.close())
  const [first, second, inner] = [await lab.waybill([orders]), await lab.waybill([orders]), await lab.waybill([orders])]
  await app.register(plugin, { prefix: '/a', waybill: first })
  await app.register(plugin, { prefix: '/b', waybill: second })
  let found: unknown
  const own: FastifyPluginAsync = async scope => {
    await scope.register(plugin, { prefix: '/c', waybill: inner })
    found = scope.waybill
  }
  await app.register(own)
  expect(app.waybill).toBe(first)
  expect(found).toBe(inner)
})

test('the plugin does not change the routes, bodies, errors and unknown URLs of the app', async ({ lab }) => {
  const app = fastify()
  lab.onEnd(() => app.close())
  app.post('/own', async request => ({ got: request.body }))
  app.get('/broken', async () => {
    throw new Error('of the app')
  })
  app.setNotFoundHandler((_, reply) => reply.code(404).send('nothing of the app'))
  await app.register(plugin, { operations: [orders], store: sqliteStore({ path: ':memory:' }), logger: SILENT })
  expect((await app.inject({ method: 'POST', url: '/own', payload: { a: 1 } })).json()).toEqual({ got: { a: 1 } })
  expect((await app.inject('/broken')).json()).toMatchObject({ message: 'of the app' })
  expect((await app.inject('/elsewhere')).body).toBe('nothing of the app')
})

test('an unsupported method is 405 with the supported ones', async ({ lab }) => {
  const served = await serve(lab, [orders])
  const id = await accepted(served, '/orders')
  for (const [method, url, allow] of [
    ['PUT', '/orders', 'POST, OPTIONS'],
    ['PATCH', `/orders/status/${id}`, 'GET, HEAD, DELETE, OPTIONS'],
    ['DELETE', `/orders/${id}`, 'GET, HEAD, OPTIONS'],
  ] as const) {
    const response = await served.app.inject({ method, url })
    expect([url, response.statusCode, response.headers.allow]).toEqual([url, 405, allow])
    expect(problemOf(response).code).toBe('method-not-allowed')
  }
})

test('a HEAD request is answered as the GET without its body', async ({ lab }) => {
  const served = await serve(lab, [orders])
  const id = await accepted(served, '/orders')
  const response = await served.app.inject({ method: 'HEAD', url: `/orders/status/${id}` })
  expect([response.statusCode, response.body]).toEqual([200, ''])
  expect(response.headers['retry-after']).toMatch(/^[1-9]\d*$/)
})

test('a principal function may be asynchronous', async ({ lab }) => {
  const principal = async (request: { headers: Record<string, unknown> }) => {
    await Promise.resolve()
    return String(request.headers['x-user'])
  }
  const served = await serve(lab, [orders], { principal })
  expect(await countOf(served.store, orders, 'ann')).toBe(0)
  await accepted(served, '/orders', {}, { 'x-user': 'ann' })
  expect(await countOf(served.store, orders, 'ann')).toBe(1)
})

test('a composition of the caller is neither started nor stopped by the server', async ({ lab }) => {
  const composed = await lab.waybill([orders])
  const app = fastify()
  await app.register(plugin, { waybill: composed })
  const id = await accepted({ app, store: composed.store }, '/orders')
  await app.close()
  expect((await composed.operations.find(id, '')).status).toBe('pending')
})

test('the server does not start when the handlers cannot be loaded', async ({ lab }) => {
  const app = fastify()
  lab.onEnd(() => app.close())
  const store = sqliteStore({ path: lab.file() })
  await app.register(plugin, {
    operations: [orders],
    store,
    logger: SILENT,
    worker: { handlers: handlerFile('unloadable') },
  })
  await expect(app.listen({ port: 0 })).rejects.toThrow('no luck today')
})

describe('without a logger of its own', () => {
  async function written(logger: FastifyServerOptions['logger']): Promise<string> {
    const lines: string[] = []
    const stderr = vi.spyOn(process.stderr, 'write').mockImplementation(text => lines.push(`${text}`) > 0)
    const app = fastify({ logger: logger ?? false })
    try {
      await app.register(plugin, { operations: [orders], store: sqliteStore({ path: ':memory:' }) })
      app.addHook('onRequest', async () => {
        throw new Error('a fault')
      })
      await app.register(plugin, { prefix: '/b', operations: [orders], store: sqliteStore({ path: ':memory:' }) })
      expect((await app.inject('/b/orders/x')).statusCode).toBe(500)
    } finally {
      await app.close()
      stderr.mockRestore()
    }
    return lines.join('')
  }

  test('Fastify leaves errors to standard error', async () => {
    expect(await written(false)).toMatch(/"level":"error".*"message":"A request met an error".*a fault/)
  })

  test('Fastify logs errors to its own logger, silent or not', async () => {
    const sink = new Writable({ write: (_chunk, _encoding, done) => done() })
    expect(await written({ level: 'warn', stream: sink })).toBe('')
    expect(await written({ level: 'silent' })).toBe('')
  })
})

test.for([
  ['store', 'the store to open'],
  ['handlers', 'the handlers to load'],
] as const)('a start whose %s hangs fails before the timeout of Fastify, and names it', async ([what, awaited]) => {
  const { store, hung } = faultyStore(sqliteStore({ path: ':memory:' }))
  const app = fastify({ pluginTimeout: 3000 })
  const never = new URL('../fixtures/handlers/never.ts', import.meta.url)
  if (what === 'store') hung.add('open')
  await app.register(plugin, {
    operations: [orders],
    store,
    logger: SILENT,
    worker: { handlers: never, run: 'inline' },
  })
  await expect(app.ready()).rejects.toThrow(
    `Waybill waited 2.7 s for ${awaited}. ` +
      'If it needs longer, give Fastify more time: fastify({ pluginTimeout: 60_000 }).',
  )
})

test('a start that is stopped ends, and claims nothing', async ({ lab }) => {
  const { store, calls } = faultyStore(sqliteStore({ path: ':memory:' }))
  const loaded = Promise.withResolvers<void>()
  const opened = store.open
  store.open = async () => {
    await loaded.promise
    await opened()
  }
  const waybill = lab.composition([orders], { store, worker: { handlers: handler(orders, () => {}) } })
  const started = waybill.start()
  const drained = waybill.drain()
  loaded.resolve()
  await expect(started).rejects.toThrow('Waybill was stopped while it waited for the store to open.')
  await drained
  expect(calls.get('claim')).toBe(undefined)
})

test('invalid options are refused with their names', async ({ lab }) => {
  const register = async (options: object) => {
    const app = fastify()
    lab.onEnd(() => app.close())
    const given = { operations: [orders], store: sqliteStore({ path: ':memory:' }), ...options }
    await app.register(plugin, given)
  }
  await expect(register({ operations: [orders, orders] })).rejects.toThrow('"orders"')
  await expect(register({ operations: [defineOperation({ name: 'healthz' })] })).rejects.toThrow('"healthz"')
  await expect(register({ sweepInterval: 'often' })).rejects.toThrow('sweepInterval')
  const handlers = handler(orders, () => {})
  await expect(register({ worker: { handlers, leaseDuration: 100 } })).rejects.toThrow('worker.leaseDuration')
  await expect(register({ worker: { handlers, concurrency: 0 } })).rejects.toThrow('worker.concurrency')
})

test('a server that closes answers its open requests, hands work back and accepts nothing more', async ({ lab }) => {
  const path = lab.file()
  const started = Promise.withResolvers<void>()
  const handlers = handler(orders, async (_, job) => {
    started.resolve()
    await new Promise<never>((_resolve, reject) => {
      job.signal.addEventListener('abort', () => reject(job.signal.reason))
    })
  })
  const served = await serve(lab, [orders], { store: sqliteStore({ path }), worker: { handlers } })
  const base = `http://127.0.0.1:${await listen(served)}`
  const response = await fetch(`${base}/orders`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  })
  const { id } = (await response.json()) as { id: string }
  await started.promise
  const store = await lab.store(path)
  const held = fetch(`${base}/orders/status/${id}`, { headers: { prefer: 'wait=60' } })
  await until(async () => (await fetch(`${base}/healthz`)).ok)
  await served.app.close()
  expect((await held).status).toBe(200)
  await hasStatus(store, id, 'pending')
  await expect(fetch(`${base}/orders`, { method: 'POST', body: '{}' })).rejects.toThrow()
})

test('a request that reaches the server while it drains is 503 with Retry-After', async ({ lab }) => {
  const composed = await lab.waybill([orders])
  const app = fastify()
  lab.onEnd(() => app.close())
  await app.register(plugin, { waybill: composed })
  composed.operations.drain()
  const response = await post({ app, store: composed.store }, '/orders', {})
  expect([response.statusCode, problemOf(response).code]).toEqual([503, 'unavailable'])
  expect(response.headers['retry-after']).toMatch(/^[1-9]\d*$/)
})

test('an output is returned unchanged, whatever its form', async ({ lab }) => {
  const handlers = handler(orders, input => input)
  const served = await serve(lab, [orders], { worker: { handlers } })
  for (const value of [null, 0, '', [], '\u0000\ud800', { order: { id: 'x' } }, '</script>', 1e300]) {
    const response = await post(served, '/orders', value)
    const { id } = documentOf(response)
    await hasStatus(served.store, id, 'completed')
    expect((await served.app.inject(`/orders/${id}`)).json()).toEqual({ id, status: 'completed', order: value })
  }
})
