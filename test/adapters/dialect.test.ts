/** A dialect written outside of src, with what `waybill/adapters` exports. */

import { expect } from 'vitest'
import type { OpenApiDocument } from 'waybill/openapi'
import { openApiDocument } from 'waybill/openapi'
import { reportsDialect } from '../fixtures/adapters/dialect.ts'
import { Contract } from '../fixtures/openapi/contract.ts'
import { openOrderServer, orders } from '../support/order-server.ts'
import { hasFinished, test, until } from '../support/waybill.ts'

test('a custom dialect answers at the status URL, and describes its responses', async ({ lab }) => {
  const { app, store, desk } = await openOrderServer(lab, { api: { dialect: reportsDialect } })
  const document = (await app.inject('/openapi.json')).json<OpenApiDocument>()
  const contract = new Contract(app, document)
  const submit = async (wish: string) =>
    (await contract.ask('POST', '/orders', { payload: { wish } })).json<{ id: string }>()
  const { id } = await submit('hold')
  const url = `/orders/status/${id}`
  await until(async () => (await store.read(id))?.progress?.fraction === 0.5)

  const working = await contract.ask('GET', url)
  expect([working.statusCode, working.json(), working.headers['x-report-state']]).toEqual([
    200,
    { report: id, state: 'working', href: url },
    'working',
  ])
  const unchanged = await contract.ask('GET', url, { headers: { 'if-none-match': String(working.headers.etag) } })
  expect(unchanged.statusCode).toBe(304)
  const preferred = await contract.ask('GET', url, { headers: { prefer: 'respond-async' } })
  expect(preferred.statusCode).toBe(202)
  desk.letGo()
  await hasFinished(store, id)
  expect((await contract.ask('GET', url)).json()).toEqual({ report: id, state: 'done', href: `/orders/${id}` })

  const { id: canceled } = await submit('hold')
  expect((await contract.ask('DELETE', `/orders/status/${canceled}`)).json()).toMatchObject({ report: canceled })
  await hasFinished(store, canceled)
  expect((await contract.ask('GET', `/orders/status/${canceled}`)).json()).toMatchObject({ state: 'error' })
})

test('the OpenAPI document describes a custom dialect', () => {
  const { paths } = openApiDocument([orders], { dialect: reportsDialect })
  const { get, delete: cancel } = paths['/orders/status/{id}'] ?? {}
  expect(get?.description).toContain('until the state is "done" or "error"')
  expect(cancel?.responses[200]).toMatchObject({ description: 'The state of an operation of orders.' })
  expect(() => openApiDocument([orders], { dialect: {} as never })).toThrow(
    'dialect must be "redirect" or "accepted" or "azure", or an object with the method describe',
  )
})

test('a dialect that fails is answered with 500', async ({ lab }) => {
  const broken = { ...reportsDialect, status: () => Promise.reject(new Error('a secret of the server')) }
  const { app } = await openOrderServer(lab, { api: { dialect: broken }, waybill: { worker: false } })
  const { id } = (await app.inject({ method: 'POST', url: '/orders', payload: { wish: 'hold' } })).json<{
    id: string
  }>()
  const answer = await app.inject(`/orders/status/${id}`)
  expect([answer.statusCode, answer.json()]).toMatchObject([500, { code: 'internal-error' }])
  expect(answer.body).not.toContain('secret')
})
