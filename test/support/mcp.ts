/** A client of MCP for tests: sends requests as revision 2026-07-28 has them, and checks each answer by the official schemas. */
import {
  CallToolResultSchema,
  DiscoverResultSchema,
  JSONRPCErrorResponseSchema,
  ListToolsResultSchema,
} from '@modelcontextprotocol/core'
import {
  CancelTaskResultV2Schema,
  CreateTaskResultV2Schema,
  GetTaskResultV2Schema,
  TaskStatusNotificationV2Schema,
  UpdateTaskResultV2Schema,
} from '@modelcontextprotocol/ext-tasks/core/v2'
import { expect } from 'vitest'
import { type Api, eventsOf } from './servers.ts'

export const TASKS = 'io.modelcontextprotocol/tasks'
export const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
const VERSION = 'io.modelcontextprotocol/protocolVersion'

/** Whatever JSON holds: tests compare it. */
export type Json = Readonly<Record<string, unknown>>

/** An answer: its HTTP part, the messages before the last one, and the last one. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly interim: readonly Json[]
  readonly result: Json
  readonly error: { readonly code: number; readonly message: string; readonly data?: unknown } | undefined
}

/** How a request differs from a usual one. */
export interface McpOptions {
  /** The capabilities of the client. Default: it knows tasks. */
  readonly capabilities?: object
  readonly meta?: object
  /** Headers beside the usual ones; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal
}

/** The capabilities of a client that knows tasks. */
export const KNOWS_TASKS = { extensions: { [TASKS]: {} } }

const SCHEMAS: Readonly<Record<string, { parse(value: unknown): unknown }>> = {
  'server/discover': DiscoverResultSchema,
  'tools/list': ListToolsResultSchema,
  'tasks/get': GetTaskResultV2Schema,
  'tasks/update': UpdateTaskResultV2Schema,
  'tasks/cancel': CancelTaskResultV2Schema,
}

let lastId = 0

/** Sends a request and reads its answer to the end. */
export async function mcp(api: Api, method: string, params: Json = {}, options: McpOptions = {}): Promise<Answer> {
  const id = ++lastId
  const answer = await readAnswer(await sendMcp(api, method, params, options, id), id)
  check(method, answer)
  return answer
}

/** Sends a request. */
export function sendMcp(
  api: Api,
  method: string,
  params: Json = {},
  options: McpOptions = {},
  id: number = ++lastId,
): Promise<Response> {
  const { capabilities = KNOWS_TASKS, meta, headers, signal } = options
  const _meta = { [VERSION]: '2026-07-28', [CAPABILITIES]: capabilities, ...meta }
  const named = params.name ?? params.taskId ?? params.uri
  const all = {
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    'mcp-name': typeof named === 'string' ? named : undefined,
    ...headers,
  }
  return post(api, { jsonrpc: '2.0', id, method, params: { _meta, ...params } }, all, signal)
}

/** Sends a message of a revision before 2026-07-28. */
export async function legacy(api: Api, method: string, params: Json = {}, headers: object = {}): Promise<Answer> {
  const id = ++lastId
  return await readAnswer(await post(api, { jsonrpc: '2.0', id, method, params }, { ...headers }), id)
}

/** Posts whatever is given. */
export function post(
  api: Api,
  body: unknown,
  headers: Readonly<Record<string, string | undefined>> = {},
  signal: AbortSignal | null = null,
): Promise<Response> {
  const given = Object.entries({ 'content-type': 'application/json', ...headers })
  const sent = given.filter((entry): entry is [string, string] => entry[1] !== undefined)
  return api.ask('/mcp', { method: 'POST', headers: sent, body: JSON.stringify(body), signal })
}

async function readAnswer(response: Response, id: number): Promise<Answer> {
  const messages = await messagesOf(response)
  const last = messages.at(-1) ?? {}
  expect(last).toMatchObject({ jsonrpc: '2.0', id })
  const { status, headers } = response
  const error = 'error' in last ? JSONRPCErrorResponseSchema.parse(last).error : undefined
  return { status, headers, interim: messages.slice(0, -1), result: (last.result ?? {}) as Json, error }
}

async function messagesOf(response: Response): Promise<readonly Json[]> {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return [(await response.json()) as Json]
  const messages: Json[] = []
  for await (const message of streamed(response)) messages.push(message)
  return messages
}

/** The messages of a stream as they come. */
export async function* streamed(response: Response): AsyncGenerator<Json> {
  for await (const { event, data } of eventsOf(response)) {
    expect(event).toBe('message')
    yield JSON.parse(data) as Json
  }
}

function check(method: string, { result, error, interim }: Answer): void {
  for (const message of interim) {
    if (message.method === 'notifications/tasks') TaskStatusNotificationV2Schema.parse(message)
  }
  if (error !== undefined) return
  expect(result).toMatchObject({ _meta: { 'io.modelcontextprotocol/serverInfo': { name: expect.any(String) } } })
  if (method !== 'tools/call') SCHEMAS[method]?.parse(result)
  else if (result.resultType === 'task') CreateTaskResultV2Schema.parse(result)
  else if (result.resultType === 'complete') CallToolResultSchema.parse(result)
}

/** Calls a tool that becomes a task, and gives its id. */
export async function taskOf(api: Api, name: string, args: Json = {}, options: McpOptions = {}): Promise<string> {
  const { result } = await mcp(api, 'tools/call', { name, arguments: args }, options)
  expect(result).toMatchObject({ resultType: 'task', taskId: expect.any(String) })
  return String(result.taskId)
}

/** Polls a task until it has ended. */
export async function ended(api: Api, taskId: string, options: McpOptions = {}): Promise<Json> {
  for (;;) {
    const { result } = await mcp(api, 'tasks/get', { taskId }, options)
    if (result.status !== 'working' && result.status !== 'input_required') return result
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
