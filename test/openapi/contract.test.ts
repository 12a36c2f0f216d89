/** The document and the API agree: the same routes, and no answer that the document does not describe. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import { describe, expect } from 'vitest'
import { batchOf, defineOperation, type HandlerFunction, handler, ProblemError } from 'waybill'
import { type ApiOptions, createRoutes } from 'waybill/adapters'
import { waybill as plugin } from 'waybill/fastify'
import type { OpenApiDocument } from 'waybill/openapi'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { isSuspended } from '../../src/model/operation.ts'
import type { StatusDocument, WaitDocument } from '../../src/model/protocol.ts'
import type { Store } from '../../src/stores/store.ts'
import type { Waybill, WaybillOptions } from '../../src/waybill.ts'
import { Contract } from '../fixtures/openapi/contract.ts'
import { faultyStore, hasFinished, hasStatus, type TestContext, test, until, when } from '../support/waybill.ts'

const Task = z.object({ act: z.enum(['return', 'refuse', 'fail', 'wait', 'break', 'ask']) })
const YES = { type: 'boolean' } as const
const Done = z.object({ done: z.boolean() })

const tasks = defineOperation({
  name: 'tasks',
  input: Task,
  output: Done,
  resultKey: 'task',
  attempts: 1,
  bodyLimit: 1000,
  allowWebhooks: true,
  exposeLogs: true,
})
const brief = defineOperation({ name: 'brief', retention: 1 })
const keyed = defineOperation({ name: 'keyed', requireIdempotencyKey: true })
const limited = defineOperation({ name: 'limited', rateLimit: { requests: 1, per: '1h' } })
const batches = batchOf(tasks)
const TYPES = [tasks, brief, keyed, limited, batches]

const work: HandlerFunction<typeof tasks> = async ({ act }, job) => {
  job.log(`asked to ${act}`)
  if (act === 'refuse') throw new ProblemError({ status: 422, title: 'Out of stock', detail: 'No apples left.' })
  if (act === 'fail') throw new Error('It failed.')
  if (act === 'break') return { done: 'perhaps' as never }
  if (act === 'return') return { done: true }
  if (act === 'ask')
    return { done: await job.ask('approval', { message: await job.callbackUrl('approval'), schema: YES }) }
  job.progress(0.5, 'waiting')
  return await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
}

const HANDLERS = [handler(tasks, work), ...[brief, keyed, limited].map(type => handler(type, async () => null))]
const SECRETS = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']

interface Running {
  readonly app: FastifyInstance
  readonly waybill: Waybill
  readonly store: Store
  readonly contract: Contract
}

/** A real API of every type, and its own document. */
async function run(
  lab: TestContext,
  options: Omit<ApiOptions, 'base'> = {},
  more: Partial<WaybillOptions> = {},
): Promise<Running> {
  const store = more.store ?? sqliteStore({ path: ':memory:' })
  const waybill = await lab.waybill(TYPES, {
    store,
    worker: { handlers: HANDLERS, publicUrl: 'http://api.example.org' },
    webhooks: { secrets: SECRETS },
    ...more,
  })
  const app = Fastify({ forceCloseConnections: true })
  await app.register(plugin, { waybill, listing: true, exposeAttempts: true, ...options })
  lab.onEnd(() => app.close())
  const { body } = await app.inject('/openapi.json')
  return { app, waybill, store, contract: new Contract(app, JSON.parse(body) as OpenApiDocument) }
}

/** Submits a task, and gives its id when it is as far as its act takes it. */
async function taskThat({ contract, store }: Running, act: z.infer<typeof Task>['act']): Promise<string> {
  const { id } = (await contract.ask('POST', '/tasks', { payload: { act } })).json<{ id: string }>()
  if (act === 'wait') await until(async () => (await store.read(id))?.progress?.fraction === 0.5)
  else await hasFinished(store, id)
  return id
}

const UNKNOWN = '01936f5e-8c1a-7b3c-9d4e-5f60718293a4'

describe('the document has every route, and no other', () => {
  const every = (options: ApiOptions, webhooks: boolean, lab: TestContext) => {
    const waybill = lab.composition(TYPES, webhooks ? { webhooks: { secrets: SECRETS } } : {})
    const routes = createRoutes(waybill, options)
    return { waybill, routes }
  }

  test.for<[string, ApiOptions, boolean]>([
    ['by default', {}, false],
    ['with everything', { listing: true, exposeAttempts: true, dialect: 'accepted', base: '/api' }, true],
    ['without metrics', { metrics: false }, true],
  ])('%s', async ([, options, webhooks], { lab }) => {
    const { routes } = every(options, webhooks, lab)
    const described = routes.find(({ path }) => path === '/openapi.json')
    const none = { headers: {}, params: {}, query: new URLSearchParams(), owner: '', signal: AbortSignal.any([]) }
    const document = JSON.parse(String((await described?.handle(none))?.body)) as OpenApiDocument
    const inDocument = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map(method => `${method.toUpperCase()} ${path}`),
    )
    const own = routes.filter(({ method }) => method !== 'OPTIONS' && method !== '*')
    expect(inDocument.sort()).toEqual(own.flatMap(inOpenApi).sort())
  })

  function inOpenApi({ method, path }: { method: string; path: string }): string[] {
    // The router cannot match what follows a parameter; the handler does.
    const acts = method === 'POST' && path === '/operations/:id' ? [':cancel', ':retry'] : ['']
    return acts.map(act => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}${act}`)
  }

  test('neither document nor page, if they are disabled', ({ lab }) => {
    const paths = createRoutes(lab.composition(TYPES), { openapi: false }).map(({ path }) => path)
    expect(paths).not.toContain('/openapi.json')
    expect(paths).not.toContain('/docs')
  })
})

test('an operation is described through its whole life', async ({ lab }) => {
  const running = await run(lab)
  const { contract, store } = running
  const waiting = await taskThat(running, 'wait')
  const status = `/tasks/status/${waiting}`
  const { headers } = await contract.ask('GET', status)
  await contract.ask('GET', status, { headers: { 'if-none-match': String(headers.etag) } })
  await contract.ask('GET', status, { headers: { prefer: 'wait=0' } })
  await contract.ask('GET', status, { headers: { prefer: 'respond-async' } })
  const asked = { 'if-none-match': String(headers.etag), prefer: 'respond-async' }
  await contract.ask('GET', status, { headers: asked })
  await contract.ask('GET', `/tasks/${waiting}`)
  await contract.ask('GET', `/operations/${waiting}`)
  await contract.ask('GET', `/operations/${waiting}/attempts`)
  await contract.ask('POST', `/operations/${waiting}/deliveries`)
  await contract.ask('DELETE', status)
  await hasStatus(store, waiting, 'canceled')
  await contract.ask('DELETE', status)
  await contract.ask('GET', status)
  await contract.ask('GET', `/tasks/${waiting}`)
  await contract.ask('GET', status, { headers: { prefer: 'respond-async' } })
  await contract.ask('GET', `/operations/${waiting}`)
  await contract.ask('POST', `/operations/${waiting}:cancel`)
  await contract.ask('GET', `/operations/${waiting}/deliveries`)
  await contract.ask('POST', `/operations/${waiting}/deliveries`)

  const done = await taskThat(running, 'return')
  await contract.ask('GET', `/tasks/status/${done}`)
  await contract.ask('GET', `/tasks/status/${done}`, { headers: { prefer: 'respond-async' } })
  const { headers: result } = await contract.ask('GET', `/tasks/${done}`)
  await contract.ask('GET', `/tasks/${done}`, { headers: { 'if-none-match': String(result.etag) } })
  await contract.ask('GET', `/operations/${done}`)
  await contract.ask('DELETE', `/tasks/status/${done}`)
  await contract.ask('POST', `/operations/${done}:cancel`)
  const stream = await contract.ask('GET', `/tasks/status/${done}`, { headers: { accept: 'text/event-stream' } })
  const last = stream.body.match(/(?<=^id: ).*$/gm)?.at(-1) ?? ''
  const again = { accept: 'text/event-stream', 'last-event-id': last }
  await contract.ask('GET', `/tasks/status/${done}`, { headers: again })
  await contract.ask('GET', '/tasks')
  await contract.ask('GET', '/tasks?limit=1')
  await contract.ask('GET', '/tasks?limit=none')

  for (const act of ['refuse', 'fail', 'break'] as const) {
    const failed = await taskThat(running, act)
    await contract.ask('GET', `/tasks/status/${failed}`)
    await contract.ask('GET', `/tasks/status/${failed}`, { headers: { prefer: 'respond-async' } })
    await contract.ask('GET', `/tasks/${failed}`)
    await contract.ask('GET', `/operations/${failed}`)
    await contract.ask('GET', `/operations/${failed}/attempts`)
  }
  await contract.ask('POST', `/operations/${done}:retry`)
  await contract.ask('POST', `/operations/${waiting}:retry`)
  const retry = await contract.ask('POST', `/operations/${waiting}:retry`)
  await contract.ask('GET', status)
  const retried = retry.json<{ id: string }>().id
  await until(async () => (await store.read(retried))?.progress?.fraction === 0.5)
  await contract.ask('POST', `/operations/${retried}:retry`)
  await contract.ask('DELETE', `/operations/${retried}`)
  await contract.ask('DELETE', `/operations/${retried}?cancel=true`)
  await hasStatus(store, retried, 'canceled')
  await contract.ask('DELETE', `/operations/${retried}`)
  await contract.ask('DELETE', `/operations/${retried}`)
  expect([...contract.seen].sort()).toEqual(
    [
      'DELETE /operations/{id} 202 application/json',
      'DELETE /operations/{id} 204',
      'DELETE /operations/{id} 409 application/problem+json',
      'DELETE /operations/{id} 410 application/problem+json',
      'POST /operations/{id}:retry 202 application/json',
      'POST /operations/{id}:retry 409 application/problem+json',
      'GET /operations/{id} 200 application/json',
      'GET /operations/{id}/attempts 200 application/json',
      'GET /operations/{id}/deliveries 200 application/json',
      'GET /tasks 200 application/json',
      'GET /tasks 400 application/problem+json',
      'GET /tasks/status/{id} 200 application/json',
      'GET /tasks/status/{id} 200 text/event-stream',
      'GET /tasks/status/{id} 202 application/json',
      'GET /tasks/status/{id} 204',
      'GET /tasks/status/{id} 303 application/json',
      'GET /tasks/status/{id} 304',
      'GET /tasks/status/{id} 410 application/json',
      'GET /tasks/status/{id} 422 application/json',
      'GET /tasks/status/{id} 500 application/json',
      'GET /tasks/{id} 200 application/json',
      'GET /tasks/{id} 304',
      'GET /tasks/{id} 404 application/problem+json',
      'GET /tasks/{id} 410 application/json',
      'GET /tasks/{id} 422 application/json',
      'GET /tasks/{id} 500 application/json',
      'DELETE /tasks/status/{id} 200 application/json',
      'DELETE /tasks/status/{id} 202 application/json',
      'DELETE /tasks/status/{id} 409 application/problem+json',
      'POST /operations/{id}/deliveries 409 application/problem+json',
      'POST /operations/{id}:cancel 200 application/json',
      'POST /operations/{id}:cancel 409 application/problem+json',
      'POST /tasks 202 application/json',
    ].sort(),
  )
})

test('a waiting operation, and the events for it, are described', async ({ lab }) => {
  const { contract, store } = await run(lab)
  const asking = async () => {
    const { id } = (await contract.ask('POST', '/tasks', { payload: { act: 'ask' } })).json<{ id: string }>()
    await when(store, id, isSuspended)
    return id
  }
  const send = async (path: string, value: string) =>
    await contract.ask('POST', path, { payload: value, headers: { 'content-type': 'application/json' } })

  const id = await asking()
  const event = `/operations/${id}/events/approval`
  const waits = (await contract.ask('GET', `/tasks/status/${id}`)).json<StatusDocument>().waits
  expect((await contract.ask('GET', event)).json()).toEqual(waits?.[0])
  await send(event, '"yes"')
  await send(event, 'yes')
  await send(`/operations/${id}/events/-`, 'true')
  await send(event, 'true')
  await send(event, 'false')
  await hasFinished(store, id)
  await contract.ask('GET', event)
  await send(event, 'true')

  const other = await asking()
  const callback = (await contract.ask('GET', `/operations/${other}/events/approval`)).json<WaitDocument>().message
  const path = new URL(callback ?? '').pathname
  for (const value of ['1', 'true', 'false', '']) await send(path, value)
  expect((await send(path.slice(0, -1), 'true')).statusCode).toBe(404)
  expect([...contract.seen].filter(seen => /events|callbacks/.test(seen)).sort()).toEqual([
    'GET /operations/{id}/events/{name} 200 application/json',
    'GET /operations/{id}/events/{name} 404 application/problem+json',
    'POST /operations/{id}/callbacks/{token} 202 application/json',
    'POST /operations/{id}/callbacks/{token} 400 application/problem+json',
    'POST /operations/{id}/callbacks/{token} 404 application/problem+json',
    'POST /operations/{id}/callbacks/{token} 409 application/problem+json',
    'POST /operations/{id}/callbacks/{token} 422 application/problem+json',
    'POST /operations/{id}/events/{name} 202 application/json',
    'POST /operations/{id}/events/{name} 400 application/problem+json',
    'POST /operations/{id}/events/{name} 409 application/problem+json',
    'POST /operations/{id}/events/{name} 422 application/problem+json',
  ])
})

test('a batch, and the results of its items, are described', async ({ lab }) => {
  const { contract, store } = await run(lab)
  const items = [{ act: 'return' }, { act: 'x' }, { act: 'fail' }]
  const submitted = await contract.ask('POST', '/tasks/batches', { payload: items })
  const { id } = submitted.json<{ id: string }>()
  await hasFinished(store, id)
  await contract.ask('GET', `/tasks/batches/status/${id}`)
  await contract.ask('GET', `/tasks/batches/${id}`)
  const first = await contract.ask('GET', `/tasks/batches/${id}/results?limit=1`)
  const line = JSON.parse(first.body) as { id: string }
  await contract.ask('GET', `/tasks/batches/${id}/results?after=-`)
  await contract.ask('GET', `/tasks/batches/${UNKNOWN}/results`)
  const child = (await contract.ask('GET', `/tasks/status/${line.id}`)).json<StatusDocument>()
  expect(child.links.parent).toBe(`/operations/${id}`)
  const headers = { 'content-type': 'application/x-ndjson' }
  await contract.ask('POST', '/tasks/batches', { headers, payload: '{"act":"return"}' })
  await contract.ask('POST', '/tasks/batches', { headers, payload: '{"act":' })
  await contract.ask('POST', '/tasks', { headers, payload: '{"act":"return"}' })
})

test('a webhook, and its deliveries, are described', async ({ lab }) => {
  const received = Promise.withResolvers<{ headers: IncomingHttpHeaders; body: string }>()
  const receiver = createServer((request, response) => {
    text(request).then(body => received.resolve({ headers: request.headers, body }), received.reject)
    response.writeHead(204).end()
  }).listen(0, '127.0.0.1')
  lab.onEnd(() => receiver.close())
  await once(receiver, 'listening')
  const { port } = receiver.address() as AddressInfo
  const webhooks = { secrets: SECRETS, allowHttp: true, allowPrivate: true, baseUrl: 'http://api.example.org' }
  const { contract } = await run(lab, {}, { webhooks })
  const headers = { 'webhook-url': `http://127.0.0.1:${port}/` }
  const { id } = (await contract.ask('POST', '/tasks', { payload: { act: 'wait' }, headers })).json<{ id: string }>()
  expect((await contract.ask('POST', `/operations/${id}/deliveries`)).statusCode).toBe(404)
  await contract.ask('DELETE', `/tasks/status/${id}`)
  contract.checkCallback('/tasks', await received.promise)
  await until(async () => {
    const { items } = (await contract.ask('GET', `/operations/${id}/deliveries`)).json<{
      items: { status: string }[]
    }>()
    return items[0]?.status === 'completed'
  })
  expect((await contract.ask('POST', `/operations/${id}/deliveries`)).statusCode).toBe(202)
})

test('a request that waits, repeats or is refused is described', async ({ lab }) => {
  const { contract } = await run(lab)
  const task = (act: string, headers: Record<string, string> = {}) =>
    contract.ask('POST', '/tasks', { payload: { act }, headers })
  await task('return', { prefer: 'wait=30', 'idempotency-key': '"one"' })
  await task('return', { prefer: 'wait=30', 'idempotency-key': '"one"' })
  await task('return', { 'idempotency-key': '"one"' })
  await task('fail', { 'idempotency-key': '"one"' })
  await task('refuse', { prefer: 'wait=30' })
  await task('fail', { prefer: 'wait=30' })
  await task('wait', { prefer: 'wait=0' })
  await task('sleep')
  await task('return', { 'idempotency-key': '"' })
  await task('return', { 'webhook-url': 'http://localhost/' })
  await contract.ask('POST', '/keyed', { payload: 'null', headers: { 'content-type': 'application/json' } })
  await contract.ask('POST', '/keyed', { payload: '{', headers: { 'content-type': 'application/json' } })
  await contract.ask('POST', '/keyed', { payload: 'text', headers: { 'content-type': 'text/plain' } })
  await contract.ask('POST', '/tasks', { payload: { act: 'x'.repeat(2000) } })
  await task('return', { 'content-encoding': 'gzip' })
  await task('return', { 'if-match': '"x"' })
  await contract.ask('POST', '/limited', { payload: {} })
  await contract.ask('POST', '/limited', { payload: {} })
  expect([...contract.seen].sort()).toEqual([
    'POST /keyed 400 application/problem+json',
    'POST /keyed 415 application/problem+json',
    'POST /limited 202 application/json',
    'POST /limited 429 application/problem+json',
    'POST /tasks 200 application/json',
    'POST /tasks 202 application/json',
    'POST /tasks 400 application/problem+json',
    'POST /tasks 412 application/problem+json',
    'POST /tasks 413 application/problem+json',
    'POST /tasks 415 application/problem+json',
    'POST /tasks 422 application/json',
    'POST /tasks 422 application/problem+json',
    'POST /tasks 500 application/json',
  ])
})

test('unknown and purged operations are described', async ({ lab }) => {
  const running = await run(lab)
  const { contract, store } = running
  const { id } = (await contract.ask('POST', '/brief', { payload: {} })).json<{ id: string }>()
  await until(async () => (await store.read(id))?.purged)
  for (const [which, type] of [
    [UNKNOWN, 'tasks'],
    [id, 'brief'],
  ] as const) {
    await contract.ask('GET', `/${type}/status/${which}`)
    await contract.ask('DELETE', `/${type}/status/${which}`)
    await contract.ask('GET', `/${type}/${which}`)
    await contract.ask('GET', `/operations/${which}`)
    await contract.ask('POST', `/operations/${which}:cancel`)
    await contract.ask('GET', `/operations/${which}/attempts`)
    await contract.ask('GET', `/operations/${which}/deliveries`)
    await contract.ask('POST', `/operations/${which}/deliveries`)
  }
  const statuses = [...contract.seen].map(seen => / (\d+)/.exec(seen)?.[1])
  expect(statuses.filter(status => status === '404')).toHaveLength(8)
  expect(statuses.filter(status => status === '410')).toHaveLength(8)
})

test('the dialect "accepted" is described', async ({ lab }) => {
  const running = await run(lab, { dialect: 'accepted' })
  const { contract, store } = running
  const waiting = await taskThat(running, 'wait')
  await contract.ask('GET', `/tasks/status/${waiting}`)
  await contract.ask('DELETE', `/tasks/status/${waiting}`)
  await hasStatus(store, waiting, 'canceled')
  await contract.ask('DELETE', `/tasks/status/${waiting}`)
  await contract.ask('GET', `/tasks/status/${waiting}`)
  const done = await taskThat(running, 'return')
  await contract.ask('GET', `/tasks/status/${done}`)
  await contract.ask('GET', `/tasks/status/${done}`, { headers: { accept: 'text/event-stream' } })
  await contract.ask('GET', `/tasks/status/${await taskThat(running, 'refuse')}`)
  expect([...contract.seen].sort()).toEqual([
    'DELETE /tasks/status/{id} 202 application/json',
    'GET /tasks/status/{id} 200 application/json',
    'GET /tasks/status/{id} 200 text/event-stream',
    'GET /tasks/status/{id} 202 application/json',
    'GET /tasks/status/{id} 410 application/json',
    'GET /tasks/status/{id} 422 application/json',
    'POST /tasks 202 application/json',
  ])
})

test('the dialect "azure" is described', async ({ lab }) => {
  const running = await run(lab, { dialect: 'azure' })
  const { contract, store } = running
  const waiting = await taskThat(running, 'wait')
  const status = `/tasks/status/${waiting}`
  const { headers } = await contract.ask('GET', status)
  expect(headers).toMatchObject({ 'retry-after': expect.any(String), etag: expect.any(String) })
  await contract.ask('GET', status, { headers: { 'if-none-match': String(headers.etag) } })
  await contract.ask('GET', status, { headers: { prefer: 'respond-async' } })
  await contract.ask('DELETE', status)
  await hasStatus(store, waiting, 'canceled')
  expect((await contract.ask('DELETE', status)).json()).toMatchObject({ status: 'Canceled' })
  expect((await contract.ask('GET', status)).json()).toMatchObject({ status: 'Canceled' })
  const done = await taskThat(running, 'return')
  const succeeded = await contract.ask('GET', `/tasks/status/${done}`)
  expect(succeeded.json()).toMatchObject({ status: 'Succeeded', result: { done: true } })
  await contract.ask('GET', `/tasks/status/${done}`, { headers: { prefer: 'respond-async' } })
})

test('an unreachable store, and a service that shuts down, are described', async ({ lab }) => {
  const { store, cut } = faultyStore(sqliteStore({ path: ':memory:' }))
  const { contract, waybill } = await run(lab, {}, { store, sweepInterval: '1h' })
  for (const method of ['read', 'readWithOutput', 'accept', 'list'] as const) cut.add(method)
  const reads = ['/tasks', `/tasks/status/${UNKNOWN}`, `/tasks/${UNKNOWN}`, `/operations/${UNKNOWN}`]
  for (const path of reads) await contract.ask('GET', path)
  await contract.ask('DELETE', `/tasks/status/${UNKNOWN}`)
  await contract.ask('POST', `/operations/${UNKNOWN}:cancel`)
  await contract.ask('GET', `/operations/${UNKNOWN}/deliveries`)
  await contract.ask('POST', `/operations/${UNKNOWN}/deliveries`)
  await contract.ask('POST', '/tasks', { payload: { act: 'return' } })
  await contract.ask('GET', '/readyz')
  cut.clear()
  waybill.operations.drain()
  await contract.ask('POST', '/tasks', { payload: { act: 'return' } })
  await contract.ask('GET', '/readyz')
  expect([...contract.seen].every(seen => seen.includes(' 503 '))).toBe(true)
  expect(contract.seen.size).toBe(10)
})

test('failed preconditions are described', async ({ lab }) => {
  const running = await run(lab)
  const { contract } = running
  const [waiting, done] = [await taskThat(running, 'wait'), await taskThat(running, 'return')]
  const own = ['/tasks', `/tasks/status/${waiting}`, `/tasks/${done}`, `/operations/${done}`]
  const more = [`/operations/${done}/attempts`, `/operations/${done}/deliveries`]
  const around = ['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs']
  const asks = [
    ...[...own, ...more, ...around].map(path => ['GET', path] as const),
    ['DELETE', `/tasks/status/${waiting}`],
    ['POST', `/operations/${waiting}:cancel`],
    ['POST', `/operations/${waiting}/deliveries`],
  ] as const
  for (const [method, path] of asks) {
    const { statusCode } = await contract.ask(method, path, { headers: { 'if-match': '"x"' } })
    expect([method, path, statusCode]).toEqual([method, path, 412])
  }
})

test('the other paths are described', async ({ lab }) => {
  const { contract } = await run(lab)
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs']) await contract.ask('GET', path)
  for (const path of ['/openapi.json', '/docs']) {
    const { headers } = await contract.ask('GET', path)
    const known = await contract.ask('GET', path, { headers: { 'if-none-match': String(headers.etag) } })
    expect(known.statusCode).toBe(304)
  }
})

test('an internal error is described', async ({ lab }) => {
  const { contract, waybill } = await run(lab)
  waybill.operations.findWithOutput = () => Promise.reject(new Error('A fault.'))
  expect((await contract.ask('GET', `/tasks/${UNKNOWN}`)).statusCode).toBe(500)
})
