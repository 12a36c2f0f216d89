/** The official clients of MCP, as they are: with tasks, without, and of earlier revisions. */
import type { Client } from '@modelcontextprotocol/client'
import { resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { z } from 'zod'
import { TASKS } from '../../support/mcp.ts'
import { connectClient, INFO, taskSession } from '../../support/mcp-clients.ts'
import { type Api, serveNode } from '../../support/servers.ts'
import { hasStatus, type TestContext, test, until } from '../../support/waybill.ts'

const Item = z.object({ item: z.string() })
const order = defineOperation({
  name: 'order',
  input: Item,
  output: Item.extend({ packed: z.boolean() }),
  tool: { name: 'place_order', description: 'Orders one item.' },
})
const long = defineOperation({ name: 'long', tool: true })
const approve = defineOperation({ name: 'approve', tool: true })
const always = defineOperation({ name: 'always', tool: { task: 'required' } })
const never = defineOperation({ name: 'never', tool: { task: 'forbidden' } })
const TYPES = [order, long, approve, always, never]

const question = { message: 'Approve it?', schema: z.object({ approved: z.boolean() }) }

/** An API whose long operations wait until the test lets them end. */
async function served(lab: TestContext) {
  const gate = Promise.withResolvers<void>()
  const handlers = [
    handler(order, ({ item }) => ({ item, packed: true })),
    handler(long, async (_, job) => {
      job.progress(0.5, 'half way')
      await new Promise<void>((resolve, reject) => {
        gate.promise.then(resolve)
        job.signal.addEventListener('abort', () => reject(job.signal.reason))
      })
      return 'opened'
    }),
    handler(approve, async (_, job) => ({ approved: (await job.ask('approval', question)).approved })),
    handler(always, () => 'done'),
    handler(never, () => 'done'),
  ]
  const waybill = await lab.waybill(TYPES, { worker: { handlers } })
  const api = await serveNode(lab, waybill, { mcp: { taskAfter: 1 } })
  return { api, waybill, open: () => gate.resolve() }
}

const APPROVED = { approved: true }

/** A client of revision 2026-07-28 that is connected. */
async function connect(lab: TestContext, api: Api, capabilities: object = {}): Promise<Client> {
  const client = await connectClient(api, capabilities, APPROVED)
  lab.onEnd(() => client.close())
  return client
}

test('@modelcontextprotocol/client lists the tools and calls them, and asks its user', async ({ lab }) => {
  const { api } = await served(lab)
  const client = await connect(lab, api, { elicitation: {} })
  expect(client.getProtocolEra()).toBe('modern')
  expect(client.getServerCapabilities()).toMatchObject({ tools: {}, extensions: { [TASKS]: {} } })
  const names = (await client.listTools()).tools.map(({ name }) => name)
  expect(names).toEqual(['place_order', 'long', 'approve', 'always', 'never'])
  const result = await client.callTool({ name: 'place_order', arguments: { item: 'apple' } })
  expect(result).toMatchObject({ structuredContent: { item: 'apple', packed: true } })
  expect(await client.callTool({ name: 'approve' })).toMatchObject({ structuredContent: { approved: true } })
})

test('@modelcontextprotocol/ext-tasks follows a task to its result, answers its questions, and cancels it', async ({
  lab,
}) => {
  const { api, waybill, open } = await served(lab)
  const session = taskSession(await connect(lab, api, { elicitation: {} }), api, APPROVED)
  lab.onEnd(() => session.close())
  const canceled = await session.callTool('long')
  await until(async () => (await waybill.operations.list(long))[0]?.status === 'running')
  await canceled.cancel()
  const [operation] = await waybill.operations.list(long)
  await hasStatus(waybill.store, operation?.id ?? '', 'canceled')
  const execution = await session.callTool('long')
  expect(execution.kind).toBe('task')
  open()
  const { outcome, lastTask } = await execution.settle()
  expect(resultFromTaskOutcome(outcome)).toMatchObject({ content: [{ type: 'text', text: 'opened' }] })
  expect(lastTask).toMatchObject({ status: 'completed' })
  const asked = await (await session.callTool('approve')).settle()
  expect(resultFromTaskOutcome(asked.outcome)).toMatchObject({ structuredContent: { approved: true } })
})

test('@modelcontextprotocol/sdk 1.x calls tools, reports their progress, and asks its user', async ({ lab }) => {
  const { api, open } = await served(lab)
  const client = new OldClient(INFO, { capabilities: { elicitation: {} } })
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: { approved: true } }))
  await client.connect(new OldTransport(new URL(`${api.url}/mcp`)))
  lab.onEnd(() => client.close())
  expect(client.getServerVersion()).toMatchObject({ name: 'waybill' })
  expect((await client.listTools()).tools).toHaveLength(5)
  const result = await client.callTool({ name: 'place_order', arguments: { item: 'apple' } })
  expect(result).toMatchObject({ structuredContent: { item: 'apple', packed: true } })
  const progress: unknown[] = []
  const called = client.callTool({ name: 'long' }, CallToolResultSchema, {
    onprogress: one => {
      progress.push(one)
      open()
    },
  })
  expect(await called).toMatchObject({ content: [{ type: 'text', text: 'opened' }] })
  expect(progress[0]).toMatchObject({ progress: 0.5, total: 1, message: 'half way' })
  expect(await client.callTool({ name: 'approve' })).toMatchObject({ structuredContent: { approved: true } })
})

test('@modelcontextprotocol/sdk 1.x follows, answers and cancels the tasks of its revision', async ({ lab }) => {
  const { api, waybill, open } = await served(lab)
  const client = new OldClient(INFO, { capabilities: { elicitation: {} } })
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: { approved: true } }))
  await client.connect(new OldTransport(new URL(`${api.url}/mcp`)))
  lab.onEnd(() => client.close())
  const tools = (await client.listTools()).tools.map(({ name, execution }) => [name, execution?.taskSupport])
  expect(tools).toEqual([
    ['place_order', 'optional'],
    ['long', 'optional'],
    ['approve', 'optional'],
    ['always', 'required'],
    ['never', 'forbidden'],
  ])
  const { tasks } = client.experimental
  const messagesOf = async (name: string) => {
    const messages = []
    for await (const message of tasks.callToolStream({ name })) messages.push(message)
    return messages
  }
  const asked = await messagesOf('approve')
  expect(asked[0]).toMatchObject({ type: 'taskCreated', task: { ttl: null, pollInterval: expect.any(Number) } })
  expect(asked.at(-1)).toMatchObject({ type: 'result', result: { structuredContent: { approved: true } } })
  expect((await messagesOf('always')).at(-1)).toMatchObject({ type: 'result', result: { content: [{ text: 'done' }] } })
  expect((await messagesOf('never')).map(({ type }) => type)).toEqual(['result'])

  const [created] = [await tasks.callToolStream({ name: 'long' }).next()]
  const { task } = created.value as { task: { taskId: string } }
  expect(await tasks.getTask(task.taskId)).toMatchObject({ status: 'working' })
  expect(await tasks.cancelTask(task.taskId)).toMatchObject({ taskId: task.taskId })
  await hasStatus(waybill.store, task.taskId, 'canceled')
  expect(await tasks.getTask(task.taskId)).toMatchObject({ status: 'cancelled' })
  await expect(tasks.cancelTask(task.taskId)).rejects.toThrow('has ended')

  const held = await tasks.callToolStream({ name: 'long' }).next()
  const { taskId } = (held.value as { task: { taskId: string } }).task
  const result = tasks.getTaskResult(taskId, CallToolResultSchema)
  open()
  expect(await result).toMatchObject({
    content: [{ text: 'opened' }],
    _meta: { 'io.modelcontextprotocol/related-task': { taskId } },
  })
  await expect(client.callTool({ name: 'always' })).rejects.toThrow('task-based execution')
})
