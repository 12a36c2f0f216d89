/** How a wait asks again: how soon, how long it has its requests held, and what it reports trouble. */
import type { ServerResponse } from 'node:http'
import { describe, expect, test, vi } from 'vitest'
import type { AnyOperationType } from 'waybill'
import { attach, client, fetchAndWait, OperationError, WaitError } from '../../src/client/client.ts'
import {
  type Answerer,
  errorOf,
  finished,
  POST,
  pending,
  startOperationScript as script,
} from '../support/article-server.ts'
import { withoutDelays } from '../support/client-delays.ts'

/** As many of one answer. */
function times(count: number, answerer: Answerer): Answerer[] {
  return Array.from({ length: count }, () => answerer)
}

describe('the delay between polls', () => {
  test.each([
    ['0', () => '0'],
    ['a date that has passed', () => new Date(Date.now() - 50_000).toUTCString()],
  ])('grows to half a second and more if Retry-After is %s and nothing changes', async (_, retryAfter) => {
    const delays = withoutDelays()
    const same: Answerer = () => [200, { 'Retry-After': retryAfter() }, { status: 'pending' }]
    const { url, seen } = await script({ 'GET /status/1': [...times(10, same), finished] })
    await fetchAndWait(`${url}/orders`, POST)
    expect(seen('GET /status/1')).toHaveLength(11)
    expect(Math.min(...delays.slice(-5))).toBeGreaterThanOrEqual(500)
    expect(Math.max(...delays)).toBeLessThanOrEqual(1000)
  })

  test('is short again after news', async () => {
    const delays = withoutDelays()
    const at =
      (fraction: number): Answerer =>
      () => [200, { 'Retry-After': '0' }, { status: 'running', fraction }]
    const { url } = await script({ 'GET /status/1': [...times(6, at(0.1)), at(0.2), finished] })
    await fetchAndWait(`${url}/orders`, POST)
    expect(delays.at(-1)).toBeLessThanOrEqual(125)
  })

  test('is above zero if a server answers held polls at once', async () => {
    const delays = withoutDelays()
    const held: Answerer = () => [304, { ETag: '"1"', 'Retry-After': '5', 'Preference-Applied': 'wait=30' }]
    const first: Answerer = () => [200, { ETag: '"1"', 'Retry-After': '0' }, { status: 'running' }]
    const { url } = await script({ 'GET /status/1': [first, ...times(10, held), finished] })
    await fetchAndWait(`${url}/orders`, POST)
    expect(Math.min(...delays.slice(-5))).toBeGreaterThanOrEqual(500)
    expect(Math.max(...delays)).toBeLessThanOrEqual(1000)
  })

  test('follows a date by the clock of the server', async () => {
    const delays = withoutDelays()
    const hour = 3_600_000
    const ahead: Answerer = () => [
      200,
      {
        Date: new Date(Date.now() + hour).toUTCString(),
        'Retry-After': new Date(Date.now() + hour + 2000).toUTCString(),
      },
      { status: 'pending' },
    ]
    const { url } = await script({ 'GET /status/1': [ahead, finished] })
    const told: number[] = []
    await fetchAndWait(`${url}/orders`, POST, ({ retryAfter }) => told.push(retryAfter))
    expect(told).toEqual([2])
    expect(Math.max(...delays)).toBe(2000)
  })

  test('grows after failures, whatever Retry-After says', async () => {
    const delays = withoutDelays()
    const away: Answerer = () => [503, { 'Retry-After': '0' }]
    const { url } = await script({ 'GET /status/1': [...times(10, away), finished] })
    await fetchAndWait(`${url}/orders`, POST)
    expect(Math.min(...delays.slice(-5))).toBeGreaterThanOrEqual(500)
  })
})

describe('a gateway that ends requests early', () => {
  const tagged = { 'Retry-After': '0', ETag: '"1"' }
  const running: Answerer = () => [200, tagged, { status: 'running' }]
  const plainOnly: Answerer = ({ headers }, response) => (headers.prefer ? void response.destroy() : [304, tagged])

  test('makes the client hold polls for less time, and then not at all, and the wait continues', async () => {
    withoutDelays()
    const { url, seen } = await script({ 'GET /status/1': [running, ...times(60, plainOnly), finished] })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
    const holds = seen('GET /status/1').map(({ headers }) => headers.prefer)
    expect(holds.slice(0, 4)).toEqual([undefined, 'wait=30', 'wait=10', undefined])
    expect(new Set(holds.slice(4))).toEqual(new Set([undefined]))
  })

  test('causes no failures of the wait', async () => {
    withoutDelays()
    const cut: Answerer = (_, response) => void response.destroy()
    const { url, seen } = await script({ 'GET /status/1': [running, cut] })
    expect(await errorOf(fetchAndWait(`${url}/orders`, POST))).toMatchObject({ code: 'unreachable' })
    expect(seen('GET /status/1').filter(({ headers }) => !headers.prefer)).toHaveLength(1 + 21)
  })

  test('does not prevent held polls after the server was unreachable', async () => {
    withoutDelays()
    const cut: Answerer = (_, response) => void response.destroy()
    const { url, seen } = await script({ 'GET /status/1': [running, ...times(5, cut), running, running, finished] })
    await fetchAndWait(`${url}/orders`, POST)
    expect(seen('GET /status/1').map(({ headers }) => headers.prefer)).toEqual([
      ...[undefined, 'wait=30', 'wait=10', undefined, undefined, undefined, undefined],
      ...['wait=30', 'wait=30'],
    ])
  })

  test('makes the typed client repeat a submit without a hold', async () => {
    withoutDelays()
    const document = { id: '1', status: 'pending', links: { status: '/orders/status/1' } }
    const cut: Answerer = (_, response) => void response.destroy()
    const { url, seen } = await script({
      'POST /orders': [cut, () => [202, { Location: '/orders/status/1' }, document]],
    })
    const api = client<{ orders: AnyOperationType }>(
      { orders: { name: 'orders', resultKey: 'order' } },
      { baseUrl: url },
    )
    await api.orders.submit({}, { waitTimeout: 30_000 })
    expect(seen('POST /orders').map(({ headers }) => headers.prefer)).toEqual(['wait=30', undefined])
  })
})

test('a stream without a status is replaced by polls', async () => {
  const links = { status: '/status/1', events: '/events' }
  const { url, seen } = await script({
    'POST /orders': () => [202, { Location: '/status/1' }, { status: 'pending', links }],
    'GET /events': (_, response) =>
      void response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(': hm\n\n'),
    'GET /status/1': [() => [200, { 'Retry-After': '0' }, { status: 'pending', links }], finished],
  })
  await fetchAndWait(`${url}/orders`, POST)
  expect(seen('GET /events')).toHaveLength(1)
})

describe('several waits', () => {
  /** A server that holds streams and polls until it is told to end them, and counts what it holds. */
  async function startHolding(offers: 'streams' | 'polls') {
    const open = new Set<() => void>()
    let most = 0
    let isDone = false
    const hold = (response: ServerResponse, end: () => void) => {
      if (isDone) {
        end()
        return
      }
      open.add(end)
      most = Math.max(most, open.size)
      response.on('close', () => open.delete(end))
    }
    const answers: Answerer = (request, response) => {
      const status = `/status${request.path.replace('/events', '')}`.replace('/status/status', '/status')
      const links = { status, ...(offers === 'streams' && { events: `${request.path}/events` }) }
      const headers = { ETag: '"1"', 'Retry-After': '0' }
      if (request.path.endsWith('/events')) {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' })
        const event = () => response.write(`event: status\ndata: {"status":"running","retryAfter":1}\n\n`)
        event()
        return hold(response, () => response.end())
      }
      if (isDone) return [303, { Location: '/orders/1' }]
      if (request.headers.prefer) return hold(response, () => response.writeHead(304, headers).end())
      return [200, headers, { status: 'running', links }]
    }
    const routes = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`GET /status/${i}`, answers]))
    const streams = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`GET /status/${i}/events`, answers]))
    const server = await script({ ...routes, ...streams })
    const end = () => {
      isDone = true
      for (const close of [...open]) close()
    }
    return { ...server, open, most: () => most, end }
  }

  test.each(['streams', 'polls'] as const)('hold two %s at once, and the others poll', async offers => {
    withoutDelays()
    const server = await startHolding(offers)
    const polled = new Map<number, number>()
    const { promise: all, resolve } = Promise.withResolvers<void>()
    const waits = Array.from({ length: 8 }, (_, i) =>
      attach(`${server.url}/status/${i}`, () => {
        polled.set(i, (polled.get(i) ?? 0) + 1)
        // Two are held. Each of the others has polled often enough to have been held otherwise.
        if ([...polled.values()].filter(count => count > 5).length === 6) resolve()
      }),
    )
    await all
    expect(server.open.size).toBe(2)
    server.end()
    await Promise.all(waits)
    expect(server.most()).toBe(2)
  })

  test('leave their places to others when they end', async () => {
    const server = await startHolding('streams')
    for (let i = 0; i < 4; i++) {
      const stop = new AbortController()
      const held = attach(`${server.url}/status/${i}`, { signal: stop.signal }, ({ document }) => {
        if (document.retryAfter) stop.abort('seen in a stream')
      })
      await expect(held).rejects.toBe('seen in a stream')
    }
  })
})

describe('onTrouble', () => {
  test('is called at each failure, and when the server answers again', async () => {
    withoutDelays()
    const away: Answerer = () => [503, { 'Retry-After': '0' }, { title: 'Away' }]
    const { url } = await script({ 'GET /status/1': [pending, away, away, pending, finished] })
    const heard: unknown[] = []
    const onTrouble = (trouble: WaitError | undefined) => heard.push(trouble?.problem?.title)
    await fetchAndWait(`${url}/orders`, { ...POST, onTrouble })
    expect(heard).toEqual(['Away', 'Away', undefined])
  })

  test('is called when the server goes away during a stream, and when it is back', async () => {
    withoutDelays()
    const links = { status: '/status/1', events: '/events', result: '/orders/1' }
    const event = (status: string) => `event: status\ndata: ${JSON.stringify({ status, links })}\n\n`
    const cut: Answerer = (_, response) => void response.destroy()
    const { url } = await script({
      'POST /orders': () => [202, { Location: '/status/1' }, { status: 'pending', links }],
      'GET /events': [
        (_, response) => {
          response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(event('running'))
          setTimeout(() => response.destroy())
        },
        cut,
        (_, response) => void response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(event('completed')),
      ],
      'GET /status/1': [cut, () => [200, { 'Retry-After': '0' }, { status: 'running', links }]],
    })
    const heard: unknown[] = []
    await fetchAndWait(`${url}/orders`, { ...POST, onTrouble: trouble => heard.push(trouble?.code) }, ({ status }) =>
      heard.push(status),
    )
    expect(heard).toEqual(['running', 'unreachable', undefined, 'running', 'completed'])
  })

  test('is not called after the end of a wait', async () => {
    const { url } = await script({ 'GET /status/1': [pending, () => {}] })
    const stop = new AbortController()
    const heard: unknown[] = []
    const init = { ...POST, signal: stop.signal, onTrouble: (trouble: unknown) => heard.push(trouble) }
    await expect(
      fetchAndWait(`${url}/orders`, init, () => void setTimeout(() => stop.abort('enough'), 200)),
    ).rejects.toBe('enough')
    expect(heard).toEqual([])
  })
})

describe('fetch', () => {
  test.each(['a URL', 'a Request'])('is called with a URL and an init if the input is %s', async kind => {
    const { url, seen } = await script({ 'GET /status/1': finished })
    const calls: unknown[] = []
    const other = async (input: unknown, init?: RequestInit) => {
      calls.push(input)
      if (typeof input !== 'string') throw new TypeError('This fetch takes URLs.')
      return fetch(input, init)
    }
    const init = { method: 'POST', headers: { 'Content-Type': 'text/plain', 'X-Key': 'k' }, body: 'grüße' }
    const request = kind === 'a URL' ? [`${url}/orders`, init] : [new Request(`${url}/orders`, init), {}]
    const [input, more] = request as [string | Request, object]
    await fetchAndWait(input, { ...more, fetch: other as typeof fetch })
    expect(calls).toEqual([`${url}/orders`, `${url}/status/1`, `${url}/orders/1`])
    expect(seen('POST /orders')[0]).toMatchObject({
      body: 'grüße',
      headers: { 'content-type': 'text/plain', 'x-key': 'k' },
    })
  })

  test('may follow redirects', async () => {
    const { url, seen } = await script({ 'GET /status/1': [pending, finished] })
    const following: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'follow' })
    expect(await fetchAndWait(`${url}/orders`, { ...POST, fetch: following })).toMatchObject({ status: 'completed' })
    expect(seen('GET /orders/1')).toHaveLength(1)
  })

  test('sends a form with its boundary, and a stream as a stream', async () => {
    const { url, seen } = await script({ 'GET /status/1': finished })
    const form = new FormData()
    form.set('name', 'Ada')
    await fetchAndWait(`${url}/orders`, { method: 'POST', body: form })
    const [sent] = seen('POST /orders')
    const boundary = /boundary=(.*)/.exec(`${sent?.headers['content-type']}`)?.[1]
    expect(sent?.body).toContain(`--${boundary}--`)
    const body = new Blob(['streamed']).stream()
    await fetchAndWait(`${url}/orders`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    expect(seen('POST /orders')[1]?.body).toBe('streamed')
  })
})

test('errors of another copy of the package are recognised', async () => {
  vi.resetModules()
  const other = await import('../../src/client/client.ts')
  const details = { code: 'failed', statusUrl: '' } as const
  const foreign = new other.OperationError('failed', details)
  expect(other.WaitError).not.toBe(WaitError)
  expect(foreign).toBeInstanceOf(WaitError)
  expect(foreign).toBeInstanceOf(OperationError)
  const refused = new other.WaitError('refused', { ...details, code: 'refused' })
  expect(refused).toBeInstanceOf(WaitError)
  expect(refused).not.toBeInstanceOf(OperationError)
  expect(new Error('no')).not.toBeInstanceOf(WaitError)
  expect(null).not.toBeInstanceOf(WaitError)
})
