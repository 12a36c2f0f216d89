/** A server for tests of the HTTP API, and ways to talk to it that a well-behaved client does not have. */
import { type AddressInfo, connect } from 'node:net'
import fastify, { type FastifyInstance, type FastifyServerOptions, type LightMyRequestResponse } from 'fastify'
import { expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import type { Problem, StatusDocument } from '../../src/model/protocol.ts'
import { type PluginOptions, waybill as plugin } from '../../src/servers/fastify.ts'
import type { Store } from '../../src/stores/store.ts'
import type { WaybillOptions, WorkerOptions } from '../../src/waybill.ts'
import { SILENT, type TestContext } from './waybill.ts'

/** How a server is made. */
export interface ServeOptions
  extends PluginOptions,
    Pick<WaybillOptions, 'logger' | 'sweepInterval' | 'blobs' | 'storeTimeout'> {
  readonly store?: Store
  readonly prefix?: string
  readonly server?: FastifyServerOptions
  readonly worker?: WorkerOptions
}

/** A server that is ready. */
export interface Served {
  readonly app: FastifyInstance
  readonly store: Store
}

/** Serves operation types; without a worker, what is submitted stays pending. */
export async function serve(
  lab: TestContext,
  operations: readonly AnyOperationType[],
  options: ServeOptions = {},
): Promise<Served> {
  const { store = sqliteStore({ path: ':memory:' }), server, ...plugged } = options
  const app: FastifyInstance = fastify(server ?? {})
  lab.onEnd(() => app.close())
  await app.register(plugin, { operations, store, logger: SILENT, sweepInterval: 100, ...plugged })
  await app.ready()
  return { app, store }
}

/** The caller, by the header `x-user`; nobody without it. */
export const byHeader: NonNullable<PluginOptions['principal']> = request => String(request.headers['x-user'] ?? '')

/** Posts JSON. */
export async function post(
  { app }: Served,
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  const payload = JSON.stringify(body)
  return await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', ...headers } })
}

/** Posts, and gives the id of what was accepted. */
export async function accepted(
  served: Served,
  url: string,
  body: unknown = {},
  headers: Record<string, string> = {},
): Promise<string> {
  const response = await post(served, url, body, headers)
  expect(response.statusCode).toBe(202)
  return documentOf(response).id
}

export function documentOf(response: LightMyRequestResponse): StatusDocument {
  return response.json<StatusDocument>()
}

/** The problem of an answer, which must be one and say the status that it was sent with. */
export function problemOf(response: LightMyRequestResponse): Problem {
  expect(response.headers['content-type']).toMatch(/^application\/problem\+json/)
  const problem = response.json<Problem>()
  expect(problem).toMatchObject({ type: expect.any(String), title: expect.any(String), status: response.statusCode })
  return problem
}

/** How many operations of a type and an owner there are, at most 1,000. */
export async function countOf(store: Store, type: AnyOperationType, owner = ''): Promise<number> {
  return (await store.list({ type: type.name, owner, limit: 1000 })).length
}

/** Listens on a port, by default a free one. */
export async function listen({ app }: Served, port = 0): Promise<number> {
  await app.listen({ port, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

/**
 * Sends bytes as they are, and gives all that the server answers until one of the two ends the connection.
 *
 * @param end whether the client has no more to send after them; else it keeps the connection open
 */
export function exchange(port: number, bytes: string | Buffer, { end }: { end: boolean }): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let answer = ''
    socket.setEncoding('latin1').on('data', (data: string) => {
      answer += data
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A server that closes with unread bytes resets the connection: what it has said counts.
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve(answer)
      else reject(error)
    })
    socket.on('end', () => {
      socket.end()
      resolve(answer)
    })
    if (end) socket.end(bytes)
    else socket.write(bytes)
  })
}

/** Sends a body that never ends until the server ends the connection; tells what it has answered, and how many bytes it was sent. */
export async function sendWithoutEnd({ url }: { readonly url: string }, line: string) {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
  let answer = ''
  socket.setEncoding('latin1').on('data', (data: string) => {
    answer += data
  })
  // A server that closes with unread bytes resets the connection.
  socket.on('error', () => {})
  const write = (text: string) => new Promise<boolean>(resolve => socket.write(text, error => resolve(!error)))
  await write(`${line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`
  let sent = 0
  while (sent < 2 ** 28 && (await write(chunk))) sent += chunk.length
  socket.destroy()
  return { sent, answer }
}
