/** Tools over MCP 2026-07-28: what they are called, what a call answers, and what it refuses. */
import { describe, expect } from 'vitest'
import { defineOperation, handler, media, ProblemError } from 'waybill'
import { createRoutes } from 'waybill/adapters'
import { folderBlobs } from 'waybill/blobs/folder'
import { type McpOptions as McpServerOptions, mcp as surface } from 'waybill/mcp'
import { z } from 'zod'
import { type Json, legacy, type McpOptions, mcp, sendMcp, streamed } from '../../support/mcp.ts'
import { SERVERS, serveNode } from '../../support/servers.ts'
import { hasStatus, test, until } from '../../support/waybill.ts'

const Order = z.object({ item: z.string().describe('What is ordered') })
const orders = defineOperation({
  name: 'orders',
  input: Order,
  output: z.object({ item: z.string(), packed: z.boolean() }),
  tool: {
    name: 'place_order',
    title: 'Place an order',
    description: 'Orders one item.',
    annotations: { openWorldHint: false },
  },
})
const hidden = defineOperation({ name: 'hidden' })
const echo = defineOperation({ name: 'echo', tool: true, requireIdempotencyKey: true })
const report = defineOperation({ name: 'report', tool: true })
const failing = defineOperation({ name: 'failing', attempts: 1, tool: true })
const long = defineOperation({ name: 'long', tool: true })

const NO_TASKS: McpOptions = { capabilities: {} }

/** Handlers that the tests open one by one. */
function gated() {
  const gate = Promise.withResolvers<void>()
  const run = handler(long, async (_, job) => {
    job.progress(0.25, 'begun')
    await new Promise<void>((resolve, reject) => {
      gate.promise.then(resolve)
      job.signal.addEventListener('abort', () => reject(job.signal.reason))
    })
    return 'opened'
  })
  return { run, open: () => gate.resolve() }
}

const HANDLERS = [
  handler(orders, ({ item }) => ({ item, packed: true })),
  handler(hidden, () => 'hidden'),
  handler(echo, input => input),
  handler(report, () => media('%PDF-1.7', { type: 'application/pdf', filename: 'report.pdf' })),
  handler(failing, input => {
    if (input !== null && typeof input === 'object' && 'fault' in input) throw new TypeError('secret')
    throw new ProblemError({ status: 409, title: 'Out of stock', code: 'out-of-stock' })
  }),
]
const TYPES = [hidden, report, orders, echo, failing]

test('a tool chooses what a model sees of its output, in several parts', async ({ lab }) => {
  const chart = defineOperation({
    name: 'chart',
    output: z.object({ title: z.string(), png: z.base64() }),
    tool: {
      content: async ({ title, png }) => [
        { type: 'text', text: `The chart "${title}":` },
        { type: 'image', data: png, mimeType: 'image/png' },
        { type: 'resource_link', uri: 'https://charts.example/1', name: title },
      ],
    },
  })
  const handlers = [handler(chart, () => ({ title: 'Sales', png: 'AAAA' }))]
  const waybill = await lab.waybill([chart], { worker: { handlers } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 30_000 } })
  const { result } = await mcp(api, 'tools/call', { name: 'chart' })
  expect(result).toMatchObject({
    content: [{ type: 'text', text: 'The chart "Sales":' }, { type: 'image' }, { type: 'resource_link' }],
    structuredContent: { title: 'Sales', png: 'AAAA' },
  })
  expect(() => defineOperation({ name: 'x', tool: { requires: ['model' as 'sampling'] } })).toThrow('"sampling"')
})

describe.each(Object.entries(SERVERS))('on %s', (_, serve) => {
  test('a client discovers the server, lists the tools and calls one', async ({ lab }) => {
    const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
    const api = await serve(lab, waybill, { mcp: { name: 'shop', version: '2.0.0', instructions: 'Orders things.' } })
    const discovered = await mcp(api, 'server/discover')
    expect(discovered.result).toMatchObject({
      supportedVersions: ['2026-07-28'],
      capabilities: { tools: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } },
      instructions: 'Orders things.',
      cacheScope: 'public',
      _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'shop', version: '2.0.0' } },
    })
    const { result } = await mcp(api, 'tools/list')
    expect(result.tools).toMatchObject([
      { name: 'report' },
      { name: 'place_order' },
      { name: 'echo' },
      { name: 'failing' },
    ])
    expect((result.tools as object[])[1]).toMatchObject({
      title: 'Place an order',
      description: 'Orders one item.',
      inputSchema: {
        type: 'object',
        properties: { item: { type: 'string', description: 'What is ordered' } },
        required: ['item'],
      },
      outputSchema: { type: 'object', required: ['item', 'packed'] },
      annotations: { openWorldHint: false },
    })
    const called = await mcp(api, 'tools/call', { name: 'place_order', arguments: { item: 'apple' } }, NO_TASKS)
    expect(called.result).toMatchObject({
      resultType: 'complete',
      content: [{ type: 'text', text: '{"item":"apple","packed":true}' }],
      structuredContent: { item: 'apple', packed: true },
    })
  })

  test('a call that takes long streams its progress to a client without tasks', async ({ lab }) => {
    const { run, open } = gated()
    const waybill = await lab.waybill([long], { worker: { handlers: run } })
    const api = await serve(lab, waybill, { mcp: { taskAfter: 1 } })
    const meta = { progressToken: 'p' }
    const response = await sendMcp(api, 'tools/call', { name: 'long' }, { ...NO_TASKS, meta })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    expect(response.headers.get('x-accel-buffering')).toBe('no')
    const messages = streamed(response)
    expect((await messages.next()).value).toMatchObject({
      method: 'notifications/progress',
      params: { progressToken: 'p', progress: 0.25, total: 1, message: 'begun' },
    })
    open()
    let last: Json = {}
    for await (const message of messages) last = message
    expect(last).toMatchObject({ result: { resultType: 'complete', content: [{ text: 'opened' }] } })
  })
})

test('the description says how long a call takes, from what was observed, in round figures', async ({ lab }) => {
  const waybill = await lab.waybill([orders], { worker: { handlers: HANDLERS[0] as never } })
  const api = await serveNode(lab, waybill, { mcp: true })
  for (const item of ['apple', 'pear', 'plum'])
    await mcp(api, 'tools/call', { name: 'place_order', arguments: { item } }, NO_TASKS)
  await until(async () => {
    const { result } = await mcp(api, 'tools/list')
    return /Orders one item\. A call usually takes less than 1 second/.test(JSON.stringify(result.tools))
  })
})

test('an error that the model can fix is a result with isError, and a fault of the handler is an error', async ({
  lab,
}) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const invalid = await mcp(api, 'tools/call', { name: 'place_order', arguments: { item: 5 } }, NO_TASKS)
  expect(invalid.result).toMatchObject({
    isError: true,
    content: [{ text: expect.stringContaining('/item') }],
    _meta: { 'waybill/problem': { code: 'invalid-input' } },
  })
  const problem = await mcp(api, 'tools/call', { name: 'failing' }, NO_TASKS)
  expect(problem.result).toMatchObject({ isError: true, content: [{ type: 'text', text: 'Out of stock' }] })
  const fault = await mcp(api, 'tools/call', { name: 'failing', arguments: { fault: true } }, NO_TASKS)
  expect(fault.error).toMatchObject({ code: -32603, data: { problem: { code: 'operation-failed' } } })
  expect(JSON.stringify(fault)).not.toContain('secret')
  const unknown = await mcp(api, 'tools/call', { name: 'hidden' }, NO_TASKS)
  expect(unknown.error).toMatchObject({ code: -32602 })
})

test('two calls with one idempotency key, in _meta or as a header, are one operation', async ({ lab }) => {
  const waybill = await lab.waybill([echo], { worker: { handlers: HANDLERS[2] as never } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const call = (options: McpOptions, value = 1) =>
    mcp(api, 'tools/call', { name: 'echo', arguments: { value } }, { ...NO_TASKS, ...options })
  const { result } = await mcp(api, 'tools/list')
  expect(result.tools).toMatchObject([{ _meta: { 'waybill/idempotencyKey': 'required' } }])
  expect((await call({})).result).toMatchObject({
    isError: true,
    _meta: { 'waybill/problem': { code: 'idempotency-key-required' } },
  })
  const first = await call({ meta: { 'waybill/idempotencyKey': 'k1' } })
  const again = await call({ headers: { 'idempotency-key': '"k1"' } })
  expect(again.result).toEqual(first.result)
  expect(await waybill.operations.list(echo)).toHaveLength(1)
  const other = await call({ headers: { 'idempotency-key': 'k1' } }, 2)
  expect(other.result).toMatchObject({
    isError: true,
    _meta: { 'waybill/problem': { code: 'idempotency-key-reused' } },
  })
})

test('a result of bytes is a link to it', async ({ lab }) => {
  const blobs = folderBlobs({ path: lab.file() })
  const waybill = await lab.waybill([report], { blobs, worker: { handlers: HANDLERS[3] as never } })
  const api = await serveNode(lab, waybill, { mcp: true, publicUrl: 'https://api.example.com' })
  const { result } = await mcp(api, 'tools/call', { name: 'report' }, NO_TASKS)
  const [{ id } = { id: '' }] = await waybill.operations.list(report)
  expect(result.content).toEqual([
    {
      type: 'resource_link',
      uri: `https://api.example.com/report/${id}`,
      name: 'report.pdf',
      mimeType: 'application/pdf',
      size: 8,
    },
  ])
})

test('a short image, sound or text is sent with its link, so that the model sees it', async ({ lab }) => {
  const chart = defineOperation({ name: 'chart', tool: true })
  const run = handler(chart, input => {
    const { type = '', bytes = 1 } = Object(input) as { type?: string; bytes?: number }
    return media('x'.repeat(bytes), { type })
  })
  const blobs = folderBlobs({ path: lab.file() })
  const waybill = await lab.waybill([chart], { blobs, worker: { handlers: run } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const contentOf = async (type: string, bytes = 1) =>
    (await mcp(api, 'tools/call', { name: 'chart', arguments: { type, bytes } }, NO_TASKS)).result.content
  const data = Buffer.from('x').toString('base64')
  const link = { type: 'resource_link', uri: expect.stringMatching(/^urn:uuid:/) }
  expect(await contentOf('image/png')).toMatchObject([link, { type: 'image', data, mimeType: 'image/png' }])
  expect(await contentOf('audio/wav')).toMatchObject([link, { type: 'audio', data, mimeType: 'audio/wav' }])
  const text = { type: 'resource', resource: { uri: link.uri, mimeType: 'text/csv; charset=utf-8', text: 'x' } }
  expect(await contentOf('text/csv; charset=utf-8')).toMatchObject([link, text])
  expect(await contentOf('application/pdf')).toMatchObject([link])
  expect(await contentOf('image/png', 256 * 1024 + 1)).toMatchObject([link])
})

test('a client that requests log lines receives those of the handler, if the type exposes them', async ({ lab }) => {
  const chatty = defineOperation({ name: 'chatty', tool: true, exposeLogs: true })
  const run = handler(chatty, (_, job) => {
    job.log('details', 'debug')
    job.log('careful', 'warn')
    return 'done'
  })
  const waybill = await lab.waybill([chatty], { worker: { handlers: run } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const logLevel = { 'io.modelcontextprotocol/logLevel': 'info' }
  const { interim } = await mcp(api, 'tools/call', { name: 'chatty' }, { ...NO_TASKS, meta: logLevel })
  const careful = { method: 'notifications/message', params: { level: 'warning', logger: 'chatty', data: 'careful' } }
  expect(interim).toMatchObject([careful])
  expect((await mcp(api, 'tools/call', { name: 'chatty' }, NO_TASKS)).interim).toEqual([])
  expect((await legacy(api, 'tools/call', { name: 'chatty' })).interim).toMatchObject([
    { params: { data: 'details' } },
    careful,
  ])
  const begun = await legacy(api, 'initialize', { protocolVersion: '2025-11-25' })
  expect(begun.result).toMatchObject({ capabilities: { logging: {} } })
  expect(await legacy(api, 'logging/setLevel', { level: 'info' })).toMatchObject({ result: {} })
})

test('the endpoint answers methods of its owner beside its own', async ({ lab }) => {
  const waybill = await lab.waybill([orders])
  const methods: McpServerOptions['methods'] = {
    'prompts/list': () => ({ prompts: [] }),
    'prompts/get': async ({ name }, { owner }) => {
      if (name !== 'hello') throw new ProblemError({ status: 404, title: 'There is no such prompt' })
      return { messages: [], description: owner }
    },
  }
  const api = await serveNode(lab, waybill, { byHeader: true, mcp: { methods, capabilities: { prompts: {} } } })
  const headers = { 'x-user': 'ada' }
  expect((await mcp(api, 'server/discover', {}, { headers })).result).toMatchObject({
    capabilities: { prompts: {}, tools: {} },
  })
  expect((await mcp(api, 'prompts/list', {}, { headers })).result).toMatchObject({
    prompts: [],
    ttlMs: 0,
    cacheScope: 'private',
  })
  expect((await legacy(api, 'prompts/get', { name: 'hello' }, headers)).result).toEqual({
    messages: [],
    description: 'ada',
  })
  expect((await legacy(api, 'prompts/get', { name: 'x' }, headers)).error).toMatchObject({ code: -32602 })
  const taken = { 'tools/list': () => ({}) }
  expect(() => createRoutes(waybill, { surfaces: [surface({ methods: taken })] })).toThrow(
    'the method "tools/list" itself',
  )
})

test('a client that disconnects cancels its call, unless the call has an idempotency key', async ({ lab }) => {
  const { run } = gated()
  const waybill = await lab.waybill([long], { worker: { handlers: run } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  const leave = async (meta: object) => {
    const controller = new AbortController()
    const call = { ...NO_TASKS, meta: { progressToken: 1, ...meta }, signal: controller.signal }
    const response = await sendMcp(api, 'tools/call', { name: 'long' }, call)
    await streamed(response).next()
    const [operation] = await waybill.operations.list(long)
    controller.abort()
    return operation?.id ?? ''
  }
  const kept = await leave({ 'waybill/idempotencyKey': 'k' })
  await hasStatus(waybill.store, await leave({}), 'canceled')
  expect(await waybill.store.read(kept)).toMatchObject({ status: 'running', cancelRequested: false })
})

test('the input of a tool must be an object, and the names of tools must differ', ({ lab }) => {
  const list = defineOperation({ name: 'list', input: z.array(z.string()), tool: true })
  expect(() => createRoutes(lab.composition([list]), { surfaces: [surface()] })).toThrow('its input is not an object')
  const twin = defineOperation({ name: 'twin', tool: { name: 'place_order' } })
  expect(() => createRoutes(lab.composition([orders, twin]), { surfaces: [surface()] })).toThrow('"place_order"')
  const taken = defineOperation({ name: 'mcp' })
  expect(() => createRoutes(lab.composition([taken]), { surfaces: [surface()] })).toThrow('cannot be named "mcp"')
  expect(() => defineOperation({ name: 'x', tool: { name: 'no spaces' } })).toThrow('tool.name must be 1 to 128')
})

test('clients of earlier revisions initialize, list the tools and call them, without a session', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { name: 'shop' } })
  for (const version of ['2025-11-25', '2025-06-18', '2025-03-26']) {
    const { result } = await legacy(api, 'initialize', { protocolVersion: version, capabilities: {}, clientInfo: {} })
    expect(result).toMatchObject({
      protocolVersion: version,
      capabilities: { tools: {} },
      serverInfo: { name: 'shop' },
    })
  }
  const newer = await legacy(api, 'initialize', { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: {} })
  expect(newer.result).toMatchObject({ protocolVersion: '2025-11-25' })
  const headers = { 'mcp-protocol-version': '2025-06-18' }
  const { result } = await legacy(api, 'tools/call', { name: 'place_order', arguments: { item: 'apple' } }, headers)
  expect(result).toEqual({
    content: [{ type: 'text', text: '{"item":"apple","packed":true}' }],
    structuredContent: { item: 'apple', packed: true },
  })
  expect(await legacy(api, 'ping')).toMatchObject({ result: {} })
  expect(await legacy(api, 'tasks/list')).toMatchObject({ status: 200, error: { code: -32601 } })
  expect((await api.ask('/mcp')).status).toBe(405)
})
