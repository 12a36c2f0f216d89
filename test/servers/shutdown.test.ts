/** A server that closes: its work stops beside the requests that are still under way. */
import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage, type RequestListener } from 'node:http'
import { connect as connect2, createServer as createServer2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { nodeListener, stopServer } from 'waybill/node'
import { sqliteStore } from 'waybill/stores/sqlite'
import { idOf, postJson, SERVERS } from '../support/servers.ts'
import { hasStatus, recordOf, SILENT, submit, type TestContext, test, until } from '../support/waybill.ts'

const slow = defineOperation({ name: 'slow' })

/** Runs until its signal is aborted. */
function untilStopped() {
  const begun: string[] = []
  const handlers = handler(slow, async (_, job) => {
    begun.push(job.id)
    await new Promise<never>((_resolve, reject) => {
      job.signal.addEventListener('abort', () => reject(job.signal.reason))
    })
  })
  return { begun, worker: { handlers, concurrency: 1 } }
}

/** A request of the application's own, which ends when the test lets it, on a connection that its client keeps. */
function ownRequest(lab: TestContext) {
  const arrived = Promise.withResolvers<void>()
  const letGo = Promise.withResolvers<void>()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  lab.onEnd(() => agent.destroy())
  return {
    arrived: arrived.promise,
    letGo: letGo.resolve,
    answer: async () => {
      arrived.resolve()
      await letGo.promise
      return 'done'
    },
    send: (url: string) =>
      new Promise<IncomingMessage>((resolve, reject) => {
        get(`${url}/own`, { agent }, response => resolve(response.resume())).on('error', reject)
      }),
  }
}

type OwnRequest = ReturnType<typeof ownRequest>

/** Serves the type and the request of the application's own; gives where, and how it is closed. */
type Serve = (
  lab: TestContext,
  path: string,
  work: ReturnType<typeof untilStopped>,
  own: OwnRequest,
) => Promise<Serving>

interface Serving {
  readonly url: string
  readonly close: () => Promise<unknown>
}

const onFastify: Serve = async (_, path, { worker }, own) => {
  const app = fastify()
  app.get('/own', own.answer)
  const store = sqliteStore({ path })
  await app.register(plugin, { operations: [slow], store, worker: { ...worker, pollInterval: 50 }, logger: SILENT })
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
}

const onNode: Serve = async (lab, path, { worker }, own) => {
  const waybill = await lab.waybill([slow], { store: sqliteStore({ path }), worker })
  const api = nodeListener(waybill)
  const listener: RequestListener = (request, response) => {
    if (request.url === '/own') void own.answer().then(text => response.end(text))
    else api(request, response)
  }
  const server = createServer({ keepAliveTimeout: 600_000 }, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, close: () => stopServer(server, waybill) }
}

describe.each([
  ['Fastify', onFastify],
  ['node:http', onNode],
] as const)('%s', (_, serve) => {
  test('hands work back during an open request, and does not wait for idle connections', async ({ lab }) => {
    const path = lab.file()
    const work = untilStopped()
    const own = ownRequest(lab)
    const { url, close } = await serve(lab, path, work, own)
    const store = await lab.store(path)
    const ids = []
    for (let n = 0; n < 3; n++) ids.push(await idOf(fetch(`${url}/slow`, postJson(n, { connection: 'close' }))))
    await until(() => work.begun.length === 1)
    const answer = own.send(url)
    await own.arrived

    const closed = close()
    for (const id of ids) await hasStatus(store, id, 'pending')
    expect(work.begun).toHaveLength(1)
    expect((await recordOf(store, String(work.begun[0]))).released).toBe(1)

    own.letGo()
    expect((await answer).statusCode).toBe(200)
    await closed
  })
})

test.for(Object.entries(SERVERS))(
  '%s closes connections while it shuts down, also after refusals',
  async ([, door], { lab }) => {
    const waybill = await lab.waybill([slow])
    const id = await submit(waybill, slow)
    const api = await door(lab, waybill)
    const asks: [status: number, path: string, init?: RequestInit][] = [
      [200, `/slow/status/${id}`],
      [404, '/slow/x'],
      [503, '/slow', postJson(null)],
      [415, '/slow', { method: 'POST', body: 'x' }],
    ]
    expect((await api.ask('/healthz')).headers.get('connection')).not.toBe('close')
    await waybill.drain()
    for (const [status, path, init] of asks) {
      const answer = await api.ask(path, init)
      await answer.text()
      expect([path, answer.status, answer.headers.get('connection')]).toEqual([path, status, 'close'])
    }
  },
)

test('responses over HTTP/2 are the same, without a Connection header', async ({ lab }) => {
  const waybill = await lab.waybill([slow])
  const id = await submit(waybill, slow)
  const app = fastify({ http2: true })
  await app.register(plugin, { waybill })
  const server = createServer2(nodeListener(waybill) as never).listen(0, '127.0.0.1')
  await once(server, 'listening')
  lab.onEnd(() => Promise.all([app.close(), new Promise(resolve => server.close(resolve))]))
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  lab.onEnd(() => process.off('warning', onWarning))
  const urls = [
    await app.listen({ port: 0, host: '127.0.0.1' }),
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  ]
  await waybill.drain()
  for (const url of urls) {
    const session = connect2(url)
    const stream = session.request({ ':path': `/slow/status/${id}` }).resume()
    const [headers] = await once(stream, 'response')
    expect([headers[':status'], headers.connection, headers['cache-control']]).toEqual([
      200,
      undefined,
      'private, no-cache',
    ])
    session.close()
    await once(session, 'close')
  }
  expect(warnings).toEqual([])
})
