import { describe, expect } from 'vitest'
import { corsHeaders } from '../../src/http/cors.ts'
import { orders } from '../support/order-server.ts'
import { postJson, SERVERS, type ServerOptions } from '../support/servers.ts'
import { type TestContext, test } from '../support/waybill.ts'

const APP = 'https://app.example.com'
const named = { cors: { origins: [APP, 'https://other.example.com'], credentials: true } } as const

async function openTo(lab: TestContext, name: string, options: ServerOptions) {
  const open = SERVERS[name]
  if (open === undefined) throw new Error(`There is no ${name}.`)
  return await open(lab, await lab.waybill([orders]), options)
}

function corsOf(response: Response): Record<string, string> {
  return Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('access-control-')))
}

describe.each(Object.keys(SERVERS))('over %s', name => {
  test('every response, also a refusal, tells an allowed origin what it may read', async ({ lab }) => {
    const api = await openTo(lab, name, named)
    const json = postJson({ wish: 'complete' }, { origin: APP })
    const asks: [string, RequestInit, number][] = [
      ['/orders', json, 202],
      ['/orders', postJson({}, { origin: APP }), 400],
      ['/orders', { method: 'POST', body: 'text', headers: { origin: APP, 'content-type': 'text/plain' } }, 415],
      ['/orders', { ...json, body: ' '.repeat(2 ** 21) }, 413],
      ['/orders/status/x', { headers: { origin: APP } }, 404],
      ['/orders/status/x', { method: 'PUT', headers: { origin: APP } }, 405],
      ['/healthz', { headers: { origin: APP } }, 200],
    ]
    for (const [path, init, status] of asks) {
      const answer = await api.ask(path, init)
      expect([path, answer.status]).toEqual([path, status])
      expect([path, status, answer.headers.get('vary')]).toEqual([path, status, expect.stringMatching(/\bOrigin$/)])
      expect(corsOf(answer)).toEqual({
        'access-control-allow-origin': APP,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': expect.stringContaining('Operation-Location'),
      })
      await answer.body?.cancel()
    }
  })

  test('a preflight allows the methods and the headers of the contract, and is not counted as a request', async ({
    lab,
  }) => {
    const cors = { ...named.cors, allowHeaders: ['X-Api-Key'] }
    const api = await openTo(lab, name, { cors })
    for (const path of ['/orders', '/orders/status/x', '/orders/x', '/operations/x']) {
      const headers = { origin: APP, 'access-control-request-method': 'DELETE' }
      const answer = await api.ask(path, { method: 'OPTIONS', headers })
      expect([path, answer.status, await answer.text()]).toEqual([path, 204, ''])
      const { 'access-control-allow-methods': methods, 'access-control-allow-headers': allowed } = corsOf(answer)
      expect(methods).toBe('GET, POST, DELETE')
      const sent = ['Prefer', 'Idempotency-Key', 'If-Match', 'If-None-Match', 'Last-Event-ID', 'Webhook-Url']
      const ofMedia = ['Range', 'If-Range']
      for (const one of [...sent, ...ofMedia, 'traceparent', 'Authorization', 'X-Api-Key'])
        expect(allowed).toContain(one)
    }
  })

  test('a request without an allowed origin gets no CORS headers', async ({ lab }) => {
    const api = await openTo(lab, name, named)
    for (const origin of ['https://app.example.com.evil.example', 'null', 'http://app.example.com', undefined]) {
      const answer = await api.ask('/healthz', origin === undefined ? {} : { headers: { origin } })
      expect([answer.status, corsOf(answer)]).toEqual([200, {}])
      // A cache must not give the answer for one origin to another.
      expect(answer.headers.get('vary')).toContain('Origin')
    }
  })

  test('CORS is off by default', async ({ lab }) => {
    const api = await openTo(lab, name, {})
    const answer = await api.ask('/healthz', { headers: { origin: APP } })
    expect([corsOf(answer), answer.headers.get('vary')]).toEqual([{}, null])
  })
})

test('every origin can be allowed, but only without cookies', () => {
  const headersFor = corsHeaders({ origins: '*' })
  expect(headersFor({ headers: { origin: 'https://any.example.com' } })).toMatchObject({
    'Access-Control-Allow-Origin': '*',
  })
  expect(() => corsHeaders({ origins: '*', credentials: true })).toThrow(/credentials/)
})

test('scripts can read the response headers that they need', () => {
  const exposed = corsHeaders({ origins: '*' })({ headers: { origin: APP } })['Access-Control-Expose-Headers']
  expect(exposed?.split(', ')).toEqual([
    'Accept-Ranges',
    'Content-Disposition',
    'Content-Location',
    'Content-Range',
    'ETag',
    'Expires',
    'Idempotency-Replayed',
    'Link',
    'Location',
    'Operation-Location',
    'Preference-Applied',
    'Retry-After',
    'WWW-Authenticate',
    'X-Progress',
  ])
  const more = corsHeaders({ origins: '*', exposeHeaders: ['X-State'] })({ headers: { origin: APP } })
  expect(more['Access-Control-Expose-Headers']).toBe(`${exposed}, X-State`)
})
