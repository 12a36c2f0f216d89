/** Calls that become tasks: polled, canceled, subscribed to, owned, and there after a restart. */
import { describe, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { ended, mcp, sendMcp, streamed, taskOf } from '../../support/mcp.ts'
import { SERVERS, serveNode } from '../../support/servers.ts'
import { hasStatus, recordOf, test, until } from '../../support/waybill.ts'

const long = defineOperation({ name: 'long', tool: true, retention: '1h' })
const job = defineOperation({ name: 'job', attempts: 1, tool: { task: 'required' } })
const quick = defineOperation({ name: 'quick', tool: { task: 'forbidden' } })
const hidden = defineOperation({ name: 'hidden' })

/** Waits until the test lets it end. */
function gated() {
  const gate = Promise.withResolvers<void>()
  const run = handler(long, async (_, { progress, signal }) => {
    progress(0.5, 'half way')
    await new Promise<void>((resolve, reject) => {
      gate.promise.then(resolve)
      signal.addEventListener('abort', () => reject(signal.reason))
    })
    return { opened: true }
  })
  return { run, open: () => gate.resolve() }
}

const HANDLERS = [
  handler(job, input => {
    const { fault } = Object(input) as { fault?: boolean }
    if (fault) throw new TypeError('secret')
    throw new ProblemError({ status: 409, title: 'Out of stock' })
  }),
  handler(quick, () => 'quick'),
]

describe.each(Object.entries(SERVERS))('on %s', (_, serve) => {
  test('a call that takes long becomes a task, which tasks/get follows to its result', async ({ lab }) => {
    const { run, open } = gated()
    const waybill = await lab.waybill([long], { worker: { handlers: run } })
    const api = await serve(lab, waybill, { mcp: { taskAfter: 1 } })
    const { result: created } = await mcp(api, 'tools/call', { name: 'long' })
    expect(created).toMatchObject({ resultType: 'task', status: 'working', ttlMs: null, pollIntervalMs: 1000 })
    for (const absent of ['task', 'result', 'error', 'requestState', 'ttl', 'pollInterval']) {
      expect(created).not.toHaveProperty(absent)
    }
    const taskId = String(created.taskId)
    await until(async () => (await mcp(api, 'tasks/get', { taskId })).result.statusMessage === 'half way')
    open()
    expect(await ended(api, taskId)).toMatchObject({
      resultType: 'complete',
      taskId,
      status: 'completed',
      result: { content: [{ type: 'text', text: '{"opened":true}' }], structuredContent: { opened: true } },
    })
    const { expiresAt, createdAt } = await recordOf(waybill.store, taskId)
    const { result } = await mcp(api, 'tasks/get', { taskId })
    expect(result.ttlMs).toBe((expiresAt ?? 0) - createdAt)
    expect(result).not.toHaveProperty('pollIntervalMs')
  })

  test('a stream of changes begins with what it covers, sends each change, and ends with the last task', async ({
    lab,
  }) => {
    const { run, open } = gated()
    const waybill = await lab.waybill([long], { worker: { handlers: run } })
    const api = await serve(lab, waybill, { mcp: { taskAfter: 1 } })
    const taskId = await taskOf(api, 'long')
    const notifications = { taskIds: [taskId, '00000000-0000-7000-8000-000000000000'], toolsListChanged: true }
    const stream = streamed(await sendMcp(api, 'subscriptions/listen', { notifications }))
    const { value: acknowledged } = await stream.next()
    expect(acknowledged).toMatchObject({ method: 'notifications/subscriptions/acknowledged' })
    const subscription = acknowledged.params._meta['io.modelcontextprotocol/subscriptionId']
    expect(acknowledged.params.notifications).toEqual({ taskIds: [taskId] })
    expect((await stream.next()).value).toMatchObject({
      method: 'notifications/tasks',
      params: { taskId, status: 'working' },
    })
    open()
    const rest = []
    for await (const message of stream) rest.push(message)
    const _meta = { 'io.modelcontextprotocol/subscriptionId': subscription }
    expect(rest.at(-2)).toMatchObject({
      params: { _meta, status: 'completed', result: { structuredContent: { opened: true } } },
    })
    expect(rest.at(-1)).toMatchObject({ id: subscription, result: { resultType: 'complete', _meta } })
  })
})

test('a cancel is acknowledged at once, and again when the task has ended', async ({ lab }) => {
  const { run } = gated()
  const waybill = await lab.waybill([long], { worker: { handlers: run } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  const taskId = await taskOf(api, 'long')
  const { result } = await mcp(api, 'tasks/cancel', { taskId })
  expect(Object.keys(result).sort()).toEqual(['_meta', 'resultType'])
  expect(await ended(api, taskId)).toMatchObject({
    status: 'cancelled',
    statusMessage: expect.stringContaining('canceled'),
  })
  expect((await mcp(api, 'tasks/cancel', { taskId })).result).toMatchObject({ resultType: 'complete' })
})

test('a problem of the handler completes the task with isError, and a fault fails it', async ({ lab }) => {
  const waybill = await lab.waybill([job], { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: true })
  expect(await ended(api, await taskOf(api, 'job'))).toMatchObject({ status: 'completed', result: { isError: true } })
  const failed = await ended(api, await taskOf(api, 'job', { fault: true }))
  expect(failed).toMatchObject({ status: 'failed', error: { code: -32603, message: expect.any(String) } })
  expect(failed).not.toHaveProperty('result')
  expect(JSON.stringify(failed)).not.toContain('secret')
})

test('a client that does not declare tasks gets none', async ({ lab }) => {
  const waybill = await lab.waybill([job, quick, long], { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const missing = {
    code: -32021,
    data: { requiredCapabilities: { extensions: { 'io.modelcontextprotocol/tasks': {} } } },
  }
  const capabilities = {}
  for (const method of ['tasks/get', 'tasks/cancel']) {
    expect(await mcp(api, method, { taskId: 'x' }, { capabilities })).toMatchObject({ status: 400, error: missing })
  }
  expect(await mcp(api, 'tools/call', { name: 'job' }, { capabilities })).toMatchObject({ status: 400, error: missing })
  const notifications = { taskIds: [] }
  expect(await mcp(api, 'subscriptions/listen', { notifications }, { capabilities })).toMatchObject({ error: missing })
  const legacyParam = { name: 'quick', task: { ttl: 60_000 } }
  expect((await mcp(api, 'tools/call', legacyParam)).result).toMatchObject({
    resultType: 'complete',
    content: [{ text: 'quick' }],
  })
})

test("tasks of other callers, of types that are not tools, and unknown ones don't exist", async ({ lab }) => {
  const waybill = await lab.waybill([long, hidden])
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 }, byHeader: true })
  const as = (user: string) => ({ headers: { 'x-user': user } })
  const taskId = await taskOf(api, 'long', {}, as('ada'))
  expect((await mcp(api, 'tasks/get', { taskId }, as('ada'))).result).toMatchObject({ taskId })
  const { operation } = await waybill.operations.submit(hidden, { input: null, owner: 'bob' })
  const answers = await Promise.all(
    ['tasks/get', 'tasks/cancel'].flatMap(method =>
      [taskId, operation.id, 'nothing'].map(async id => (await mcp(api, method, { taskId: id }, as('bob'))).error),
    ),
  )
  for (const error of answers) expect(error).toEqual({ code: -32602, message: answers[0]?.message })
  expect(await recordOf(waybill.store, taskId)).toMatchObject({ status: 'pending', cancelRequested: false })
})

test('a task survives the process that accepted it', async ({ lab }) => {
  const path = lab.file()
  const first = await lab.waybill([long], { store: sqliteStore({ path }) })
  const taskId = await taskOf(await serveNode(lab, first, { mcp: { taskAfter: 1 } }), 'long')
  await first.stop()
  const { run, open } = gated()
  const second = await lab.waybill([long], { store: sqliteStore({ path }), worker: { handlers: run } })
  const api = await serveNode(lab, second, { mcp: true })
  await hasStatus(second.store, taskId, 'running')
  open()
  expect(await ended(api, taskId)).toMatchObject({ status: 'completed' })
})

test('a shutdown ends the streams, and the operations go on', async ({ lab }) => {
  const { run } = gated()
  const waybill = await lab.waybill([long], { worker: { handlers: run } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  const response = await sendMcp(api, 'tools/call', { name: 'long' }, { capabilities: {} })
  const taskId = await taskOf(api, 'long')
  const listening = await sendMcp(api, 'subscriptions/listen', { notifications: { taskIds: [taskId] } })
  waybill.operations.drain()
  const ends = []
  for (const stream of [response, listening]) {
    let last = {}
    for await (const message of streamed(stream)) last = message
    ends.push(last)
  }
  expect(ends).toMatchObject([
    { error: { code: -32603, message: expect.stringContaining('continues') } },
    { result: {} },
  ])
  expect(await recordOf(waybill.store, taskId)).toMatchObject({ cancelRequested: false })
})

test('the task of a parent says how many of its children have ended', async ({ lab }) => {
  const child = defineOperation({ name: 'child' })
  const parent = defineOperation({ name: 'parent', tool: { task: 'required' } })
  const handlers = [
    handler(parent, async (_, job) => {
      const children = await Promise.all(['a', 'b', 'c'].map(key => job.submit(child, key, { key })))
      return (await job.all(children)).length
    }),
    handler(child, async (key, job) => (key === 'a' ? key : await job.event('go'))),
  ]
  const waybill = await lab.waybill([parent, child], { worker: { handlers } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const taskId = await taskOf(api, 'parent')
  const message = async () => (await mcp(api, 'tasks/get', { taskId })).result.statusMessage
  await expect.poll(message).toBe('It waits for operations that it has submitted: 1 of 3 have ended.')
  const [, ...open] = await waybill.operations.children(await recordOf(waybill.store, taskId))
  for (const { id } of open) await waybill.operations.sendEvent(id, { name: 'go', value: 1, owner: '' })
  expect(await ended(api, taskId)).toMatchObject({ status: 'completed', result: { content: [{ text: '3' }] } })
})
