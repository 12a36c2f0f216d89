/** The document of the admin API and the API agree: the same routes, and no answer that the document does not describe. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type InjectOptions } from 'fastify'
import { expect } from 'vitest'
import { batchOf, defineOperation, handler } from 'waybill'
import { createRoutes } from 'waybill/adapters'
import { waybill as plugin } from 'waybill/fastify'
import type { OpenApiDocument } from 'waybill/openapi'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import type { AdminPrincipal } from '../../src/http/admin/operator-identity.ts'
import { isSuspended } from '../../src/model/operation.ts'
import { Contract } from '../fixtures/openapi/contract.ts'
import { onlyLong } from '../support/length.ts'
import { faultyStore, hasFinished, hasStatus, submit, type TestContext, test, until, when } from '../support/waybill.ts'

const tasks = defineOperation({
  name: 'tasks',
  input: z.object({ act: z.enum(['return', 'fail', 'wait', 'ask']) }),
  tags: ({ act }) => ({ act }),
  attempts: 1,
  allowWebhooks: true,
  rateLimit: { requests: 1000, per: '1s' },
})
const bare = defineOperation({ name: 'bare' })

const batches = batchOf(tasks)

const handlers = handler(tasks, async ({ act }, job) => {
  job.log(`asked to ${act}`)
  await job.step('begin', () => 1)
  if (act === 'fail') throw new TypeError('It failed.', { cause: new Error('No disk.') })
  if (act === 'ask') return await job.ask('approval', { message: 'Yes?', schema: { type: 'boolean' }, timeout: '1h' })
  if (act === 'return') return { done: true }
  job.progress(0.5, 'waiting')
  return await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
})

const PEOPLE: Readonly<Record<string, AdminPrincipal>> = {
  ann: { name: 'ann', role: 'operator' },
  vic: { name: 'vic', role: 'viewer' },
}
const UNKNOWN = '01936f5e-8c1a-7b3c-9d4e-5f60718293a4'

async function run(lab: TestContext, store = sqliteStore({ path: ':memory:' })) {
  const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']
  const waybill = await lab.waybill([tasks, bare, batches], {
    store,
    sweepInterval: '1h',
    worker: { handlers: [handlers, handler(bare, () => null)] },
    webhooks: { secrets, allowHttp: true, allowPrivate: true },
  })
  const app = Fastify({ forceCloseConnections: true })
  const principal = ({ headers }: { headers: Record<string, unknown> }) => PEOPLE[`${headers['x-operator']}`]
  await app.register(plugin, {
    waybill,
    admin: { principal, traceUrl: 'https://traces.example.com/{traceId}' },
  })
  lab.onEnd(() => app.close())
  const as = { 'x-operator': 'ann' }
  const { body } = await app.inject({ url: '/admin/openapi.json', headers: as })
  const contract = new Contract(app, JSON.parse(body) as OpenApiDocument)
  const look = (path: string, name = 'ann', headers: Record<string, string> = {}) =>
    contract.ask('GET', `/admin${path}`, { headers: { 'x-operator': name, ...headers } })
  const { token } = (await look('/session')).json<{ token: string }>()
  const change = (method: 'POST' | 'DELETE', path: string, payload?: unknown, headers: Record<string, string> = {}) => {
    const type = payload === undefined ? {} : { 'content-type': 'application/json' }
    const options: InjectOptions = { headers: { ...as, 'waybill-token': token, ...type, ...headers } }
    const sent = typeof payload === 'string' ? payload : JSON.stringify(payload)
    return contract.ask(method, `/admin${path}`, payload === undefined ? options : { ...options, payload: sent })
  }
  const task = (act: 'return' | 'fail' | 'wait' | 'ask', more = {}) => submit(waybill, tasks, { act }, more)
  return { waybill, app, contract, look, change, task }
}

test('the document has every route, and no other', async ({ lab }) => {
  const { app, waybill } = await run(lab)
  const { paths, servers } = (
    await app.inject({ url: '/admin/openapi.json', headers: { 'x-operator': 'ann' } })
  ).json<OpenApiDocument>()
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map(method => `${method.toUpperCase()} ${path}`),
  )
  const routes = createRoutes(waybill, { admin: {} }).filter(({ admin, method }) => admin === true && method !== '*')
  const served = routes
    .filter(({ method }) => method !== 'OPTIONS')
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  expect(described.sort()).toEqual(served.sort())
  expect(servers).toMatchObject([{ url: '/' }])
})

onlyLong(() => {
  test('Spectral finds nothing', async ({ lab }) => {
    const { app } = await run(lab)
    const { body } = await app.inject({ url: '/admin/openapi.json', headers: { 'x-operator': 'ann' } })
    const { default: spectralCore } = await import('@stoplight/spectral-core')
    const { default: spectralRulesets } = await import('@stoplight/spectral-rulesets')
    const spectral = new spectralCore.Spectral()
    spectral.setRuleset({ extends: [[spectralRulesets.oas, 'recommended']] } as never)
    expect(await spectral.run(body)).toEqual([])
  })
})()

test('the responses to reads of an operator are described', async ({ lab }) => {
  const { waybill, look, task } = await run(lab)
  const [done, failed] = [await task('return', { owner: 'ada', idempotencyKey: 'k' }), await task('fail')]
  for (const id of [done, failed]) await hasFinished(waybill.store, id)
  const [waiting, asking] = [await task('wait'), await task('ask')]
  await when(waybill.store, waiting, ({ progress }) => progress !== null)
  await when(waybill.store, asking, isSuspended)
  for (const id of [done, failed, waiting, asking]) {
    await look(`/operations/${id}`)
    await look(`/operations/${id}`, 'vic')
    await look(`/operations/${id}/log`)
    await look(`/operations/${id}/children`)
    expect((await look(`/operations/${id}/input`)).statusCode).toBe(200)
    expect((await look(`/operations/${id}/input`, 'vic')).statusCode).toBe(403)
  }
  await look(`/operations/${done}/result`)
  expect((await look(`/operations/${waiting}/result`)).statusCode).toBe(404)
  expect((await look('/operations?limit=2')).json()).toMatchObject({ items: { length: 2 } })
  for (const path of ['/types', '/statistics', '/audit', '/bulk', '/openapi.json', `/operations/${UNKNOWN}/log`]) {
    expect((await look(path)).statusCode).toBe(200)
  }
  for (const path of ['/operations?filter=status:x', '/operations?limit=0', '/statistics?window=x', '/audit?limit=x']) {
    expect((await look(path)).statusCode).toBe(400)
  }
  const batch = await submit(waybill, batches, [{ act: 'return' }, { act: 'fail' }])
  await hasFinished(waybill.store, batch)
  expect((await look(`/operations/${batch}/results`)).json()).toMatchObject({
    items: [{ output: '{"done":true}' }, {}],
  })
  expect((await look(`/operations/${batch}/results`, 'vic')).json().items[0]).not.toHaveProperty('output')
  expect((await look(`/operations/${batch}/results?after=x`)).statusCode).toBe(400)
  expect((await look(`/operations/${done}/results`)).statusCode).toBe(404)
  expect((await look(`/operations/${UNKNOWN}/children?state=x`)).statusCode).toBe(400)
  for (const path of [`/operations/${UNKNOWN}`, `/bulk/${UNKNOWN}`]) expect((await look(path)).statusCode).toBe(404)
  const paths = ['/session', '/operations', '/types', '/statistics', '/audit', '/bulk', '/openapi.json']
  for (const path of paths) {
    expect((await look(path, 'nobody')).statusCode).toBe(401)
    expect((await look(path, 'ann', { 'if-match': '"x"' })).statusCode).toBe(412)
  }
})

test('the responses to actions of an operator are described', async ({ lab }) => {
  const { waybill, change, look, task } = await run(lab)
  const failed = await task('fail')
  await hasFinished(waybill.store, failed)
  const asking = await task('ask')
  await when(waybill.store, asking, isSuspended)
  const event = `/operations/${asking}/events/approval`
  for (const [value, status] of [
    ['"yes"', 422],
    ['yes', 400],
    ['true', 200],
    ['false', 409],
  ] as const) {
    expect((await change('POST', event, value)).statusCode).toBe(status)
  }
  expect((await change('POST', `/operations/${failed}/retry`, {})).statusCode).toBe(200)
  expect((await change('POST', `/operations/${failed}/retry`, { fresh: 1 })).statusCode).toBe(400)
  expect((await change('POST', `/operations/${failed}/retry`, 'x', { 'content-type': 'text/plain' })).statusCode).toBe(
    415,
  )
  expect((await change('POST', `/operations/${failed}/cancel`)).statusCode).toBe(409)
  const waiting = await task('wait')
  await hasStatus(waybill.store, waiting, 'running')
  expect((await change('DELETE', `/operations/${waiting}`)).statusCode).toBe(409)
  expect((await change('POST', `/operations/${waiting}/cancel`)).statusCode).toBe(200)
  expect((await change('DELETE', `/operations/${failed}`)).statusCode).toBe(204)
  expect((await change('DELETE', `/operations/${failed}`)).statusCode).toBe(410)
  for (const act of ['pause', 'resume']) {
    expect((await change('POST', `/types/tasks/${act}`)).statusCode).toBe(204)
  }
  expect((await change('POST', '/types/none/pause')).statusCode).toBe(404)
  for (const path of ['cancel', 'retry'])
    await change('POST', `/operations/${UNKNOWN}/${path}`, path === 'retry' ? {} : undefined)
  expect((await change('DELETE', `/operations/${UNKNOWN}`)).statusCode).toBe(404)

  const all = { action: 'retry', filter: 'status:canceled tag:act=wait since:1h' }
  expect((await change('POST', '/bulk/preview', all)).json()).toMatchObject({ complete: true })
  const { id } = (await change('POST', '/bulk', all)).json<{ id: string }>()
  await change('POST', '/bulk', { action: 'delete', ids: [failed, UNKNOWN] })
  expect((await change('POST', '/bulk', { action: 'delete', ids: [] })).statusCode).toBe(400)
  expect((await change('POST', '/bulk', { action: 'x'.repeat(70_000) })).statusCode).toBe(413)
  await hasFinished(waybill.store, id)
  for (const path of ['/bulk', `/bulk/${id}`, '/audit?limit=3']) expect((await look(path)).statusCode).toBe(200)
  expect((await change('POST', `/bulk/${id}/cancel`)).statusCode).toBe(409)
  expect((await change('POST', `/bulk/${UNKNOWN}/cancel`)).statusCode).toBe(404)
  for (const headers of [{ 'waybill-token': 'x' }, { origin: 'https://elsewhere.example' }, { 'x-operator': 'vic' }]) {
    expect((await change('POST', '/types/tasks/pause', undefined, headers)).statusCode).toBe(403)
  }
})

test('the responses to a repeated webhook are described', async ({ lab }) => {
  const receiver = createServer((request, response) => {
    request.resume()
    response.writeHead(204).end()
  }).listen(0, '127.0.0.1')
  lab.onEnd(() => receiver.close())
  await once(receiver, 'listening')
  const { waybill, change, look, task } = await run(lab)
  const webhookUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const id = await task('return', { webhookUrl })
  await hasFinished(waybill.store, id)
  await until(async () => ((await waybill.operator.get(id))?.deliveries ?? []).some(it => it.status === 'completed'))
  expect((await change('POST', `/deliveries/${id}/replay`)).statusCode).toBe(200)
  await look(`/operations/${id}`)
  const plain = await task('return')
  await hasFinished(waybill.store, plain)
  expect((await change('POST', `/deliveries/${plain}/replay`)).statusCode).toBe(409)
  expect((await change('POST', `/deliveries/${UNKNOWN}/replay`)).statusCode).toBe(404)
})

test('the responses without a reachable store are described', async ({ lab }) => {
  const { store, cut } = faultyStore(sqliteStore({ path: ':memory:' }))
  const { look, change } = await run(lab, store)
  for (const method of ['read', 'accept', 'list', 'browse', 'logs', 'queueStats', 'readPayload'] as const)
    cut.add(method)
  for (const path of [
    '/operations',
    `/operations/${UNKNOWN}`,
    `/operations/${UNKNOWN}/log`,
    '/types',
    '/audit',
    '/bulk',
  ]) {
    expect((await look(path)).statusCode, path).toBe(503)
  }
  expect((await change('POST', `/operations/${UNKNOWN}/cancel`)).statusCode).toBe(503)
  expect((await change('POST', '/types/tasks/pause')).statusCode).toBe(503)
})
