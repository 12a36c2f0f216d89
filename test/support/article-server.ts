/**
 * The article's HTTP server, handler by handler, on a Map instead of Cosmos DB and polls
 * instead of the job; and a server that a test scripts answer by answer, with the answers that many
 * tests give. Both are closed when the test that starts them has finished.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import { expect, onTestFinished } from 'vitest'
import { WaitError } from '../../src/client/client.ts'

/** How the article's server and its job behave. */
export interface ArticleServerOptions {
  /** How many requests for its status find a job at work. Default 0. */
  readonly polls?: number
  /** The seconds of `Retry-After`. Default 10, as in the article. */
  readonly retryAfter?: number
  /** Orders fail with this error instead of being completed. */
  readonly error?: unknown
}

/** A server on a free port of the loopback interface. */
export interface RunningServer {
  readonly url: string
  close(): Promise<void>
}

interface Item {
  readonly id: string
  status: 'pending' | 'completed' | 'failed'
  order: unknown
  error?: unknown
  /** How often its status was requested. */
  polls: number
}

/** Starts the article's server. */
export async function startArticleServer(options: ArticleServerOptions = {}): Promise<RunningServer> {
  const { polls = 0, retryAfter = 10, error } = options
  const items = new Map<string, Item>()
  const app = fastify({ forceCloseConnections: true })

  function finish(item: Item): void {
    item.status = error === undefined ? 'completed' : 'failed'
    item.error = error
    item.order = { ...(item.order as object), completedAt: new Date().toISOString() }
  }

  app.post('/orders', async (request, reply) => {
    const item: Item = { id: randomUUID(), status: 'pending', order: request.body, polls: 0 }
    items.set(item.id, item)
    reply.code(202).header('Location', `/orders/status/${item.id}`).send()
  })

  app.get<{ Params: { orderId: string } }>('/orders/status/:orderId', async (request, reply) => {
    const item = items.get(request.params.orderId)
    if (item === undefined) {
      reply.code(404).send()
      return
    }
    if (item.polls++ === polls) finish(item)
    if (item.status === 'pending') {
      reply.code(200).headers({ 'Retry-After': retryAfter }).send({ status: item.status })
    } else {
      reply.code(303).header('Location', `/orders/${item.id}`).send()
    }
  })

  app.get<{ Params: { orderId: string } }>('/orders/:orderId', async (request, reply) => {
    const item = items.get(request.params.orderId)
    if (item === undefined || item.status === 'pending') {
      reply.code(404).send()
      return
    }
    if (item.status === 'completed') {
      reply.code(200).send({ id: item.id, status: item.status, order: item.order })
    } else {
      reply.code(500).send({ id: item.id, status: item.status, error: item.error })
    }
  })

  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const close = async () => await app.close()
  onTestFinished(close)
  return { url, close }
}

/** What a scripted server was asked. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** When it came, in milliseconds. */
  readonly at: number
}

/** Answers one request, itself or with a status, headers and a body that is sent as JSON unless it is a string. */
export type Answerer = (
  request: SeenRequest,
  response: ServerResponse,
) => void | Promise<void> | readonly [status: number, headers?: Record<string, string>, body?: unknown]

/** A server whose answers a test lists. */
export interface ScriptedServer extends RunningServer {
  readonly requests: readonly SeenRequest[]
  /** The requests of one method and path, as in `GET /status/1`. */
  seen(route: string): SeenRequest[]
}

/** Starts a server that answers each route with its list, one after the other, the last again and again. */
export async function startScriptedServer(
  routes: Record<string, Answerer | readonly Answerer[]>,
): Promise<ScriptedServer> {
  const requests: SeenRequest[] = []
  const seen = (route: string) => requests.filter(({ method, path }) => `${method} ${path}` === route)

  const server = createServer(async (incoming, response) => {
    const request = await read(incoming)
    requests.push(request)
    const route = `${request.method} ${request.path}`
    const listed = routes[route] ?? (() => [404] as const)
    const answers = typeof listed === 'function' ? [listed] : listed
    const result = await answers[Math.min(seen(route).length, answers.length) - 1]?.(request, response)
    if (result) send(response, ...result)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const close = async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  onTestFinished(close)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close, requests, seen }
}

async function read(incoming: IncomingMessage): Promise<SeenRequest> {
  const { method = '', url: path = '', headers } = incoming
  const at = Date.now()
  let body = ''
  for await (const chunk of incoming) body += chunk
  return { method, path, headers, body, at }
}

function send(response: ServerResponse, status: number, headers: Record<string, string> = {}, body?: unknown): void {
  const json = body !== undefined && typeof body !== 'string'
  response.writeHead(status, json ? { 'Content-Type': 'application/json', ...headers } : headers)
  response.end(json ? JSON.stringify(body) : body)
}

/** What starts an operation. */
export const POST = { method: 'POST', body: '{}' }

/** The answers of an operation that goes well: to the POST, to polls, and to the request for the result. */
export const accepted = () => [202, { Location: '/status/1' }] as const
export const pending = () => [200, { 'Retry-After': '0' }, { status: 'pending' }] as const
export const finished = () => [303, { Location: '/orders/1' }] as const
export const result = () => [200, {}, { id: '1', status: 'completed', order: {} }] as const

/** What a wait was rejected with, which has to be one of our errors. */
export async function errorOf(wait: Promise<unknown>): Promise<WaitError> {
  const error = await wait.then(
    value => expect.fail(`resolved with ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  )
  if (!(error instanceof WaitError)) throw error
  return error
}

/** Starts a server with an operation that goes well, except for these routes. */
export async function startOperationScript(routes: Parameters<typeof startScriptedServer>[0]): Promise<ScriptedServer> {
  return await startScriptedServer({ 'POST /orders': accepted, 'GET /orders/1': result, ...routes })
}
