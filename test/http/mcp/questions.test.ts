/** Questions of handlers over MCP: on a task, before it, without tasks, and for clients of earlier revisions. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/core'
import { GetTaskResultV2Schema, InputRequiredCallToolResultV2Schema } from '@modelcontextprotocol/ext-tasks/core/v2'
import { expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { ended, type Json, KNOWS_TASKS, legacy, mcp, post, streamed, taskOf } from '../../support/mcp.ts'
import { type Api, serveNode } from '../../support/servers.ts'
import { hasStatus, recordOf, test } from '../../support/waybill.ts'

const Approval = z.object({ approved: z.boolean() })
const approve = defineOperation({ name: 'approve', tool: true })
const first = defineOperation({ name: 'first', tool: { task: 'required', asksFirst: true } })
const pair = defineOperation({ name: 'pair', tool: { task: 'required' } })
const odd = defineOperation({ name: 'odd', tool: { task: 'required' } })
const summary = defineOperation({ name: 'summary', output: z.string(), tool: { requires: ['sampling'] } })
const TYPES = [approve, first, pair, odd, summary]

const ask = async (job: Parameters<Parameters<typeof handler>[1]>[1]) =>
  (await job.ask('approval', { message: 'Approve it?', schema: Approval })).approved

const HANDLERS = [
  handler(approve, async (_, job) => ({ approved: await ask(job) })),
  handler(first, async (_, job) => ({ approved: await ask(job) })),
  handler(pair, async (_, job) => {
    const schema = { type: 'string' } as const
    return await Promise.all(['a', 'b'].map(name => job.ask(name, { message: `What is ${name}?`, schema })))
  }),
  handler(odd, async (_, job) => {
    const flag = await job.ask('flag', { message: 'Yes?', schema: z.boolean() })
    const list = await job.ask('list', { message: 'Which?', schema: z.object({ ids: z.array(z.int()) }) })
    return { flag, list }
  }),
  handler(summary, async (_, job) => {
    const words = await job.askModel('words', { prompt: 'Say it in few words.', maxTokens: 20 })
    return `It said: ${words}`
  }),
]

const ASKS = { capabilities: { ...KNOWS_TASKS, elicitation: {} } }
const ASKS_WITHOUT_TASKS = { capabilities: { elicitation: { form: {} } } }

/** Polls a task until it asks for these. */
async function asked(api: Api, taskId: string, ...names: readonly string[]): Promise<Json> {
  for (;;) {
    const { result } = await mcp(api, 'tasks/get', { taskId }, ASKS)
    const requests = (result.inputRequests ?? {}) as Json
    if (Object.keys(requests).sort().join() === names.join()) return result
    expect(['working', 'input_required']).toContain(result.status)
    await sleep(20)
  }
}

const HAS_MODEL = { capabilities: { ...KNOWS_TASKS, sampling: {} } }
const said = (text: string) => ({ role: 'assistant', content: { type: 'text', text }, model: 'small' })

const accept = (content: Json) => ({ action: 'accept', content })

test('a task asks questions, takes partial and complete answers, and continues', async ({ lab }) => {
  const api = await serveNode(lab, await lab.waybill(TYPES, { worker: { handlers: HANDLERS } }), { mcp: true })
  const taskId = await taskOf(api, 'pair', {}, ASKS)
  const task = await asked(api, taskId, 'a', 'b')
  expect(task).toMatchObject({ status: 'input_required', statusMessage: 'What is a?' })
  for (const request of Object.values(task.inputRequests as Json)) ElicitRequestSchema.parse(request)
  expect((task.inputRequests as Json).a).toEqual({
    method: 'elicitation/create',
    params: {
      mode: 'form',
      message: 'What is a?',
      requestedSchema: { type: 'object', properties: { value: { type: 'string' } }, required: ['value'] },
    },
  })
  const update = (inputResponses: unknown) => mcp(api, 'tasks/update', { taskId, inputResponses }, ASKS)
  const { result } = await update({ a: accept({ value: 'x' }), unknown: { ignored: true } })
  expect(Object.keys(result).sort()).toEqual(['_meta', 'resultType'])
  expect(Object.keys((await mcp(api, 'tasks/get', { taskId }, ASKS)).result.inputRequests as Json)).toEqual(['b'])
  await update({ a: accept({ value: 'again' }), b: { action: 'decline' } })
  expect((await update({ b: accept({ value: 5 }) })).error).toMatchObject({ code: -32602 })
  expect((await update('b')).error).toMatchObject({ code: -32602 })
  await asked(api, taskId, 'b')
  await update({ b: accept({ value: 'y' }) })
  expect(await ended(api, taskId, ASKS)).toMatchObject({
    status: 'completed',
    result: { content: [{ text: '["x","y"]' }] },
  })
})

test('a form has only flat fields: any other schema becomes one field, or JSON', async ({ lab }) => {
  const api = await serveNode(lab, await lab.waybill(TYPES, { worker: { handlers: HANDLERS } }), { mcp: true })
  const taskId = await taskOf(api, 'odd', {}, ASKS)
  const update = (inputResponses: Json) => mcp(api, 'tasks/update', { taskId, inputResponses }, ASKS)
  const { inputRequests: boolean } = await asked(api, taskId, 'flag')
  expect(boolean).toMatchObject({
    flag: { params: { requestedSchema: { properties: { value: { type: 'boolean' } } } } },
  })
  await update({ flag: accept({ value: true }) })
  const task = await asked(api, taskId, 'list')
  GetTaskResultV2Schema.parse(task)
  expect(task.inputRequests).toMatchObject({
    list: { params: { requestedSchema: { properties: { value: { type: 'string', title: 'JSON' } } } } },
  })
  await update({ list: accept({ value: '{"ids":[1,2]}' }) })
  expect(await ended(api, taskId, ASKS)).toMatchObject({
    result: { structuredContent: { flag: true, list: { ids: [1, 2] } } },
  })
})

test('a call whose handler asks becomes a task at once', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 30_000 } })
  const began = performance.now()
  const { result } = await mcp(api, 'tools/call', { name: 'approve' }, ASKS)
  expect(result).toMatchObject({ resultType: 'task', status: 'input_required' })
  expect(performance.now() - began).toBeLessThan(30_000)
})

test('a client that cannot ask sees a task that works', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  const taskId = await taskOf(api, 'approve')
  await asked(api, taskId, 'approval')
  const { result } = await mcp(api, 'tasks/get', { taskId })
  expect(result).toMatchObject({ status: 'working', statusMessage: expect.stringContaining('"approval"') })
  expect(result).not.toHaveProperty('inputRequests')
})

test('a call without tasks is answered with the question, and goes on with the answer', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 30_000 }, byHeader: true })
  const as = (user: string) => ({ ...ASKS_WITHOUT_TASKS, headers: { 'x-user': user } })
  const call = (params: Json, user = 'ada') =>
    mcp(api, 'tools/call', { name: 'approve', arguments: {}, ...params }, as(user))
  const { result } = await call({})
  InputRequiredCallToolResultV2Schema.parse(result)
  expect(result).toMatchObject({
    resultType: 'input_required',
    inputRequests: { approval: { method: 'elicitation/create' } },
  })
  expect(result).not.toHaveProperty('taskId')
  const { requestState } = result
  const inputResponses = { approval: accept({ approved: true }) }
  expect((await call({ requestState, inputResponses }, 'bob')).error).toMatchObject({ code: -32602 })
  expect((await call({ requestState, inputResponses, name: 'first' })).error).toBeDefined()
  expect((await call({ requestState })).result).toMatchObject({ resultType: 'input_required', requestState })
  expect((await call({ requestState, inputResponses })).result).toMatchObject({ structuredContent: { approved: true } })
  expect(await waybill.operations.list(approve, { owner: 'ada' })).toHaveLength(1)
})

test('a client without tasks that declines cancels the call', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 30_000 } })
  const call = (params: Json) => mcp(api, 'tools/call', { name: 'approve', ...params }, ASKS_WITHOUT_TASKS)
  const { requestState } = (await call({})).result
  const declined = await call({ requestState, inputResponses: { approval: { action: 'decline' } } })
  expect(declined.result).toMatchObject({ isError: true, _meta: { 'waybill/problem': { code: 'operation-canceled' } } })
  await hasStatus(waybill.store, String(requestState), 'canceled')
})

test('a tool that asks first becomes a task with the answer', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  const { result } = await mcp(api, 'tools/call', { name: 'first' }, ASKS)
  const { requestState } = result
  expect(result).toMatchObject({ resultType: 'input_required' })
  const answered = { name: 'first', requestState, inputResponses: { approval: accept({ approved: false }) } }
  const taskId = String((await mcp(api, 'tools/call', answered, ASKS)).result.taskId)
  expect(taskId).toBe(requestState)
  expect(await ended(api, taskId, ASKS)).toMatchObject({ result: { structuredContent: { approved: false } } })
})

test('a question survives the process that asked it, and any other process takes the answer', async ({ lab }) => {
  const path = lab.file()
  const begin = async () => {
    const waybill = await lab.waybill(TYPES, { store: sqliteStore({ path }), worker: { handlers: HANDLERS } })
    return { waybill, api: await serveNode(lab, waybill, { mcp: { taskAfter: 1 } }) }
  }
  const one = await begin()
  const taskId = await taskOf(one.api, 'approve', {}, ASKS)
  await asked(one.api, taskId, 'approval')
  await one.waybill.stop()
  const other = await begin()
  expect(await asked(other.api, taskId, 'approval')).toMatchObject({ status: 'input_required' })
  const inputResponses = { approval: accept({ approved: true }) }
  await mcp(other.api, 'tasks/update', { taskId, inputResponses }, ASKS)
  expect(await ended(other.api, taskId, ASKS)).toMatchObject({ result: { structuredContent: { approved: true } } })
})

test('a client of an earlier revision is asked on its stream, and answers with a message of its own', async ({
  lab,
}) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 }, byHeader: true })
  const user = { 'x-user': 'ada' }
  const begin = { protocolVersion: '2025-11-25', capabilities: { elicitation: {} }, clientInfo: {} }
  const session = (await legacy(api, 'initialize', begin, user)).headers.get('mcp-session-id') ?? ''
  const headers = { ...user, 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'approve' } }
  const stream = streamed(await post(api, call, headers))
  const { value: question } = await stream.next()
  ElicitRequestSchema.parse(question)
  const answer = { jsonrpc: '2.0', id: question.id, result: accept({ approved: true }) }
  expect((await post(api, answer, { ...headers, 'x-user': 'bob' })).status).toBe(200)
  const [operation] = await waybill.operations.list(approve, { owner: 'ada' })
  expect((await recordOf(waybill.store, operation?.id ?? '')).waits?.received).toEqual([])
  expect((await post(api, answer, headers)).status).toBe(202)
  const rest = []
  for await (const message of stream) rest.push(message)
  expect(rest).toMatchObject([{ id: 1, result: { structuredContent: { approved: true } } }])
})

/** Begins a call as a client of an earlier revision, and gives the stream and what the server asks on it first. */
async function callLegacy(api: Api, name: string, capabilities: Json) {
  const begin = { protocolVersion: '2025-11-25', capabilities, clientInfo: {} }
  const session = (await legacy(api, 'initialize', begin)).headers.get('mcp-session-id') ?? ''
  const headers = { 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }
  const stream = streamed(await post(api, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } }, headers))
  const { value: question } = await stream.next()
  const answer = (answered: Json) => post(api, { jsonrpc: '2.0', id: question.id, ...answered }, headers)
  return { stream, question, answer }
}

/** The rest of a stream. */
async function rest(stream: AsyncIterable<Json>): Promise<readonly Json[]> {
  const messages = []
  for await (const message of stream) messages.push(message)
  return messages
}

test('a handler asks the model of the client, on a task and on a stream of an earlier revision', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  const taskId = await taskOf(api, 'summary', {}, HAS_MODEL)
  const poll = async () => (await mcp(api, 'tasks/get', { taskId }, HAS_MODEL)).result
  await expect.poll(poll).toMatchObject({ status: 'input_required' })
  const { words } = (await poll()).inputRequests as Json
  CreateMessageRequestSchema.parse(words)
  expect(words).toEqual({
    method: 'sampling/createMessage',
    params: { messages: [{ role: 'user', content: { type: 'text', text: 'Say it in few words.' } }], maxTokens: 20 },
  })
  const update = (answer: Json) => mcp(api, 'tasks/update', { taskId, inputResponses: { words: answer } }, HAS_MODEL)
  const picture = { type: 'image', data: 'AA==', mimeType: 'image/png' }
  expect((await update({ ...said(''), content: picture })).error).toMatchObject({ code: -32602 })
  await update({ ...said(''), content: [picture, { type: 'text', text: 'Two ' }, { type: 'text', text: 'parts' }] })
  expect(await ended(api, taskId, HAS_MODEL)).toMatchObject({ result: { content: [{ text: 'It said: Two parts' }] } })

  const { stream, question, answer } = await callLegacy(api, 'summary', { sampling: {} })
  CreateMessageRequestSchema.parse(question)
  await answer({ result: said('Few') })
  expect(await rest(stream)).toMatchObject([{ id: 1, result: { content: [{ text: 'It said: Few' }] } }])
})

test('the question to a model is one over HTTP too', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill)
  const send = (path: string, value: unknown) =>
    api.ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) })
  const { id } = (await (await send('/summary', {})).json()) as { id: string }
  const read = async () => (await (await api.ask(`/summary/status/${id}`)).json()) as Json
  await expect.poll(read).toMatchObject({
    waits: [{ kind: 'input', message: 'Say it in few words.', schema: { type: 'string' }, model: { maxTokens: 20 } }],
  })
  const answer = (value: unknown) => send(`/operations/${id}/events/words`, value)
  expect((await answer({ no: 'text' })).status).toBe(422)
  expect((await answer('By hand')).status).toBe(202)
  await hasStatus(waybill.store, id, 'completed')
  expect(await waybill.store.readPayload(id, 'output')).toBe('"It said: By hand"')
})

test('a tool that requires a capability refuses clients without it', async ({ lab }) => {
  const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
  const api = await serveNode(lab, waybill, { mcp: true })
  const refused = await mcp(api, 'tools/call', { name: 'summary' }, ASKS)
  expect(refused).toMatchObject({
    status: 400,
    error: { code: -32021, data: { requiredCapabilities: { sampling: {} } } },
  })
  const earlier = await legacy(api, 'tools/call', { name: 'summary' })
  expect(earlier).toMatchObject({ status: 200, error: { code: -32021 } })
  expect(await waybill.operations.list(summary, { owner: '' })).toEqual([])
})

for (const [how, answered] of [
  ['declines', { result: { action: 'decline' } }],
  ['cannot answer', { error: { code: -1, message: 'The user has refused it.' } }],
] as const) {
  test(`a client of an earlier revision that ${how} cancels the call that it holds`, async ({ lab }) => {
    const waybill = await lab.waybill(TYPES, { worker: { handlers: HANDLERS } })
    const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
    const { stream, answer } = await callLegacy(api, 'approve', { elicitation: {} })
    await answer(answered)
    const [last] = await rest(stream)
    expect(last).toMatchObject({
      result: { isError: true, _meta: { 'waybill/problem': { code: 'operation-canceled' } } },
    })
  })
}
