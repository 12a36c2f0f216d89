/** The event stream of an operation: order, ids, resumption, and its end. */
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, vi } from 'vitest'
import type { StatusDocument } from 'waybill'
import type { HttpResponse } from '../../src/http/message.ts'
import { createRoutes } from '../../src/http/routes.ts'
import { collectGarbage } from '../support/garbage.ts'
import { accepted } from '../support/http.ts'
import { atLength } from '../support/length.ts'
import { ANYONE, type OpenOrderServer, openOrderServer, ordersWith } from '../support/order-server.ts'
import { eventsOf, idOf, postJson, SERVERS, type Sent } from '../support/servers.ts'
import { hasFinished, hasStatus, type TestContext, test, until, when } from '../support/waybill.ts'

const sharing = ordersWith({ exposeLogs: true })

afterEach(() => {
  vi.useRealTimers()
})

/** Asks for the stream, past any server. */
async function streamOf(
  { waybill }: OpenOrderServer,
  id: string,
  more: { lastEventId?: string; signal?: AbortSignal } = {},
) {
  const route = createRoutes(waybill).find(({ method, path }) => method === 'GET' && path === '/orders/status/:id')
  if (route === undefined) throw new Error('There is no status route.')
  const { lastEventId, signal = new AbortController().signal } = more
  const headers = { accept: 'text/event-stream', ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) }
  return await route.handle({ headers, params: { id }, query: new URLSearchParams(), owner: ANYONE, signal })
}

function pieces({ body }: HttpResponse): AsyncIterator<string> {
  if (body === null || typeof body === 'string') throw new Error('It is not a stream.')
  return (body as AsyncIterable<string>)[Symbol.asyncIterator]()
}

/** All events of a stream that ends. */
async function all(answer: HttpResponse): Promise<Sent[]> {
  if (answer.body === null || typeof answer.body === 'string') return []
  let text = ''
  for await (const piece of answer.body) text += piece
  const found: Sent[] = []
  for await (const event of eventsOf(new Response(text))) found.push(event)
  return found
}

const statusOf = ({ data }: Sent) => (JSON.parse(data) as StatusDocument).status
const messageOf = ({ data }: Sent) => (JSON.parse(data) as { message: string }).message

/** A running order that its test does the work of. */
async function runByHand(lab: TestContext, type = sharing) {
  const served = await openOrderServer(lab, { type, waybill: { worker: false } })
  const { store } = served
  const id = await accepted(served, '/orders', { wish: 'complete' })
  const lease = { id, attempt: 1, holder: 'h' }
  return {
    served,
    id,
    claim: () => store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } }),
    say: (message: string) => store.appendNote(lease, { kind: 'log', level: 'info', message }),
    progress: (fraction: number) => store.change(id, { kind: 'progress', attempt: 1, progress: { fraction } }),
    complete: () => store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } }),
  }
}

describe('a stream', () => {
  test('sends each change in order, with growing ids, and ends after the last one', async ({ lab }) => {
    const { served, id, claim, say, progress, complete } = await runByHand(lab)
    const { body } = await streamOf(served, id)
    const told: string[] = []
    const ended = (async () => {
      if (body === null || typeof body === 'string') return
      for await (const piece of body) told.push(String(piece))
    })()
    for (const step of [
      claim,
      () => say('one'),
      () => progress(0.25),
      () => say('two'),
      () => progress(0.5),
      complete,
    ]) {
      await until(() => served.waybill.operations.waiting === 1)
      await step()
      await turn()
    }
    await ended
    const events = told.filter(text => !text.startsWith(':'))
    expect(events.map(text => /^event: (\w+)\nid: ([\d.]+)\n/.exec(text)?.slice(1))).toEqual([
      ['status', '1'],
      ['status', '2'],
      ['log', '2.1'],
      ['status', '3.1'],
      ['log', '3.2'],
      ['status', '4.2'],
      ['status', '5.2'],
    ])
    const documents = events
      .filter(text => text.startsWith('event: status'))
      .map(text => text.replace(/^.*data: /s, ''))
    expect(documents.slice(0, -1).map(text => (JSON.parse(text) as StatusDocument).progress?.fraction)).toEqual([
      undefined,
      undefined,
      0.25,
      0.5,
    ])
    expect(JSON.parse(documents.at(-1) ?? '')).toMatchObject({ id, status: 'completed' })
    expect(served.waybill.operations.waiting).toBe(0)
  })

  test('that is resumed after any event sends only the later events', async ({ lab }) => {
    const { served, id, claim, say, progress, complete } = await runByHand(lab)
    await claim()
    for (const line of ['one', 'two', 'three']) await say(line)
    await progress(0.5)
    await complete()
    const whole = await all(await streamOf(served, id))
    expect(whole.map(({ event }) => event)).toEqual(['log', 'log', 'log', 'status'])
    expect(whole.slice(0, 3).map(messageOf)).toEqual(['one', 'two', 'three'])
    for (const [index, { id: lastEventId }] of whole.entries()) {
      const answer = await streamOf(served, id, { lastEventId })
      expect(await all(answer)).toEqual(whole.slice(index + 1))
      expect(answer.status).toBe(index === whole.length - 1 ? 204 : 200)
    }
  })

  test('that is resumed while the order runs gets the missed events', async ({ lab }) => {
    const { served, id, claim, say, progress, complete } = await runByHand(lab)
    await claim()
    await say('seen')
    const first = pieces(await streamOf(served, id))
    const seen = [(await first.next()).value, (await first.next()).value].map(String)
    await first.return?.()
    await say('missed')
    await progress(0.5)
    await progress(0.75)
    const lastEventId = /^id: (.*)$/m.exec(seen.at(-1) ?? '')?.[1] ?? ''
    const resumed = all(await streamOf(served, id, { lastEventId }))
    await until(() => served.waybill.operations.waiting === 1)
    await complete()
    const rest = await resumed
    expect(rest.filter(({ event }) => event === 'log').map(messageOf)).toEqual(['missed'])
    // Of what it missed of the status, the last counts.
    expect(rest.filter(({ event }) => event === 'status').map(statusOf)).toEqual(['running', 'completed'])
  })

  test('has the log only if the type exposes it', async ({ lab }) => {
    for (const [exposeLogs, names] of [
      [true, ['log', 'status']],
      [false, ['status']],
    ] as const) {
      const { served, id, claim, say, complete } = await runByHand(lab, ordersWith({ exposeLogs }))
      await claim()
      await say('a secret of the handler')
      await complete()
      const events = await all(await streamOf(served, id))
      expect(events.map(({ event }) => event)).toEqual(names)
    }
  })

  test('sends everything for an unknown position', async ({ lab }) => {
    const { served, id, claim, complete } = await runByHand(lab)
    await claim()
    await complete()
    for (const lastEventId of ['', 'x', '-1', '1.', '.1', '1.2.3', '9'.repeat(16), '\u0000', '1e3', '4', '999.9']) {
      expect((await all(await streamOf(served, id, { lastEventId }))).map(statusOf)).toEqual(['completed'])
    }
  })

  test('sends a comment at once, and at least every 15 s', async ({ lab }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { served, id } = await runByHand(lab)
    const stream = pieces(await streamOf(served, id, { lastEventId: '1' }))
    expect((await stream.next()).value).toBe(': waiting\n\n')
    for (let beat = 0; beat < 3; beat++) {
      const next = stream.next()
      await vi.waitFor(() => expect(served.waybill.operations.waiting).toBe(1), { interval: 1 })
      await vi.advanceTimersByTimeAsync(15_000)
      // In the queue its place is told again.
      expect((await next).value).toMatch(/^event: status\nid: 1\ndata: \{.*"status":"pending".*"queuePosition":1/)
    }
    await stream.return?.()
  })

  test('is neither cached nor buffered by proxies', async ({ lab }) => {
    const { served, id } = await runByHand(lab)
    const { headers } = await streamOf(served, id)
    expect(headers).toMatchObject({
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'private, no-store, no-transform',
      'X-Accel-Buffering': 'no',
    })
  })

  test('above the limit of waiting requests sends the status, and then ends with a retry time', async ({ lab }) => {
    const served = await openOrderServer(lab, { waybill: { maxWaitingRequests: 1, worker: false } })
    const id = await accepted(served, '/orders', { wish: 'hold' })
    const first = pieces(await streamOf(served, id))
    await first.next()
    const held = first.next()
    await until(() => served.waybill.operations.waiting === 1)
    const second = pieces(await streamOf(served, id))
    expect((await second.next()).value).toMatch(/^event: status\nid: 1\n/)
    expect((await second.next()).value).toBe('retry: 5000\n\n')
    expect((await second.next()).done).toBe(true)
    // A service that ends lets the first one go in the same way.
    served.waybill.operations.drain()
    expect((await held).value).toMatch(/^event: status\nid: 1\n/)
    expect((await first.next()).value).toBe('retry: 5000\n\n')
    expect((await first.next()).done).toBe(true)
  })

  test('ends if the store becomes unreachable, and leaves no waiting request', async ({ lab }) => {
    const { served, id } = await runByHand(lab)
    const stream = pieces(await streamOf(served, id))
    await stream.next()
    const next = stream.next()
    await until(() => served.waybill.operations.waiting === 1)
    served.waybill.operations.logsOf = () => Promise.reject(new Error('The store is away.'))
    await served.store.change(id, { kind: 'cancel' })
    await next.catch(() => {})
    await stream.next().catch(() => {})
    expect((await stream.next()).done).toBe(true)
    expect(served.waybill.operations.waiting).toBe(0)
  })
})

describe('a client that disconnects', () => {
  for (const [name, door] of Object.entries(SERVERS)) {
    test(`over ${name} ends its stream, even if all other objects were garbage-collected`, async ({ lab }) => {
      const { waybill } = await openOrderServer(lab)
      const api = await door(lab, waybill)
      const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
      await when(waybill.store, id, ({ progress }) => progress !== null)
      const gone = new AbortController()
      const readers = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const init = { headers: { accept: 'text/event-stream' }, signal: gone.signal }
          const response = await api.ask(`/orders/status/${id}`, init)
          const reader = response.body?.getReader()
          await reader?.read()
          return reader
        }),
      )
      await until(() => waybill.operations.waiting === 10)
      collectGarbage()
      gone.abort()
      await Promise.allSettled(readers.map(reader => reader?.cancel()))
      await until(() => waybill.operations.waiting === 0)
    })
  }

  const MANY = atLength(300, 2000)
  for (const name of ['Fastify', 'node:http']) {
    test(`over ${name} with ${MANY} others leaves no waiting request, and the server healthy`, async ({ lab }) => {
      const { desk, waybill } = await openOrderServer(lab)
      const api = await SERVERS[name]?.(lab, waybill)
      if (api === undefined) throw new Error(`There is no ${name}.`)
      const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
      const url = `${api.url}/orders/status/${id}`
      const open = async () => {
        const request = httpGet(url, { agent: false, headers: { accept: 'text/event-stream' } })
        const [response] = (await once(request, 'response')) as [IncomingMessage]
        return response.resume().on('error', () => {})
      }
      const streams: IncomingMessage[] = []
      // No more come at once than a server lets wait for it: 511.
      while (streams.length < MANY) streams.push(...(await Promise.all(Array.from({ length: 100 }, open))))
      await until(() => waybill.operations.waiting === MANY)
      for (const stream of streams) stream.destroy()
      await until(() => waybill.operations.waiting === 0)
      desk.letGo()
      await hasStatus(waybill.store, id, 'completed')
      expect((await api.ask(`/orders/${id}`)).status).toBe(200)
    })
  }

  test('before the first event leaves nothing behind', async ({ lab }) => {
    const served = await openOrderServer(lab)
    const id = await accepted(served, '/orders', { wish: 'hold' })
    const stream = pieces(await streamOf(served, id, { signal: AbortSignal.abort() }))
    await stream.next()
    expect((await stream.next()).done).toBe(true)
    expect(served.waybill.operations.waiting).toBe(0)
    served.desk.letGo()
    await hasFinished(served.store, id)
  })
})
