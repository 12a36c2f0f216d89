/** What an API that can keep results that are not JSON says of itself, checked against its answers. */
import { join } from 'node:path'
import fastify from 'fastify'
import { expect } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import { waybill as plugin } from 'waybill/fastify'
import type { ApiOptions } from '../../src/http/routes.ts'
import handlers from '../fixtures/handlers/files.ts'
import { Contract } from '../fixtures/openapi/contract.ts'
import { files as filesType } from '../support/files.ts'
import { hasFinished, submit, type TestContext, test } from '../support/waybill.ts'

const INPUT = { as: 'text', text: '0123456789', type: 'application/pdf', filename: 'a.pdf' } as const

async function run(lab: TestContext, options: Pick<ApiOptions, 'dialect'> = {}) {
  const blobs = folderBlobs({ path: join(lab.file(), '..', 'results') })
  const waybill = await lab.waybill([filesType()], { worker: { handlers }, blobs })
  const app = fastify()
  await app.register(plugin, { waybill, ...options })
  lab.onEnd(() => app.close())
  const { body } = await app.inject('/openapi.json')
  const id = await submit(waybill, filesType(), INPUT)
  await hasFinished(waybill.store, id)
  return { contract: new Contract(app, JSON.parse(body)), id }
}

test('every response with a binary result is described', async ({ lab }) => {
  const { contract, id } = await run(lab)
  const { headers } = await contract.ask('GET', `/files/${id}`)
  await contract.ask('GET', `/files/${id}`, { headers: { range: 'bytes=0-1' } })
  await contract.ask('GET', `/files/${id}`, { headers: { range: 'bytes=99-' } })
  await contract.ask('GET', `/files/${id}`, { headers: { 'if-none-match': String(headers.etag) } })
  await contract.ask('GET', `/files/status/${id}`, { headers: { prefer: 'respond-async' } })
  await contract.ask('GET', `/operations/${id}`)
  await contract.ask('POST', '/files', { payload: INPUT, headers: { prefer: 'wait=30' } })
  expect([...contract.seen].sort()).toEqual([
    'GET /files/status/{id} 200 application/pdf',
    'GET /files/{id} 200 application/pdf',
    'GET /files/{id} 206 application/pdf',
    'GET /files/{id} 304',
    'GET /files/{id} 416 application/problem+json',
    'GET /operations/{id} 200 application/json',
    'POST /files 200 application/pdf',
  ])
})

test('every response of the dialect "accepted" with a binary result is described', async ({ lab }) => {
  const { contract, id } = await run(lab, { dialect: 'accepted' })
  await contract.ask('GET', `/files/status/${id}`)
  expect([...contract.seen]).toEqual(['GET /files/status/{id} 200 application/pdf'])
})
