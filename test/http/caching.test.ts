/** No shared cache keeps what is one caller's own: every answer says who may keep it. */
import { expect } from 'vitest'
import type { OpenApiDocument } from 'waybill/openapi'
import { atLength } from '../support/length.ts'
import { OrderServer, ordersWith } from '../support/order-server.ts'
import { type Api, idOf, postJson, SERVERS, type ServerOptions } from '../support/servers.ts'
import { hasFinished, type TestContext, test, when } from '../support/waybill.ts'

const type = ordersWith({ allowWebhooks: true, bodyLimit: 1000 })
const SECRETS = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']
const UNKNOWN = '01936f5e-8c1a-7b3c-9d4e-5f60718293a4'
const DIALECTS = ['redirect', 'accepted'] as const
type Dialect = (typeof DIALECTS)[number]
const UNCHANGED = { 'if-none-match': '*' }
const REQUEST_HEADERS: readonly Record<string, string>[] = [
  {},
  { prefer: 'respond-async' },
  { prefer: 'wait=0' },
  UNCHANGED,
  { 'if-match': '"x"' },
  { range: 'bytes=0-1' },
  { accept: 'text/event-stream' },
]

async function open(lab: TestContext, door: (typeof SERVERS)[string], options: ServerOptions) {
  const desk = new OrderServer(type)
  const worker = { handlers: desk.handlers, concurrency: 1 }
  const waybill = await lab.waybill([type], { worker, webhooks: { secrets: SECRETS } })
  const api = await door(lab, waybill, { listing: true, exposeAttempts: true, ...options })
  return { desk, waybill, api }
}

type Opened = Awaited<ReturnType<typeof open>>

/** The ids of operations in every state, and of one that is not there. */
async function inEveryState({ api, waybill }: Opened): Promise<string[]> {
  const order = (wish: string, headers = {}) => idOf(api.ask('/orders', postJson({ wish }, headers)))
  const ended = [await order('complete'), await order('fail'), await order('crash')]
  for (const id of ended) await hasFinished(waybill.store, id)
  const running = await order('hold')
  await when(waybill.store, running, ({ progress }) => progress !== null)
  const [pending, canceled] = [await order('hold'), await order('hold')]
  await api.ask(`/orders/status/${canceled}`, { method: 'DELETE' })
  return [...ended, running, pending, canceled, UNKNOWN, 'x']
}

/** Every path with every method that it has, and one that it does not have. */
async function requestsOf(api: Api, ids: readonly string[]): Promise<[path: string, method: string][]> {
  const { paths } = (await (await api.ask('/openapi.json')).json()) as OpenApiDocument
  const all = Object.entries(paths).flatMap(([path, item]) =>
    [...Object.keys(item).map(method => method.toUpperCase()), 'HEAD', 'PUT', 'OPTIONS'].flatMap(method =>
      ids.map(id => [path.replace('{id}', id), method] as [string, string]),
    ),
  )
  const unique = new Map(all.map(one => [one.join(' '), one]))
  // What changes an operation comes after what reads it in its state.
  return [...unique.values()].sort(([, a], [, b]) => Number(changes(a)) - Number(changes(b)))
}

function changes(method: string): boolean {
  return method === 'DELETE' || method === 'POST'
}

/**
 * The headers to send with one of the requests. Over sockets each request has one set of them, the next request the next
 * set, and a read also what is answered without a body: the routes are the same, and meet every set without a socket.
 */
function headersOf({ server }: Api, index: number, method: string): typeof REQUEST_HEADERS {
  if (server === undefined) return REQUEST_HEADERS
  const one = REQUEST_HEADERS[index % REQUEST_HEADERS.length] ?? {}
  return method === 'GET' ? [one, UNCHANGED] : [one]
}

async function cacheControlOf(api: Api, path: string, method: string, headers: Record<string, string>) {
  const sent = method === 'POST' ? postJson({ wish: 'complete' }, headers) : { method, headers }
  const gone = new AbortController()
  const answer = await api.ask(path, { ...sent, signal: gone.signal })
  // What has an end is read to it, so that its connection takes the next request.
  if (answer.headers.get('content-type')?.startsWith('text/event-stream')) gone.abort()
  else await answer.arrayBuffer()
  return { status: answer.status, cacheControl: answer.headers.get('cache-control') ?? 'none' }
}

for (const [at, [name, door]] of Object.entries(SERVERS).entries()) {
  // The dialects have the same routes on each server, and there are many requests.
  const first = at === 0 ? DIALECTS.slice(0, 1) : []
  for (const dialect of atLength<readonly Dialect[]>(first, DIALECTS)) {
    test(`over ${name}, every response of the dialect ${dialect} says who may cache it`, async ({ lab }) => {
      const opened = await open(lab, door, { dialect, byHeader: false })
      const ids = await inEveryState(opened)
      const statuses = new Set<number>()
      for (const [index, [path, method]] of (await requestsOf(opened.api, ids)).entries()) {
        for (const headers of headersOf(opened.api, index, method)) {
          const { status, cacheControl } = await cacheControlOf(opened.api, path, method, headers)
          statuses.add(status)
          // The description is the same for everyone.
          const expected = /^\/(openapi\.json|docs)$/.test(path) ? /^no-cache|^private/ : /^private/
          expect([method, path, status, cacheControl]).toEqual([method, path, status, expect.stringMatching(expected)])
        }
      }
      expect([...statuses]).toEqual(expect.arrayContaining([200, 202, 204, 304, 404, 405, 409, 410, 412, 422, 500]))
    })
  }

  test(`over ${name}, every refusal says who may cache it`, async ({ lab }) => {
    const { api } = await open(lab, door, { byHeader: true })
    const ann = { 'x-user': 'ann' }
    const asks: [status: number, path: string, init: RequestInit][] = [
      [401, '/orders', postJson({ wish: 'hold' })],
      [401, `/orders/${UNKNOWN}`, {}],
      [400, '/orders', { ...postJson(null, ann), body: '{' }],
      [413, '/orders', postJson('x'.repeat(2000), ann)],
      [415, '/orders', { method: 'POST', headers: ann, body: 'x' }],
    ]
    for (const [status, path, init] of asks) {
      const answer = await api.ask(path, init)
      expect([path, answer.status, answer.headers.get('cache-control')]).toEqual([path, status, 'private, no-store'])
    }
  })

  test(`over ${name}, an event stream must not be transformed`, async ({ lab }) => {
    const { api } = await open(lab, door, {})
    const id = await idOf(api.ask('/orders', postJson({ wish: 'complete' })))
    const answer = await api.ask(`/orders/status/${id}`, { headers: { accept: 'text/event-stream' } })
    expect(answer.headers.get('cache-control')).toBe('private, no-store, no-transform')
    await answer.text()
  })
}
