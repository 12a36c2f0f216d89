/** The envelope of MCP: what a message must be, and that its headers and its body agree. */
import { OAuthProtectedResourceMetadataSchema } from '@modelcontextprotocol/core'
import { expect } from 'vitest'
import { defineOperation } from 'waybill'
import { createRoutes } from 'waybill/adapters'
import { mcp as surface } from 'waybill/mcp'
import { CAPABILITIES, legacy, mcp, post, sendMcp } from '../../support/mcp.ts'
import { SERVERS, type ServerOptions, serveNode } from '../../support/servers.ts'
import { faultyStore, type TestContext, test } from '../../support/waybill.ts'

const tool = defineOperation({ name: 'tool', tool: true })

async function served(lab: TestContext, options: ServerOptions = {}) {
  return await serveNode(lab, await lab.waybill([tool]), { mcp: true, ...options })
}

test('a header that is missing or differs from the body is refused with 400', async ({ lab }) => {
  const api = await served(lab)
  const mismatch = { status: 400, error: { code: -32020 } }
  const call = { name: tool.name }
  for (const headers of [
    { 'mcp-method': undefined },
    { 'mcp-method': 'TOOLS/CALL' },
    { 'mcp-name': undefined },
    { 'mcp-name': 'other' },
    { 'mcp-name': '=?base64?b3RoZXI=?=' },
    { 'mcp-protocol-version': undefined },
    { 'mcp-protocol-version': '2025-06-18' },
  ]) {
    expect(await mcp(api, 'tools/call', call, { headers })).toMatchObject(mismatch)
  }
  const taskId = 'a task'
  expect(await mcp(api, 'tasks/get', { taskId }, { headers: { 'mcp-name': 'another' } })).toMatchObject(mismatch)
  const encoded = { 'mcp-name': `=?base64?${Buffer.from(taskId).toString('base64')}?=` }
  expect(await mcp(api, 'tasks/get', { taskId }, { headers: encoded })).toMatchObject({ error: { code: -32602 } })
})

test('a member of _meta that is missing, an unknown revision and an unknown method are refused', async ({ lab }) => {
  const api = await served(lab)
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }
  const bare = await post(api, { jsonrpc: '2.0', id: 1, method: 'tools/list' }, headers)
  expect(bare.status).toBe(400)
  expect(await bare.json()).toMatchObject({ id: 1, error: { code: -32602 } })
  expect(await mcp(api, 'tools/list', {}, { meta: { [CAPABILITIES]: undefined } })).toMatchObject({ status: 400 })
  const version = 'v999.0.0'
  const meta = { 'io.modelcontextprotocol/protocolVersion': version }
  expect(await mcp(api, 'tools/list', {}, { meta, headers: { 'mcp-protocol-version': version } })).toMatchObject({
    status: 400,
    error: { code: -32022, data: { supported: ['2026-07-28'], requested: version } },
  })
  for (const method of ['tasks/list', 'tasks/result', 'initialize', 'ping', 'toString']) {
    expect(await mcp(api, method, { taskId: 'x' })).toMatchObject({ status: 404, error: { code: -32601 } })
  }
})

test('an invalid message is refused, and a notification is accepted', async ({ lab }) => {
  const api = await served(lab)
  const codes = []
  for (const body of [
    1,
    [],
    {},
    { jsonrpc: '1.0' },
    { jsonrpc: '2.0', id: 1 },
    { jsonrpc: '2.0', id: 1.5, method: 'ping' },
  ]) {
    const response = await post(api, body)
    codes.push([response.status, ((await response.json()) as { error: { code: number } }).error.code])
  }
  expect(codes).toEqual(Array(6).fill([400, -32600]))
  const broken = await api.ask('/mcp', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' })
  expect([broken.status, await broken.json()]).toMatchObject([400, { error: { code: -32700 } }])
  const taken = await post(api, { jsonrpc: '2.0', method: 'notifications/initialized' })
  expect([taken.status, await taken.text()]).toEqual([202, ''])
  const batch = await post(api, [{ jsonrpc: '2.0', id: 1, method: 'ping' }])
  expect(await batch.json()).toMatchObject({ error: { message: expect.stringContaining('does not take batches') } })
  const wrong = await legacy(api, 'tools/call', { name: 5 })
  expect(wrong.error).toMatchObject({
    code: -32602,
    message: expect.stringContaining('"params.name" must be a string'),
  })
})

test.for(Object.entries(SERVERS))('pages of strangers may not call it on %s', async ([, serve], { lab }) => {
  const waybill = await lab.waybill([tool])
  const options = { publicUrl: 'https://api.example.com', cors: { origins: ['https://app.example.com'] }, mcp: true }
  const api = await serve(lab, waybill, options)
  const statuses = []
  for (const origin of [
    'https://app.example.com',
    'https://api.example.com',
    'http://localhost:5173',
    'http://127.0.0.1:3000',
    'http://[::1]',
    'http://evil.example.com',
    'http://localhost.example.com',
    'null',
  ]) {
    statuses.push((await sendMcp(api, 'tools/list', {}, { headers: { origin } })).status)
  }
  expect(statuses).toEqual([200, 200, 200, 200, 200, 403, 403, 403])
})

test('a caller without a token is told where to get one', async ({ lab }) => {
  const authorization = { servers: ['https://login.example.com'], scopes: ['orders'] }
  const options = { publicUrl: 'https://api.example.com', byHeader: true, mcp: { authorization } }
  for (const serve of Object.values(SERVERS)) {
    const api = await serve(lab, await lab.waybill([tool]), options)
    const refused = await sendMcp(api, 'tools/list')
    const url = 'https://api.example.com/.well-known/oauth-protected-resource/mcp'
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toBe(`Bearer resource_metadata="${url}", scope="orders"`)
    const response = await api.ask(new URL(url).pathname)
    expect(OAuthProtectedResourceMetadataSchema.parse(await response.json())).toMatchObject({
      resource: 'https://api.example.com/mcp',
      authorization_servers: ['https://login.example.com'],
      scopes_supported: ['orders'],
      bearer_methods_supported: ['header'],
    })
    expect((await api.ask(`/${tool.name}/x`)).headers.get('www-authenticate')).toBe('Bearer')
    const listed = await mcp(api, 'tools/list', {}, { headers: { 'x-user': 'ada' } })
    expect(listed.result).toMatchObject({ cacheScope: 'private' })
  }
  expect(() => createRoutes(lab.composition([tool]), { surfaces: [surface({ authorization })] })).toThrow('publicUrl')
})

test('an unreachable store is an error with 503 and Retry-After', async ({ lab }) => {
  const faulty = faultyStore(await lab.store())
  const waybill = await lab.waybill([tool], { store: faulty.store })
  const api = await serveNode(lab, waybill, { mcp: true })
  faulty.cut.add('accept')
  const answer = await mcp(api, 'tools/call', { name: tool.name })
  expect(answer).toMatchObject({ status: 503, error: { code: -32603, data: { problem: { code: 'unavailable' } } } })
  expect(answer.headers.get('retry-after')).toBe('2')
})
