/** The same API on each kind of server that it can be put on. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import { Hono } from 'hono'
import { waybill as plugin } from 'waybill/fastify'
import { nodeListener } from 'waybill/node'
import { fetchHandler } from 'waybill/web'
import type { AdminOptions, AdminPrincipal } from '../../src/http/admin/operator-identity.ts'
import type { McpOptions } from '../../src/http/mcp/mcp.ts'
import type { Principal } from '../../src/http/principal.ts'
import type { ApiOptions } from '../../src/http/routes.ts'
import type { Waybill } from '../../src/waybill.ts'
import type { TestContext } from './waybill.ts'

/** An API that takes requests. */
export interface Api {
  /** Where it listens; of a server without a socket, any origin will do. */
  readonly url: string
  /** Asks for a path, and follows no redirect. */
  ask(path: string, init?: RequestInit): Promise<Response>
  /** The server that holds the connections, where there is one. */
  readonly server?: Server
}

export type ServerOptions = Omit<ApiOptions, 'base' | 'authenticated' | 'admin'> & {
  readonly prefix?: string
  readonly publicUrl?: string
  readonly challenge?: string
  readonly mcp?: boolean | McpOptions
  /** The caller is what the header `x-user` says. */
  readonly byHeader?: boolean
  /** The caller is what this makes of the header `x-user`. */
  readonly who?: (user: string | undefined) => Principal | Promise<Principal>
  /** The admin API; the operator is what `operator` makes of the header `x-operator`. */
  readonly admin?: Omit<AdminOptions<unknown>, 'principal'> & {
    readonly operator?: (name: string | undefined) => AdminPrincipal | undefined
  }
}

/** Puts an API on a server, and takes it off when the test has ended. */
export type ServerUnderTest = (lab: TestContext, waybill: Waybill, options?: ServerOptions) => Promise<Api>

const viaFastify: ServerUnderTest = async (
  lab,
  waybill,
  { byHeader, who = byHeader ? sayAsIs : undefined, admin, ...options } = {},
) => {
  const app = fastify({ forceCloseConnections: true })
  const principal = who && { principal: (request: { headers: object }) => who(userOf(Object.entries(request.headers))) }
  await app.register(plugin, {
    waybill,
    ...options,
    ...principal,
    ...adminBy((request: { headers: object }) => Object.entries(request.headers), admin),
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  lab.onEnd(() => app.close())
  return over(app.server)
}

const viaNode: ServerUnderTest = async (
  lab,
  waybill,
  { byHeader, who = byHeader ? sayAsIs : undefined, admin, ...options } = {},
) => {
  const principal = who && { principal: (request: Request) => who(userOf([...request.headers])) }
  const server = createServer(
    nodeListener(waybill, { ...options, ...principal, ...adminBy((request: Request) => [...request.headers], admin) }),
  ).listen(0, '127.0.0.1')
  lab.onEnd(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  await once(server, 'listening')
  return over(server)
}

const viaHono: ServerUnderTest = async (
  _,
  waybill,
  { byHeader, who = byHeader ? sayAsIs : undefined, admin, ...options } = {},
) => {
  const principal = who && { principal: (request: Request) => who(userOf([...request.headers])) }
  const answer = fetchHandler(waybill, {
    ...options,
    ...principal,
    ...adminBy((request: Request) => [...request.headers], admin),
  })
  const app = new Hono().all('*', c => answer(c.req.raw))
  return { url: 'http://api.test', ask: async (path, init) => await app.request(path, init) }
}

export const SERVERS: Readonly<Record<string, ServerUnderTest>> = {
  Fastify: viaFastify,
  'node:http': viaNode,
  Hono: viaHono,
}

/** The one for tests that need a real socket and no particular server. */
export const serveFastify = viaFastify

/** The one for tests of what \`node:http\` alone does. */
export const serveNode = viaNode

function over(server: Server): Api {
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return { url, server, ask: (path, init) => fetch(url + path, { redirect: 'manual', ...init }) }
}

type Headers = readonly (readonly [string, unknown])[]

function userOf(headers: Headers, header = 'x-user'): string | undefined {
  return headers.find(([name]) => name === header)?.[1] as string | undefined
}

/** The option `admin` of a server. */
function adminBy<Request>(
  headersOf: (request: Request) => Headers,
  given: ServerOptions['admin'],
): { readonly admin?: AdminOptions<Request> } {
  if (given === undefined) return {}
  const { operator, ...admin } = given
  if (operator === undefined) return { admin }
  return { admin: { ...admin, principal: request => operator(userOf(headersOf(request), 'x-operator')) } }
}

function sayAsIs(user: string | undefined): Principal {
  return user
}

/** Posts JSON. */
export function postJson(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

/** Posts, and gives the id of what was accepted. */
export async function idOf(answer: Promise<Response>): Promise<string> {
  const response = await answer
  const text = await response.text()
  if (response.status !== 202) throw new Error(`It was answered with ${response.status}: ${text}`)
  return (JSON.parse(text) as { id: string }).id
}

/** One server-sent event; a comment has no name. */
export interface Sent {
  readonly event: string
  readonly id: string
  readonly data: string
}

/** The events of a stream, one by one, comments left out. */
export async function* eventsOf(response: Response): AsyncGenerator<Sent> {
  let text = ''
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const blocks = (text + piece).split('\n\n')
    text = blocks.pop() ?? ''
    yield* blocks.flatMap(toEvent)
  }
}

function toEvent(block: string): Sent[] {
  const fields = Object.fromEntries(block.split('\n').map(line => line.split(/: (.*)/s, 2)))
  return fields.event === undefined ? [] : [{ event: fields.event, id: fields.id ?? '', data: fields.data ?? '' }]
}
