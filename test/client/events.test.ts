import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import { fetchAndWait, type StatusPoll } from '../../src/client/client.ts'
import {
  type Answerer,
  accepted,
  errorOf,
  finished,
  POST,
  result,
  type ScriptedServer,
  startScriptedServer,
} from '../support/article-server.ts'

const links = { status: '/status/1', result: '/orders/1', operation: '/operations/1', events: '/status/1/events' }
const offered = () =>
  [202, { Location: '/status/1', 'Retry-After': '0' }, { id: '1', status: 'pending', links }] as const

/** Of an operation that goes well and has a stream of events, except for these routes. */
function script(routes: Parameters<typeof startScriptedServer>[0]): Promise<ScriptedServer> {
  return startScriptedServer({ 'POST /orders': offered, 'GET /orders/1': result, ...routes })
}

function open(response: ServerResponse, ...chunks: string[]): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  for (const chunk of chunks) response.write(chunk)
}

function event(version: number, status: string, more = {}): string {
  return `event: status\nid: ${version}\ndata: ${JSON.stringify({ id: '1', status, retryAfter: status === 'completed' ? 0 : 5, links, ...more })}\n\n`
}

/** A stream that sends all of this, and ends. */
function stream(...chunks: string[]): Answerer {
  return (_, response) => {
    open(response, ...chunks)
    response.end()
  }
}

describe('the event stream', () => {
  test('is used at once if the 202 has its URL, and each status reaches the callback', async () => {
    const { url, requests } = await script({
      'GET /status/1/events': stream(': hello\n\n', event(1, 'pending'), event(2, 'running'), event(3, 'completed')),
    })
    const polls: StatusPoll[] = []
    const bodies: unknown[] = []
    const value = await fetchAndWait(
      `${url}/orders`,
      { ...POST, headers: { Authorization: 'Bearer t' } },
      async poll => {
        polls.push(poll)
        bodies.push(await poll.response.json())
      },
    )
    expect(value).toMatchObject({ order: {} })
    expect(polls.map(({ status, retryAfter }) => [status, retryAfter])).toEqual([
      ['pending', 5],
      ['running', 5],
      ['completed', 0],
    ])
    expect(polls.map(({ response }) => response.url)).toEqual(Array(3).fill(`${url}/status/1`))
    expect(polls.map(({ response }) => response.headers.get('Retry-After'))).toEqual(['5', '5', '0'])
    expect(bodies).toMatchObject([{ status: 'pending' }, { status: 'running' }, { status: 'completed' }])
    expect(requests.map(({ path }) => path)).toEqual(['/orders', '/status/1/events', '/orders/1'])
    expect(requests[1]?.headers).toMatchObject({ accept: 'text/event-stream', authorization: 'Bearer t' })
  })

  test('is used after a poll that has its URL, which may be the status URL', async () => {
    const own = { ...links, events: '/status/1' }
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': [
        () => [200, { 'Retry-After': '0' }, { status: 'pending', links: own }],
        stream(event(2, 'completed', { links: own })),
      ],
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ order: {} })
    expect(seen('GET /status/1')[1]?.headers.accept).toBe('text/event-stream')
  })

  test('is read with any chunks and any line ends', async () => {
    const text = event(1, 'pending', { progress: { message: 'ein Gruß\u2028data: 5' } }).replaceAll('\n', '\r\n')
    const bytes = Buffer.from(
      `\uFEFF${text}event:status\rid:2\rdata:{"status":\rdata:"running"}\r\r${event(3, 'completed')}`,
    )
    const { url } = await script({
      'GET /status/1/events': async (_, response) => {
        open(response)
        for (const byte of bytes) {
          response.write(Buffer.of(byte))
          await new Promise(resolve => setImmediate(resolve))
        }
        response.end()
      },
    })
    const documents: unknown[] = []
    await fetchAndWait(`${url}/orders`, POST, ({ document }) => documents.push(document))
    expect(documents[0]).toMatchObject({ progress: { message: 'ein Gruß\u2028data: 5' } })
    expect(documents.at(-1)).toMatchObject({ status: 'completed' })
  })

  test('that reports a failure rejects with it', async () => {
    const error = { type: '/problems/paint', title: 'No paint', status: 422 }
    const { url, requests } = await script({ 'GET /status/1/events': stream(event(1, 'failed', { error })) })
    const rejected = await errorOf(fetchAndWait(`${url}/orders`, POST, poll => poll.response.json()))
    expect(rejected).toMatchObject({ code: 'failed', problem: error, id: '1', statusUrl: `${url}/status/1` })
    expect(await rejected.response?.json()).toMatchObject({ status: 'failed' })
    expect(requests).toHaveLength(2)
  })

  test('that breaks is requested again', async () => {
    const { url, seen } = await script({
      'GET /status/1/events': [
        (_, response) => {
          open(response, event(7, 'running'), ': still here\n\n')
          setTimeout(() => response.destroy(), 10)
        },
        stream(event(8, 'completed')),
      ],
    })
    const statuses: unknown[] = []
    await fetchAndWait(`${url}/orders`, POST, ({ status }) => statuses.push(status))
    expect(statuses).toEqual(['running', 'completed'])
    expect(seen('GET /status/1/events')).toHaveLength(2)
    expect(seen('GET /status/1')).toHaveLength(0)
  })

  test('that does not exist is replaced by polls', async () => {
    const { url, seen } = await script({
      'GET /status/1/events': () => [406],
      'GET /status/1': [() => [200, { 'Retry-After': '0' }, { status: 'pending', links }], finished],
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ order: {} })
    expect(seen('GET /status/1/events')).toHaveLength(1)
    expect(seen('GET /status/1')).toHaveLength(2)
  })

  test('that has a Retry-After is requested again after that time', async () => {
    const { url, requests } = await script({
      'GET /status/1/events': () => [503, { 'Retry-After': '1' }],
      'GET /status/1': finished,
    })
    await fetchAndWait(`${url}/orders`, POST)
    expect(Number(requests[2]?.at) - Number(requests[1]?.at)).toBeGreaterThanOrEqual(990)
  })

  test('that breaks again and again without news is replaced by polls', async () => {
    const { url, seen } = await script({
      'GET /status/1/events': (_, response) => {
        response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Retry-After': '0' }).end(': nothing\n\n')
      },
      'GET /status/1': finished,
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ order: {} })
    expect(seen('GET /status/1/events').length).toBeLessThan(5)
  })

  test('ends with the signal', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const { url } = await script({
      'GET /status/1/events': (_, response) => {
        open(response, event(1, 'running'))
        response.on('close', resolve)
      },
    })
    const stop = new AbortController()
    const wait = fetchAndWait(
      `${url}/orders`,
      { ...POST, signal: stop.signal },
      () => void setTimeout(() => stop.abort('enough')),
    )
    await expect(wait).rejects.toBe('enough')
    await closed
  })

  test('is closed when the callback throws', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const { url } = await script({
      'GET /status/1/events': (_, response) => {
        open(response, event(1, 'running'))
        response.on('close', resolve)
      },
    })
    const wait = fetchAndWait(`${url}/orders`, POST, () => Promise.reject(new Error('oops')))
    await expect(wait).rejects.toThrow('oops')
    await closed
  })

  test('may carry other events', async () => {
    const log = 'event: log\nid: 1\ndata: packing\n\n'
    const { url } = await script({ 'GET /status/1/events': stream(log, event(2, 'completed')) })
    const statuses: unknown[] = []
    await fetchAndWait(`${url}/orders`, POST, ({ status }) => statuses.push(status))
    expect(statuses).toEqual(['completed'])
  })
})

describe('the long poll', () => {
  const body = { status: 'running', progress: { fraction: 0.5 } }
  const tagged = { 'Retry-After': '0', ETag: '"1"' }

  test('is requested once a response has an ETag, and a 304 repeats the status', async () => {
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': [
        () => [200, tagged, body],
        () => [304, tagged],
        () => [200, { ...tagged, ETag: '"2"' }, { status: 'running' }],
        finished,
      ],
    })
    const documents: unknown[] = []
    await fetchAndWait(`${url}/orders`, POST, async ({ response }) => documents.push(await response.json()))
    expect(documents).toEqual([body, body, { status: 'running' }])
    const asked = seen('GET /status/1').map(({ headers }) => [headers['if-none-match'], headers.prefer])
    expect(asked).toEqual([
      [undefined, undefined],
      ['"1"', 'wait=30'],
      ['"1"', 'wait=30'],
      ['"2"', 'wait=30'],
    ])
  })

  test('is requested again at once if the server supports it', async () => {
    const held = { 'Retry-After': '60', ETag: '"2"', 'Preference-Applied': 'wait=30' }
    const { url } = await script({
      'POST /orders': accepted,
      'GET /status/1': [() => [200, tagged, body], () => [200, held, body], finished],
    })
    const delays: number[] = []
    const onStatusPoll = ({ retryAfter }: StatusPoll) => delays.push(retryAfter)
    expect(await fetchAndWait(`${url}/orders`, POST, onStatusPoll)).toMatchObject({ order: {} })
    expect(delays).toEqual([0, 0])
  })

  test('obeys Retry-After if the server does not support it', async () => {
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': [() => [200, tagged, body], () => [304, { 'Retry-After': '1', ETag: '"1"' }], finished],
    })
    await fetchAndWait(`${url}/orders`, POST)
    const [, second, third] = seen('GET /status/1').map(({ at }) => at)
    expect(Number(third) - Number(second)).toBeGreaterThanOrEqual(990)
  })
})
