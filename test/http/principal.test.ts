/** The caller, and what becomes of requests that do not say: the same on every server. */
import { describe, expect } from 'vitest'
import { ProblemError } from 'waybill'
import type { Principal } from '../../src/http/principal.ts'
import { ordersWith } from '../support/order-server.ts'
import { idOf, postJson, SERVERS } from '../support/servers.ts'
import { KeptLog, test } from '../support/waybill.ts'

const type = ordersWith()
const ORDER = { wish: 'complete' }

/** As verifiers of tokens throw: nothing but a message and a code. */
class TokenError extends Error {
  readonly code = 'ERR_JWT_EXPIRED'
}

/** What `principal` makes of the header `x-user`, by name, and what the request is answered with. */
const CASES: Record<string, { who: () => unknown; status: number; code?: string; logged?: 'warn' | 'error' }> = {
  nothing: { who: () => undefined, status: 401, code: 'unauthenticated' },
  null: { who: () => null, status: 401, code: 'unauthenticated' },
  'the empty text': { who: () => '', status: 401, code: 'unauthenticated' },
  'a string with a NUL character': { who: () => 'a\0b', status: 401, code: 'unauthenticated', logged: 'warn' },
  'a string with half of a surrogate pair': {
    who: () => '\ud800',
    status: 401,
    code: 'unauthenticated',
    logged: 'warn',
  },
  'what is not a string': { who: () => 42, status: 401, code: 'unauthenticated', logged: 'warn' },
  'an error as of a verifier of tokens': {
    who: () => raise(new TokenError('"exp" claim timestamp check failed: a secret')),
    status: 401,
    code: 'unauthenticated',
    logged: 'warn',
  },
  'a rejection': {
    who: async () => raise(new Error('a secret')),
    status: 401,
    code: 'unauthenticated',
    logged: 'warn',
  },
  'something thrown that is not an error': {
    who: () => raise('a secret'),
    status: 401,
    code: 'unauthenticated',
    logged: 'warn',
  },
  'an error with statusCode 401': {
    who: () => raise(Object.assign(new Error('a secret'), { statusCode: 401 })),
    status: 401,
    code: 'unauthenticated',
    logged: 'warn',
  },
  'an error with status 403': {
    who: () => raise(Object.assign(new Error('a secret'), { status: 403 })),
    status: 403,
    code: 'forbidden',
    logged: 'warn',
  },
  'an error with statusCode 400': {
    who: () => raise(Object.assign(new Error('a secret'), { statusCode: 400 })),
    status: 500,
    code: 'internal-error',
    logged: 'error',
  },
  'an error with status 503': {
    who: () => raise(Object.assign(new Error('a secret'), { status: 503 })),
    status: 500,
    code: 'internal-error',
    logged: 'error',
  },
  'a fault of its own': {
    who: () => raise(new TypeError('a secret')),
    status: 500,
    code: 'internal-error',
    logged: 'error',
  },
  'a connection that is refused': {
    who: () => fetch('http://127.0.0.1:1/keys'),
    status: 500,
    code: 'internal-error',
    logged: 'error',
  },
  'an error of the system': {
    who: () => raise(Object.assign(new Error('a secret'), { syscall: 'connect', code: 'ECONNREFUSED' })),
    status: 500,
    code: 'internal-error',
    logged: 'error',
  },
  'a time that is up': {
    who: () => raise(new DOMException('a secret', 'TimeoutError')),
    status: 500,
    code: 'internal-error',
    logged: 'error',
  },
  'a problem with 401': {
    who: () => raise(new ProblemError({ status: 401, title: 'Who are you?', code: 'unknown' })),
    status: 401,
    code: 'unknown',
  },
  'a problem with 429': { who: () => raise(new ProblemError({ status: 429, title: 'Slowly' })), status: 429 },
  'a problem with 503': {
    who: () => raise(new ProblemError({ status: 503, title: 'The directory is away' }, { retryAfter: 5000 })),
    status: 503,
    logged: 'error',
  },
}

function raise(error: unknown): never {
  throw error
}

describe.each(Object.entries(SERVERS))('on %s', (_, door) => {
  for (const [name, { who, status, code, logged }] of Object.entries(CASES)) {
    test(`a principal that returns or throws ${name} gives ${status}`, async ({ lab }) => {
      const logger = new KeptLog()
      const waybill = await lab.waybill([type], { logger })
      const api = await door(lab, waybill, { who: who as () => Principal, cors: { origins: '*' } })
      const answer = await api.ask('/orders', postJson(ORDER, { origin: 'https://app.example.com' }))
      const body = await answer.text()
      expect([answer.status, JSON.parse(body).code]).toEqual([status, code])
      expect(JSON.parse(body)).toMatchObject({ status, title: expect.any(String) })
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer' : null)
      expect(answer.headers.get('retry-after')).toBe(status === 503 ? '5' : null)
      expect(answer.headers.get('access-control-allow-origin')).toBe('*')
      expect(body).not.toContain('secret')
      expect(logger.lines.map(({ level }) => level)).toEqual(logged === undefined ? [] : [logged])
      expect(await waybill.store.browse({ limit: 10 })).toMatchObject({ operations: [] })
    })
  }

  test('a refusal applies to every route of operations, and the other routes are public', async ({ lab }) => {
    const waybill = await lab.waybill([type])
    const options = { byHeader: true, listing: true, exposeAttempts: true, challenge: 'Basic realm="orders"' }
    const api = await door(lab, waybill, options)
    const id = await idOf(api.ask('/orders', postJson(ORDER, { 'x-user': 'ann' })))
    for (const path of ['/orders', `/orders/status/${id}`, `/orders/${id}`, `/operations/${id}`]) {
      const answer = await api.ask(path)
      expect([path, answer.status]).toEqual([path, 401])
      expect(answer.headers.get('www-authenticate')).toBe('Basic realm="orders"')
    }
    const head = await api.ask(`/orders/status/${id}`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([401, ''])
    for (const path of ['/healthz', '/readyz', '/metrics', '/docs']) expect((await api.ask(path)).status).toBe(200)
  })

  test('the description has 401 and 403 only if the API has a principal', async ({ lab }) => {
    const waybill = await lab.waybill([type])
    for (const byHeader of [true, false]) {
      const api = await door(lab, waybill, { byHeader })
      const { paths } = await (await api.ask('/openapi.json')).json()
      const { responses } = paths['/orders'].post
      expect(['401' in responses, '403' in responses]).toEqual([byHeader, byHeader])
      if (byHeader) expect(responses['401'].headers).toHaveProperty('WWW-Authenticate')
    }
  })
})
