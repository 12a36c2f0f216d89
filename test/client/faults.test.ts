import { describe, expect, test } from 'vitest'
import { fetchAndWait, OperationError } from '../../src/client/client.ts'
import { errorOf, finished, POST, pending, result, startOperationScript as script } from '../support/article-server.ts'
import { withoutDelays } from '../support/client-delays.ts'

describe('a poll that fails', () => {
  test.each([408, 425, 429, 500, 502, 503, 504])('with %i is repeated', async code => {
    withoutDelays()
    const fails = () => [code, { 'Content-Type': 'text/html', 'Retry-After': '0' }, '<h1>Sorry</h1>'] as const
    const { url, seen } = await script({ 'GET /status/1': [pending, fails, fails, pending, finished] })
    const statuses: unknown[] = []
    const value = await fetchAndWait(`${url}/orders`, POST, ({ status }) => statuses.push(status))
    expect(value).toMatchObject({ status: 'completed' })
    expect(statuses).toEqual(['pending', 'pending'])
    expect(seen('GET /status/1')).toHaveLength(5)
  })

  test('with a problem is not the failure of the operation', async () => {
    withoutDelays()
    const problem = { type: 'about:blank', title: 'The store is away', status: 500 }
    const fails = () => [500, { 'Content-Type': 'application/problem+json', 'Retry-After': '0' }, problem] as const
    const { url } = await script({ 'GET /status/1': [fails, fails, fails, fails, finished] })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
  })

  test('by a network error, or in the middle of its body, is repeated after a delay', async () => {
    const delays = withoutDelays()
    const { url } = await script({
      'GET /status/1': [
        (_, response) => void response.destroy(),
        (_, response) => {
          response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' })
          response.write('{"status":', () => response.destroy())
        },
        finished,
      ],
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
    const [first, second] = delays.filter(ms => ms > 1)
    expect(first).toBeGreaterThanOrEqual(250)
    expect(second).toBeGreaterThanOrEqual(500)
  })

  test('too often in a row ends the wait with the last response', async () => {
    withoutDelays()
    const { url, seen } = await script({ 'GET /status/1': () => [503, { 'Retry-After': '0' }, { title: 'Away' }] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'unreachable', problem: { title: 'Away', status: 503 } })
    expect(error.statusUrl).toBe(`${url}/status/1`)
    expect(await error.response?.json()).toEqual({ title: 'Away' })
    expect(seen('GET /status/1').length).toBeGreaterThan(9)
  })

  test.each([404, 410])('with %i ends the wait', async code => {
    const { url, seen } = await script({ 'GET /status/1': [pending, () => [code]] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'gone', problem: { status: code }, response: { status: code } })
    expect(error).not.toBeInstanceOf(OperationError)
    expect(seen('GET /status/1')).toHaveLength(2)
  })

  test.each([400, 401, 403])('with %i ends the wait, and is not the failure of the operation', async code => {
    const { url } = await script({ 'GET /status/1': () => [code, {}, { title: 'No' }] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'refused', problem: { title: 'No', status: code } })
    expect(error).not.toBeInstanceOf(OperationError)
  })
})

describe('a result that fails', () => {
  test('with 503 is requested again, but the status is not', async () => {
    withoutDelays()
    const fails = () => [503, { 'Retry-After': '0' }, 'Sorry'] as const
    const { url, seen } = await script({ 'GET /status/1': finished, 'GET /orders/1': [fails, fails, result] })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
    expect(seen('GET /status/1')).toHaveLength(1)
  })

  test('with the same 500 several times is the failure of the operation', async () => {
    withoutDelays()
    const problem = { type: 'about:blank', title: 'Out of paint', status: 500 }
    const { url } = await script({
      'GET /status/1': finished,
      'GET /orders/1': () => [500, { 'Retry-After': '0' }, problem],
    })
    expect(await errorOf(fetchAndWait(`${url}/orders`, POST))).toMatchObject({ code: 'failed', problem })
  })
})

describe('Retry-After', () => {
  async function gaps(...headers: (string | undefined)[]): Promise<{ gaps: number[]; told: number[] }> {
    const { url, requests } = await script({
      'GET /status/1': [
        ...headers.map(
          value => () => [200, value === undefined ? {} : { 'Retry-After': value }, { status: 'pending' }] as const,
        ),
        finished,
      ],
    })
    const told: number[] = []
    await fetchAndWait(`${url}/orders`, POST, ({ retryAfter }) => told.push(retryAfter))
    const polls = requests.filter(({ path }) => path === '/status/1')
    return { told, gaps: polls.slice(1).map(({ at }, i) => at - Number(polls[i]?.at)) }
  }

  test('of the 202 delays the first poll', async () => {
    const { url, requests } = await script({
      'POST /orders': () => [202, { Location: '/status/1', 'Retry-After': '1' }],
      'GET /status/1': finished,
    })
    await fetchAndWait(`${url}/orders`, POST)
    expect(Number(requests[1]?.at) - Number(requests[0]?.at)).toBeGreaterThanOrEqual(990)
  })

  test('in seconds delays the next poll, and 0 does not', async () => {
    const {
      gaps: [zero, one],
      told,
    } = await gaps('0', '1')
    expect(zero).toBeLessThan(Number(one))
    expect(one).toBeGreaterThanOrEqual(990)
    expect(told).toEqual([0, 1])
  })

  test('as a date in the past delays nothing', async () => {
    const { told } = await gaps('Wed, 21 Oct 2015 07:28:00 GMT')
    expect(told).toEqual([0])
  })

  test('as a date in the future delays the next poll', async () => {
    const {
      told,
      gaps: [gap],
    } = await gaps(new Date(Date.now() + 1500).toUTCString())
    expect(told[0]).toBeGreaterThan(0)
    // Both dates are whole seconds, and the server may take that of its answer from a second before.
    expect(told[0]).toBeLessThanOrEqual(3)
    expect(gap).toBeGreaterThanOrEqual(Number(told[0]) * 1000 - 10)
  })

  test('that is missing or invalid is replaced by a short, growing delay', async () => {
    const { told } = await gaps(undefined, 'soon')
    expect(told[0]).toBeGreaterThanOrEqual(0.25)
    expect(told[1]).toBeGreaterThanOrEqual(0.5)
    expect(told[1]).toBeLessThanOrEqual(1)
  })

  test('that is huge counts as an hour', async () => {
    const { url, seen } = await script({
      'GET /status/1': () => [200, { 'Retry-After': '1000000000' }, { status: 'pending' }],
    })
    const stop = new AbortController()
    const told: number[] = []
    const wait = fetchAndWait(`${url}/orders`, { ...POST, signal: stop.signal }, ({ retryAfter }) => {
      told.push(retryAfter)
      setTimeout(() => stop.abort('enough'), 50)
    })
    await expect(wait).rejects.toBe('enough')
    expect(seen('GET /status/1')).toHaveLength(1)
    expect(told).toEqual([3600])
  })
})

describe('the end of a wait', () => {
  test('by the signal rejects with its reason, and does not cancel the operation', async () => {
    const stop = new AbortController()
    const { url, requests } = await script({
      'GET /status/1': () => [200, { 'Retry-After': '60' }, { status: 'pending' }],
    })
    const wait = fetchAndWait(`${url}/orders`, { ...POST, signal: stop.signal }, () => stop.abort('enough'))
    await expect(wait).rejects.toBe('enough')
    await new Promise(resolve => setTimeout(resolve, 30))
    expect(requests.map(({ method }) => method)).toEqual(['POST', 'GET'])
  })

  test('by the signal of a Request works too', async () => {
    const stop = new AbortController()
    const { url } = await script({ 'GET /status/1': () => [200, { 'Retry-After': '60' }, { status: 'pending' }] })
    const wait = fetchAndWait(new Request(`${url}/orders`, { ...POST, signal: stop.signal }), () =>
      stop.abort('enough'),
    )
    await expect(wait).rejects.toBe('enough')
  })

  test('before its beginning sends nothing', async () => {
    const { url, requests } = await script({})
    const wait = fetchAndWait(`${url}/orders`, { ...POST, signal: AbortSignal.abort('early') })
    await expect(wait).rejects.toBe('early')
    expect(requests).toHaveLength(0)
  })

  test('does not wait for a poll that hangs', async () => {
    const { url } = await script({ 'GET /status/1': [pending, () => {}] })
    const stop = new AbortController()
    setTimeout(() => stop.abort('enough'), 60)
    await expect(fetchAndWait(`${url}/orders`, { ...POST, signal: stop.signal })).rejects.toBe('enough')
  })

  test('does not wait for a callback that hangs', async () => {
    const { url } = await script({ 'GET /status/1': pending })
    const again = new AbortController()
    const hangs = () => {
      again.abort('enough')
      return new Promise(() => {})
    }
    await expect(fetchAndWait(`${url}/orders`, { ...POST, signal: again.signal }, hangs)).rejects.toBe('enough')
  })

  test('with cancelOnAbort requests a cancel, with the credentials, and does not wait for the response', async () => {
    const { promise: canceled, resolve } = Promise.withResolvers<unknown>()
    const { url } = await script({
      'GET /status/1': () => [200, { 'Retry-After': '60' }, { status: 'pending' }],
      'DELETE /status/1': request => void resolve(request.headers.authorization),
    })
    const stop = new AbortController()
    const init = { ...POST, headers: { Authorization: 'Bearer t' }, signal: stop.signal, cancelOnAbort: true }
    await expect(fetchAndWait(`${url}/orders`, init, () => stop.abort('enough'))).rejects.toBe('enough')
    expect(await canceled).toBe('Bearer t')
  })

  test('with cancelOnAbort during the first request cancels the operation that it creates', async () => {
    const { promise: canceled, resolve } = Promise.withResolvers<void>()
    const { promise: answer, resolve: goOn } = Promise.withResolvers<void>()
    const stop = new AbortController()
    const { url, seen } = await script({
      'POST /orders': async (_, response) => {
        stop.abort('enough')
        await answer
        response.writeHead(202, { Location: '/status/1' }).end()
      },
      'DELETE /status/1': () => {
        resolve()
        return [200]
      },
    })
    const init = { ...POST, signal: stop.signal, cancelOnAbort: true }
    await expect(fetchAndWait(`${url}/orders`, init)).rejects.toBe('enough')
    goOn()
    await canceled
    expect(seen('GET /status/1')).toHaveLength(0)
  })

  test('by the timeout rejects with the status URL, at which it can be resumed', async () => {
    const { url } = await script({ 'GET /status/1': () => [200, { 'Retry-After': '60' }, { status: 'pending' }] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, { ...POST, timeout: 3000 }))
    expect(error).toMatchObject({ code: 'timed-out', statusUrl: `${url}/status/1` })
    expect(error.message).toBe(`timed-out: ${url}/status/1`)
  })

  test('by the timeout, before the first response', async () => {
    const { url } = await script({ 'POST /orders': () => {} })
    expect(await errorOf(fetchAndWait(`${url}/orders`, { ...POST, timeout: 50 }))).toMatchObject({
      code: 'timed-out',
    })
  })

  test('is not caused by a timeout that is longer than any timer', async () => {
    const { url } = await script({ 'GET /status/1': [pending, finished] })
    const value = await fetchAndWait(`${url}/orders`, { ...POST, timeout: Number.POSITIVE_INFINITY })
    expect(value).toMatchObject({ status: 'completed' })
  })
})
