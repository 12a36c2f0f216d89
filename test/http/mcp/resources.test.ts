/** Subscriptions to resources: of the earlier revisions, whose client has a session and a stream, and of 2026-07-28. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import { expect } from 'vitest'
import { defineOperation } from 'waybill'
import type { McpOptions } from 'waybill/mcp'
import type { Waybill } from 'waybill/server'
import { sqliteStore } from 'waybill/stores/sqlite'
import { toSubmission } from '../../../src/model/submit-request.ts'
import { SESSION_TYPE } from '../../../src/operator/internal-types.ts'
import { newId } from '../../../src/util/new-id.ts'
import { onlyLong } from '../../support/length.ts'
import { legacy, mcp, sendMcp, streamed } from '../../support/mcp.ts'
import { INFO } from '../../support/mcp-clients.ts'
import { type Api, serveNode } from '../../support/servers.ts'
import { submit, type TestContext, test, until } from '../../support/waybill.ts'
import { WATCHED } from './conformance/methods.ts'
import { startServer } from './conformance/processes.ts'

/** The caller of requests without the header `x-user`. */
const OWNER = 'ada'

const report = defineOperation({ name: 'report', tool: true })

/** A resource is named by its operation. */
const options: McpOptions = { resourceOperation: uri => /^report:(.+)$/.exec(uri)?.[1] }

async function served(lab: TestContext) {
  const waybill = await lab.waybill([report])
  const api = await serveNode(lab, waybill, { mcp: options, who: (user = OWNER) => user })
  return { waybill, api }
}

/** A connected client, and the URIs of the updates that it has received. */
async function connect(lab: TestContext, url: string, send: typeof fetch = fetch) {
  const client = new Client(INFO)
  const updates: string[] = []
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updates.push(params.uri))
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { fetch: send })
  await client.connect(transport)
  lab.onEnd(() => client.close())
  return { client, updates, transport }
}

/** Submits the operation of a report, and gives its id. */
function make(waybill: Waybill): Promise<string> {
  return submit(waybill, report, null, { owner: OWNER })
}

let events = 0

/** Changes an operation, whose handler may wait for the event. */
async function change({ operations }: Waybill, id: string): Promise<void> {
  await operations.sendEvent(id, { name: `event${++events}`, value: null, owner: OWNER })
}

test('a client of revision 2025-11-25 receives the updates that it has subscribed to', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const [one, other] = [await make(waybill), await make(waybill)]
  const { client, updates } = await connect(lab, api.url)
  expect(client.getServerCapabilities()).toMatchObject({ resources: { subscribe: true } })
  expect(await client.subscribeResource({ uri: `report:${one}` })).toEqual({})
  await change(waybill, one)
  await until(() => updates.length === 1)
  await client.subscribeResource({ uri: `report:${other}` })
  await change(waybill, other)
  await until(() => updates.length === 2)
  expect(updates).toEqual([`report:${one}`, `report:${other}`])

  expect(await client.unsubscribeResource({ uri: `report:${one}` })).toEqual({})
  await change(waybill, one)
  await waybill.operations.cancel(other, OWNER)
  await until(() => updates.length === 3)
  expect(updates.at(-1)).toBe(`report:${other}`)

  await client.subscribeResource({ uri: `report:${one}` })
  await waybill.operations.cancel(one, OWNER)
  await until(() => updates.length === 4)
  expect(updates.at(-1)).toBe(`report:${one}`)
})

test('a resource that does not exist is refused like that of another caller', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const id = await make(waybill)
  const session =
    (await legacy(api, 'initialize', { protocolVersion: '2025-11-25' })).headers.get('mcp-session-id') ?? ''
  const bob = { 'mcp-session-id': session, 'x-user': 'bob' }
  for (const uri of ['other:1', 'report:1', `report:${id}`, `report:${id}`.padEnd(3000, ' ')]) {
    const { status, error } = await legacy(api, 'resources/subscribe', { uri }, bob)
    expect([status, error]).toEqual([
      200,
      { code: -32002, message: 'There is no such resource of this caller.', data: { uri } },
    ])
  }
  expect(await legacy(api, 'resources/subscribe', { uri: `report:${id}` }, {})).toMatchObject({
    status: 400,
    error: { message: expect.stringContaining('Mcp-Session-Id') },
  })
  expect(await legacy(api, 'resources/unsubscribe', { uri: 'other:1' }, bob)).toMatchObject({ result: {} })
  expect(await mcp(api, 'resources/subscribe', { uri: `report:${id}` })).toMatchObject({ status: 404 })
})

test('an id that no server has made for a session is refused', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const id = await make(waybill)
  const ahead = `${(Date.now() + 2 * 3_600_000).toString(16).padStart(12, '0').replace(/^.{8}/, '$&-')}`
  for (const session of [
    'mine',
    crypto.randomUUID(),
    `x${newId()}`,
    `${newId()}x`,
    `${ahead}-7000-8000-000000000000`,
    'ffffffff-ffff-7fff-bfff-ffffffffffff',
  ]) {
    const headers = { 'mcp-session-id': session }
    const { status, error } = await legacy(api, 'resources/subscribe', { uri: `report:${id}` }, headers)
    expect([session, status, error?.code]).toEqual([session, 400, -32600])
    expect((await open(api, session)).status).toBe(405)
  }
  for (const session of [newId(), `asks-form-${newId()}`, `asks-model-${newId()}`])
    expect(
      await legacy(api, 'resources/subscribe', { uri: `report:${id}` }, { 'mcp-session-id': session }),
    ).toMatchObject({ status: 200, result: {} })
})

/** Records what the client of a session does, as a process that received it would. It must be the next act. */
async function record({ store }: Waybill, session: string, act: number, value: object): Promise<void> {
  const change = { kind: 'event', name: String(act), value: JSON.stringify(value) } as const
  expect(await store.change(session, change)).toBeDefined()
}

test('a session takes a hundred subscriptions, each once', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const headers = { 'mcp-session-id': newId() }
  const first = `report:${await make(waybill)}`
  const subscribe = (uri: string) => legacy(api, 'resources/subscribe', { uri }, headers)
  for (const _ of [1, 2]) expect((await subscribe(first)).error).toBeUndefined()
  for (let act = 2; act <= 100; act++) {
    const subscription = { uri: `report:${act}`, operation: String(act), version: 1 }
    await record(waybill, headers['mcp-session-id'], act, { kind: 'subscribe', subscription })
  }
  const { error } = await subscribe(`report:${await make(waybill)}`)
  expect(error?.message).toBe('A session may subscribe to 100 resources at once.')
  expect((await subscribe(first)).error).toBeUndefined()
})

test('a caller has a thousand sessions with subscriptions, and ended ones do not count', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const uri = `report:${await make(waybill)}`
  const ids = Array.from({ length: 1000 }, newId)
  const type = defineOperation({ name: SESSION_TYPE })
  const submission = toSubmission(type, { input: null, owner: OWNER, delay: '7d' }, null)
  await Promise.all(ids.map(id => waybill.store.accept({ ...submission, id })))
  const subscribe = (session: string) => legacy(api, 'resources/subscribe', { uri }, { 'mcp-session-id': session })
  const { error } = await subscribe(newId())
  expect(error?.message).toBe('A caller may have 1000 sessions with subscriptions at once.')
  expect((await subscribe(ids[0] ?? '')).error).toBeUndefined()
  await waybill.store.change(ids[1] ?? '', { kind: 'cancel' })
  expect((await subscribe(newId())).error).toBeUndefined()
})

/** Opens the stream of a session. */
function open(api: Api, session: string, headers: object = {}): Promise<Response> {
  return api.ask('/mcp', { headers: { accept: 'text/event-stream', 'mcp-session-id': session, ...headers } })
}

test('of two streams of a session the newer one gets the messages, and both end with the session', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const id = await make(waybill)
  const uri = `report:${id}`
  const session = newId()
  await legacy(api, 'resources/subscribe', { uri }, { 'mcp-session-id': session })
  const seen: string[] = []
  const read = async (name: string) => {
    for await (const { params } of streamed(await open(api, session))) seen.push(`${name} ${JSON.stringify(params)}`)
    return name
  }
  const older = read('older')
  await change(waybill, id)
  await until(() => seen.length === 1)
  const newer = read('newer')
  // It begins with what may have been missed.
  await until(() => seen.length === 2)
  await change(waybill, id)
  await until(() => seen.length === 3)
  expect(seen).toEqual(['older', 'newer', 'newer'].map(name => `${name} ${JSON.stringify({ uri })}`))

  expect((await open(api, session, { 'x-user': 'bob' })).status).toBe(404)
  await waybill.store.change(session, { kind: 'cancel' })
  expect(await Promise.all([older, newer])).toEqual(['older', 'newer'])
  expect((await open(api, session)).status).toBe(404)
  const late = await legacy(api, 'resources/subscribe', { uri }, { 'mcp-session-id': session })
  expect(late).toMatchObject({ status: 404, error: { message: expect.stringContaining('initialize') } })
})

test('operators see sessions only if they ask for them, and bulk runs leave them alone', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const id = await make(waybill)
  const session = newId()
  await legacy(api, 'resources/subscribe', { uri: `report:${id}` }, { 'mcp-session-id': session })
  const { operator } = waybill
  const ids = async (filter: object) => (await operator.browse(filter)).items.map(it => it.id)
  expect([await ids({ status: 'pending' }), await ids({ type: 'mcp-session' })]).toEqual([[id], [session]])
  expect(await operator.preview('cancel', { status: 'pending' })).toMatchObject({ count: 1 })
})

test('a session ends when its record is full or its time is over', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const uri = `report:${await make(waybill)}`
  const session = newId()
  const headers = { 'mcp-session-id': session }
  await legacy(api, 'resources/subscribe', { uri }, headers)
  const { createdAt, deadline } = (await waybill.store.read(session)) ?? {}
  expect((deadline ?? 0) - (createdAt ?? 0)).toBe(7 * 86_400_000)
  for (let act = 2; act <= 1000; act++) {
    await record(waybill, session, act, { kind: 'stream', stream: String(act) })
  }
  expect((await legacy(api, 'resources/subscribe', { uri }, headers)).status).toBe(200)
  expect((await legacy(api, 'resources/unsubscribe', { uri }, headers)).status).toBe(404)
})

test('a stream needs a session, and a page of another origin gets none', async ({ lab }) => {
  const { api } = await served(lab)
  const none = await api.ask('/mcp')
  expect([none.status, none.headers.get('allow')]).toEqual([405, 'POST, OPTIONS'])
  const session = newId()
  expect((await open(api, session, { origin: 'https://evil.example' })).status).toBe(403)
})

test('a stream ends in a shutdown, also before its client has subscribed', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const messages: unknown[] = []
  const response = await open(api, newId())
  const ended = (async () => {
    for await (const message of streamed(response)) messages.push(message)
  })()
  await until(() => waybill.operations.waiting === 1)
  await waybill.drain()
  await ended
  expect(messages).toEqual([])
})

test('subscriptions/listen reports updates of resources', async ({ lab }) => {
  const { waybill, api } = await served(lab)
  const id = await make(waybill)
  const uri = `report:${id}`
  const notifications = { resourceSubscriptions: [uri, 'other:1'] }
  const stream = streamed(await sendMcp(api, 'subscriptions/listen', { notifications }, { capabilities: {} }))
  expect((await stream.next()).value).toMatchObject({
    method: 'notifications/subscriptions/acknowledged',
    params: { notifications: { resourceSubscriptions: [uri] } },
  })
  await waybill.operations.cancel(id, OWNER)
  expect((await stream.next()).value).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri, _meta: { 'io.modelcontextprotocol/subscriptionId': expect.any(Number) } },
  })
  expect((await stream.next()).value).toMatchObject({ result: { resultType: 'complete' } })
})

onlyLong(() => {
  test('a subscription survives its process, and any other process sends the updates', async ({ lab }) => {
    const file = lab.file()
    const start = async () => {
      const server = await startServer('api', file, `${file}.results`)
      lab.onEnd(() => server.kill())
      return server
    }
    const [first, second] = await Promise.all([start(), start()])
    let [posts, streams] = [first.said, second.said]
    const send: typeof fetch = (input, init) => {
      const to = init?.method === 'GET' ? streams : posts
      return fetch(new URL(new URL(String(input)).pathname, to), init)
    }
    const { client, updates } = await connect(lab, 'http://mcp.test', send)
    await client.subscribeResource({ uri: WATCHED })
    await first.kill()

    const store = sqliteStore({ path: file })
    await store.open()
    lab.onEnd(() => store.close())
    const { id = '' } = (await store.findByKey('watched', '', WATCHED)) ?? {}
    const changed = (name: string) => store.change(id, { kind: 'event', name, value: 'null' })
    await changed('one')
    await until(() => updates.length === 1)

    // The stream is cut, and the resource changes while there is none.
    const third = await start()
    posts = third.said
    streams = third.said
    await second.kill()
    await changed('two')
    await until(() => updates.length === 2)
    await client.unsubscribeResource({ uri: WATCHED })
    await changed('three')
    await client.subscribeResource({ uri: WATCHED })
    await changed('four')
    await until(() => updates.length === 3)
    expect(updates).toEqual([WATCHED, WATCHED, WATCHED])
  })
})()
