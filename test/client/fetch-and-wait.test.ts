import { describe, expect, expectTypeOf, test } from 'vitest'
import { attach, fetchAndWait, OperationError, type StatusPoll } from '../../src/client/client.ts'
import {
  accepted,
  startArticleServer as article,
  errorOf,
  finished,
  POST,
  pending,
  result,
  startScriptedServer as script,
} from '../support/article-server.ts'

describe("the article's server", () => {
  test('gives the result, and each pending status to the callback', async () => {
    const { url } = await article({ polls: 3, retryAfter: 0 })
    const seen: unknown[] = []
    const order = await fetchAndWait(
      `${url}/orders`,
      {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ customer: 'Contoso' }),
      },
      async ({ response, retryAfter }) => {
        const { status } = await response.json()
        seen.push([status, retryAfter, response.url.startsWith(`${url}/orders/status/`)])
      },
    )
    expect(order).toMatchObject({
      status: 'completed',
      order: { customer: 'Contoso', completedAt: expect.any(String) },
    })
    expect(seen.map(String)).toEqual(['pending,0,true', 'pending,0,true', 'pending,0,true'])
  })

  test('rejects with the failed operation that the result URL answers with 500', async () => {
    const { url } = await article({ error: 'out of stock' })
    const error = await errorOf(
      fetchAndWait(`${url}/orders`, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } }),
    )
    expect(error).toBeInstanceOf(OperationError)
    expect(error).toMatchObject({ code: 'failed', id: expect.any(String) })
    expect(error.problem).toMatchObject({ title: 'out of stock', status: 500 })
    expect(await error.response?.json()).toMatchObject({ status: 'failed', error: 'out of stock' })
  })

  test('reports a failure without an error object', async () => {
    const { url } = await article({ error: null })
    const error = await errorOf(fetchAndWait(`${url}/orders`, { method: 'POST' }))
    expect(error).toMatchObject({ code: 'failed', problem: { status: 500, title: 'Internal Server Error' } })
  })

  test("compiles with the article's own usage", () => {
    const messagesDiv = { innerHTML: '' }
    const usage = async () => {
      const order = await fetchAndWait(
        '/orders',
        {
          method: 'POST',
          headers: {
            'Content-Type': 'application/json',
          },
          body: JSON.stringify({ customer: 'Contoso', items: [{ name: 'Apple', quantity: 5 }] }),
        },
        async ({ response, retryAfter }) => {
          const { status } = await response.json()
          const requestUrl = response.url
          messagesDiv.innerHTML += `Order status: ${status}; retrying in ${retryAfter} seconds (${requestUrl})\n`
        },
      )
      return JSON.stringify(order, null, 2)
    }
    expectTypeOf(usage).returns.resolves.toEqualTypeOf<string>()
    expectTypeOf(fetchAndWait<{ id: string }>).returns.resolves.toEqualTypeOf<{ id: string }>()
    expectTypeOf<StatusPoll['retryAfter']>().toEqualTypeOf<number>()
    const withoutInit = () => fetchAndWait('/orders', ({ status }) => status)
    const attached = () => attach(new URL('http://localhost/status/1'), { headers: {} }, () => {})
    expectTypeOf(withoutInit).returns.resolves.toEqualTypeOf<unknown>()
    expectTypeOf(attached).returns.resolves.toEqualTypeOf<unknown>()
  })
})

describe('the request', () => {
  test('with an immediate result resolves at once', async () => {
    const { url, requests } = await script({ 'POST /orders': result })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
    expect(requests).toHaveLength(1)
  })

  test('with an immediate failure, as with `Prefer: wait`, rejects with the operation', async () => {
    const problem = { type: '/problems/out-of-stock', title: 'Out of stock', status: 409 }
    const body = { id: '1', status: 'failed', error: problem }
    const { url } = await script({ 'POST /orders': () => [409, {}, body] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'failed', id: '1', problem })
  })

  test('that is refused rejects with the problem and the response, and is not repeated', async () => {
    const problem = { type: '/problems/draining', title: 'Draining', status: 503, detail: 'Come back later' }
    const { url, requests } = await script({
      'POST /orders': () => [503, { 'Content-Type': 'application/problem+json', 'Retry-After': '0' }, problem],
    })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'refused', problem, statusUrl: '' })
    expect(error).not.toBeInstanceOf(OperationError)
    expect(await error.response?.json()).toEqual(problem)
    expect(requests).toHaveLength(1)
  })

  test('that is refused in HTML leaves the body to the caller', async () => {
    const { url } = await script({ 'POST /orders': () => [404, { 'Content-Type': 'text/html' }, '<h1>Nowhere</h1>'] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'refused', problem: { status: 404, title: 'Not Found' } })
    expect(error.message).toBe(`refused: ${url}/orders: Not Found`)
    expect(await error.response?.text()).toBe('<h1>Nowhere</h1>')
  })

  test('that reaches no server rejects as fetch does', async () => {
    const { url, close } = await script({})
    await close()
    await expect(fetchAndWait(`${url}/orders`, POST)).rejects.toThrow(TypeError)
  })

  test('that is accepted without a Location rejects with no-location', async () => {
    const { url, requests } = await script({ 'POST /orders': () => [202] })
    expect(await errorOf(fetchAndWait(`${url}/orders`, POST))).toMatchObject({ code: 'no-location' })
    expect(requests).toHaveLength(1)
  })

  test('can be a Request with headers', async () => {
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': finished,
      'GET /orders/1': result,
    })
    const request = new Request(`${url}/orders`, { ...POST, headers: { 'X-Api-Key': 'k' } })
    await fetchAndWait(request, () => {})
    expect(seen('POST /orders')[0]?.body).toBe('{}')
    expect(seen('GET /status/1')[0]?.headers['x-api-key']).toBe('k')
  })

  test('uses the links of the 202 if another origin hides its Location', async () => {
    const links = { status: '/status/1', result: '/orders/1', operation: '/operations/1' }
    const { url } = await script({
      'POST /orders': () => [202, {}, { status: 'pending', links }],
      'GET /status/1': finished,
      'GET /orders/1': result,
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
  })
})

describe('the result', () => {
  const routes = { 'POST /orders': accepted, 'GET /status/1': finished }

  test('is undefined for 204', async () => {
    const { url } = await script({ ...routes, 'GET /orders/1': () => [204] })
    expect(await fetchAndWait(`${url}/orders`, POST)).toBeUndefined()
  })

  test('is parsed with any JSON media type', async () => {
    const type = { 'Content-Type': 'application/vnd.api+json; charset=utf-8' }
    const { url } = await script({ ...routes, 'GET /orders/1': () => [200, type, ['a']] })
    expect(await fetchAndWait(`${url}/orders`, POST)).toEqual(['a'])
  })

  test('is the unread Response if it is not JSON', async () => {
    const { url } = await script({ ...routes, 'GET /orders/1': () => [200, { 'Content-Type': 'text/csv' }, 'a,b'] })
    const response = await fetchAndWait<Response>(`${url}/orders`, POST)
    expect(response.headers.get('Content-Type')).toBe('text/csv')
    expect(await response.text()).toBe('a,b')
  })

  test('that answers 4xx with a problem is the failed operation', async () => {
    const problem = { type: 'about:blank', title: 'No such part', status: 422 }
    const type = { 'Content-Type': 'application/problem+json' }
    const { url } = await script({ ...routes, 'GET /orders/1': () => [422, type, problem] })
    expect(await errorOf(fetchAndWait(`${url}/orders`, POST))).toMatchObject({ code: 'failed', problem })
  })

  test('of a canceled operation rejects as canceled', async () => {
    const body = { id: '1', status: 'canceled', error: { title: 'Canceled', status: 410 } }
    const { url } = await script({ ...routes, 'GET /orders/1': () => [410, {}, body] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'canceled', problem: { title: 'Canceled' } })
  })

  test('that does not exist rejects', async () => {
    const { url } = await script({ ...routes, 'GET /orders/1': () => [404, {}, { message: 'Not here' }] })
    const error = await errorOf(fetchAndWait(`${url}/orders`, POST))
    expect(error).toMatchObject({ code: 'gone', problem: { detail: 'Not here' }, statusUrl: `${url}/status/1` })
  })

  test('may have a status of its own that says failed', async () => {
    const { url } = await script({ ...routes, 'GET /orders/1': () => [200, {}, { status: 'failed', score: 3 }] })
    expect(await fetchAndWait(`${url}/orders`, POST)).toEqual({ status: 'failed', score: 3 })
  })

  test('is fetched through redirects', async () => {
    const { url } = await script({
      ...routes,
      'GET /orders/1': () => [307, { Location: 'files/1' }],
      'GET /orders/files/1': () => [303, { Location: '/blob' }],
      'GET /blob': result,
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
  })
})

describe('credentials', () => {
  const headers = {
    Authorization: 'Bearer t',
    'X-Api-Key': 'k',
    'Content-Type': 'application/json',
    'Idempotency-Key': 'i',
    Prefer: 'wait=1',
  }

  test('are sent with polls and for the result, but the other headers of the request are not', async () => {
    const { url, requests } = await script({
      'POST /orders': accepted,
      'GET /status/1': [pending, finished],
      'GET /orders/1': result,
    })
    await fetchAndWait(`${url}/orders`, { ...POST, headers })
    const polls = requests.filter(({ method }) => method === 'GET')
    expect(polls).toHaveLength(3)
    for (const poll of polls) {
      expect(poll.headers).toMatchObject({ authorization: 'Bearer t', 'x-api-key': 'k' })
      for (const name of ['content-type', 'idempotency-key', 'prefer']) expect(poll.headers).not.toHaveProperty(name)
    }
  })

  test('are never sent to another origin, by Location, redirect or 303', async () => {
    const away = await script({
      'GET /status/1': [pending, () => [303, { Location: `${home()}/orders/1` }]],
      'GET /moved': () => [308, { Location: '/status/1' }],
    })
    const { url, seen } = await script({
      'POST /orders': () => [202, { Location: `${away.url}/moved` }],
      'GET /orders/1': () => [303, { Location: `${away.url}/result` }],
    })
    function home(): string {
      return url
    }
    const error = await errorOf(fetchAndWait(`${url}/orders`, { ...POST, headers }))
    expect(error.code).toBe('gone')
    expect(away.requests.map(({ path }) => path)).toEqual(['/moved', '/status/1', '/status/1', '/result'])
    for (const request of away.requests) {
      expect(request.headers).not.toHaveProperty('authorization')
      expect(request.headers).not.toHaveProperty('x-api-key')
    }
    expect(seen('GET /orders/1')[0]?.headers).toMatchObject({ authorization: 'Bearer t' })
  })
})

describe('the status URL', () => {
  test('a relative Location counts from the request, not from the origin', async () => {
    const { url, seen } = await script({
      'POST /v1/orders': () => [202, { Location: 'status/1' }],
      'GET /v1/status/1': () => [303, { Location: '../orders/1' }],
      'GET /v1/orders/1': result,
    })
    expect(await fetchAndWait(`${url}/v1/orders`, POST)).toMatchObject({ status: 'completed' })
    expect(seen('GET /v1/status/1')).toHaveLength(1)
  })

  test('a relative Location counts from the URL after a redirect of the request', async () => {
    const { url } = await script({
      'POST /orders': () => [307, { Location: '/v2/orders' }],
      'POST /v2/orders': () => [202, { Location: 'status/1' }],
      'GET /v2/status/1': () => [303, { Location: '/orders/1' }],
      'GET /orders/1': result,
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
  })

  test.each([301, 302, 307, 308])('a redirect %i of the infrastructure is not the end of the operation', async code => {
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': () => [code, { Location: '/status/1/' }],
      'GET /status/1/': [pending, pending, finished],
      'GET /orders/1': result,
    })
    const statuses: unknown[] = []
    const value = await fetchAndWait(`${url}/orders`, POST, ({ status }) => statuses.push(status))
    expect(value).toMatchObject({ status: 'completed' })
    expect(statuses).toEqual(['pending', 'pending'])
    expect(seen('GET /status/1')).toHaveLength(1)
  })

  test('an endless redirect ends the wait', async () => {
    const { url } = await script({
      'POST /orders': accepted,
      'GET /status/1': () => [308, { Location: '/status/1' }],
    })
    expect(await errorOf(fetchAndWait(`${url}/orders`, POST))).toMatchObject({ code: 'refused' })
  })

  test('attach resumes a wait at the URL from onAccepted, with the same credentials', async () => {
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': [pending, pending, finished],
      'GET /orders/1': result,
    })
    const stop = new AbortController()
    let statusUrl = ''
    const onAccepted = (told: string) => {
      statusUrl = told
      stop.abort('enough')
    }
    await expect(fetchAndWait(`${url}/orders`, { ...POST, onAccepted, signal: stop.signal })).rejects.toBe('enough')
    expect(seen('GET /status/1')).toHaveLength(0)
    const statuses: unknown[] = []
    const init = { ...POST, headers: { Authorization: 'Bearer t' } }
    const value = await attach(statusUrl, init, ({ status }) => statuses.push(status))
    expect(value).toMatchObject({ status: 'completed' })
    expect(statuses).toEqual(['pending', 'pending'])
    expect(seen('GET /status/1')[0]?.headers.authorization).toBe('Bearer t')
  })

  test('attach accepts the callback as its second argument', async () => {
    const { url } = await script({ 'GET /status/1': [pending, finished], 'GET /orders/1': result })
    const statuses: unknown[] = []
    await attach(new URL(`${url}/status/1`), ({ status }) => statuses.push(status))
    expect(statuses).toEqual(['pending'])
  })
})

describe('the callback', () => {
  test('that throws ends the wait with its error', async () => {
    const { url, requests } = await script({ 'POST /orders': accepted, 'GET /status/1': pending })
    const oops = new Error('oops')
    await expect(
      fetchAndWait(`${url}/orders`, POST, () => {
        throw oops
      }),
    ).rejects.toBe(oops)
    expect(requests).toHaveLength(2)
  })

  test('receives the status document', async () => {
    const document = { status: 'running', progress: { fraction: 0.5, message: 'packing' } }
    const { url } = await script({
      'POST /orders': accepted,
      'GET /status/1': [() => [200, { 'Retry-After': '0' }, document], finished],
      'GET /orders/1': result,
    })
    const polls: StatusPoll[] = []
    await fetchAndWait(`${url}/orders`, POST, poll => polls.push(poll))
    expect(polls).toMatchObject([{ status: 'running', retryAfter: 0, document }])
  })
})
