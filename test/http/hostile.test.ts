import { connect } from 'node:net'
import type { FastifyServerOptions } from 'fastify'
import { describe, expect } from 'vitest'
import { defineOperation } from 'waybill'
import { z } from 'zod'
import { accepted, countOf, exchange, listen, problemOf, type Served, serve } from '../support/http.ts'
import { type TestContext, test, until } from '../support/waybill.ts'

const anything = defineOperation({ name: 'anything' })
const strict = defineOperation({ name: 'strict', input: z.strictObject({ name: z.string() }) })
const types = [anything, strict]

async function postText({ app }: Served, url: string, payload: string | Buffer, headers: Record<string, string> = {}) {
  return await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', ...headers } })
}

async function isEmpty({ store }: Served): Promise<boolean> {
  const counts = await Promise.all(types.map(type => countOf(store, type)))
  return counts.every(count => count === 0)
}

describe('bodies', () => {
  const refused: [name: string, body: string | Buffer, code: string][] = [
    ['100,000 nested arrays', '['.repeat(100_000) + ']'.repeat(100_000), 'invalid-json'],
    ['100,000 nested objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 'invalid-json'],
    ['100,000 arrays that are never closed', '['.repeat(100_000), 'invalid-json'],
    ['101 levels', '['.repeat(101) + ']'.repeat(101), 'invalid-json'],
    ['a key that poisons prototypes', '{"__proto__": {"admin": true}}', 'invalid-json'],
    ['such a key in depth', '{"a": [{"__proto__": 1}]}', 'invalid-json'],
    ['such a key with escapes', '{"\\u005f_proto__": 1}', 'invalid-json'],
    ['a constructor that poisons prototypes', '{"constructor": {"prototype": {"admin": true}}}', 'invalid-json'],
    ['a truncated body', '{"name": "x', 'invalid-json'],
    ['two values', '{}{}', 'invalid-json'],
    ['raw control characters', '"\u0000"', 'invalid-json'],
    ['half an escape', '"\\u12"', 'invalid-json'],
    ['UTF-16', Buffer.from('{"name":"x"}', 'utf16le'), 'invalid-json'],
    ['white space alone', ' \n\t ', 'invalid-json'],
    ['a number without end', '-', 'invalid-json'],
  ]
  for (const [name, body, code] of refused) {
    test(`${name}: 400, and nothing is stored`, async ({ lab }) => {
      const served = await serve(lab, types)
      const response = await postText(served, '/anything', body)
      expect([response.statusCode, problemOf(response).code]).toEqual([400, code])
      expect(await isEmpty(served)).toBe(true)
    })
  }

  test('bytes that are no UTF-8: 400, and nothing is stored', async ({ lab }) => {
    const served = await serve(lab, types)
    const port = await listen(served)
    const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff, 0xfe, 0xc0]), Buffer.from('"}')])
    const head = `POST /strict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    const answer = await exchange(port, Buffer.concat([Buffer.from(head), body]), { end: true })
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*application\/problem\+json/)
    expect(await isEmpty(served)).toBe(true)
  })

  test('values of every wrong type: 400 with what is wrong, and nothing is stored', async ({ lab }) => {
    const served = await serve(lab, types)
    const extra = '{"name": "x", "toString": 1}'
    for (const body of ['null', 'true', '0', '"x"', '[]', '{}', '{"name": 1}', '{"name": ["x"]}', extra]) {
      const response = await postText(served, '/strict', body)
      expect([body, response.statusCode]).toEqual([body, 400])
      expect(problemOf(response).errors?.length).toBeGreaterThan(0)
    }
    expect(await isEmpty(served)).toBe(true)
  })

  test('thousands of errors give a response of bounded size', async ({ lab }) => {
    const many = defineOperation({ name: 'anything', input: z.array(z.string()) })
    const served = await serve(lab, [many])
    const response = await postText(served, '/anything', JSON.stringify(new Array(50_000).fill(1)))
    expect(response.statusCode).toBe(400)
    expect(response.body.length).toBeLessThan(20_000)
  })

  test('a body over the limit: 413, declared or in chunks, and nothing is stored', async ({ lab }) => {
    const served = await serve(lab, types)
    const port = await listen(served)
    const declared =
      'POST /anything HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n'
    expect(await exchange(port, declared, { end: false })).toMatch(/^HTTP\/1\.1 413 [\s\S]*body-too-large/)
    const chunk = `20000\r\n${' '.repeat(0x20000)}\r\n`
    const head =
      'POST /anything HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
    expect(await exchange(port, head + chunk.repeat(12), { end: false })).toMatch(/^HTTP\/1\.1 413 /)
    expect(await isEmpty(served)).toBe(true)
  })

  const kept: [name: string, body: string][] = [
    ['lone surrogates', '"\\ud800 \\udfff"'],
    ['escaped NUL', '"\\u0000"'],
    ['a byte order mark', '\ufeff"x"'],
    ['emoji, combining marks and right-to-left text', '"👩‍👩‍👧‍👦 Z̸̡͔a̷l̷g̷o̷ \u202eابجد"'],
    ['the deepest nesting that is allowed', '['.repeat(100) + ']'.repeat(100)],
    ['numbers beyond what a double holds', '[1e999, 123456789012345678901234567890, 5e-324]'],
    ['doubled keys', '{"a": 1, "a": 2}'],
  ]
  for (const [name, body] of kept) {
    test(`${name}: accepted, and stored as they came`, async ({ lab }) => {
      const served = await serve(lab, types)
      const response = await postText(served, '/anything', body, { 'idempotency-key': 'k' })
      expect(response.statusCode).toBe(202)
      const { id } = response.json<{ id: string }>()
      expect(await served.store.readPayload(id, 'input')).toBe(body)
      expect((await postText(served, '/anything', body, { 'idempotency-key': 'k' })).json()).toMatchObject({ id })
    })
  }
})

describe('ids', () => {
  const ids = [
    'x',
    '0',
    '../../etc/passwd',
    '%2e%2e%2f%2e%2e%2f',
    'a%2Fb',
    '%00',
    '%ff',
    '%',
    '%u0041',
    "'; DROP TABLE operations; --",
    '__proto__',
    'constructor',
    'ünïcödé',
    '👻',
    '*',
    ':id',
    '00000000-0000-0000-0000-000000000000',
    'x'.repeat(99),
    'x'.repeat(101),
    'x'.repeat(8000),
  ]
  for (const path of ['/anything/status/', '/anything/', '/operations/']) {
    for (const method of ['GET', 'DELETE', 'POST'] as const) {
      test(`that are invalid give 4xx problems: ${method} ${path}`, async ({ lab }) => {
        const served = await serve(lab, types)
        const id = await accepted(served, '/anything')
        for (const bad of ids) {
          const url = path + (bad.includes('%') ? bad : encodeURIComponent(bad))
          const response = await served.app.inject({ method, url })
          expect([400, 404, 405, 414]).toContain(response.statusCode)
          // What the server itself refuses (an escape that is none, a part over 100 characters) never reaches the API.
          if (!/%(?![0-9a-f]{2})|%ff/.test(bad) && bad.length <= 100) problemOf(response)
        }
        expect(await countOf(served.store, anything)).toBe(1)
        expect((await served.store.read(id))?.status).toBe('pending')
      })
    }
  }
})

describe('headers', () => {
  test('of unusual kinds neither break a response nor are echoed', async ({ lab }) => {
    const served = await serve(lab, types)
    const id = await accepted(served, '/anything')
    const odd = [
      '',
      ',',
      ',,,',
      ';',
      '=',
      '"',
      '"""',
      '*',
      'W/',
      'W/"',
      '\u00ff',
      'x'.repeat(8000),
      '-1',
      '1e9',
      'wait=1;wait=2',
    ]
    const names = [
      'if-none-match',
      'prefer',
      'accept',
      'last-event-id',
      'traceparent',
      'webhook-url',
      'origin',
      'range',
    ]
    for (const name of names) {
      for (const value of odd) {
        const response = await served.app.inject({ url: `/anything/status/${id}`, headers: { [name]: value } })
        expect([200, 304]).toContain(response.statusCode)
      }
    }
  })

  test('that the server does not accept are refused, and nothing is stored', async ({ lab }) => {
    const served = await serve(lab, types)
    const port = await listen(served)
    const post = (lines: string) => `POST /anything HTTP/1.1\r\nHost: x\r\n${lines}\r\n{}`
    const type = 'Content-Type: application/json\r\n'
    const cases: [string, RegExp][] = [
      [post(`${type}Content-Length: 2\r\nX-Big: ${'x'.repeat(100_000)}\r\n`), /^HTTP\/1\.1 431 /],
      [post(`${type}Content-Length: 2\r\n${'X-Many: 1\r\n'.repeat(20_000)}`), /^HTTP\/1\.1 431 /],
      [post(`${type}Content-Length: 2\r\nContent-Length: 3\r\n`), /^HTTP\/1\.1 400 /],
      [post(`${type}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n`), /^HTTP\/1\.1 400 /],
      [post(`${type}Content-Length: two\r\n`), /^HTTP\/1\.1 400 /],
      [post(`${type}Content-Length: -2\r\n`), /^HTTP\/1\.1 400 /],
      [post(`${type}Transfer-Encoding: gzip\r\n`), /^HTTP\/1\.1 4\d\d /],
      [post(`${type}No colon here\r\n`), /^HTTP\/1\.1 400 /],
      [post(`${type}Content-Length: 2\r\nContent-Type: text/plain\r\nX: \u0000\r\n`), /^HTTP\/1\.1 400 /],
      ['POST /anything HTTP/9.9\r\n\r\n', /^HTTP\/1\.1 4\d\d /],
      ['\u0016\u0003\u0001\u0002\u0000 a TLS hello', /^HTTP\/1\.1 400 /],
    ]
    for (const [bytes, expected] of cases) {
      expect([bytes.slice(0, 200), await exchange(port, bytes, { end: true })]).toEqual([
        bytes.slice(0, 200),
        expect.stringMatching(expected),
      ])
    }
    expect(await isEmpty(served)).toBe(true)
    await accepted(served, '/anything')
  })

  test('that occur twice count as one or are refused, and never make two operations', async ({ lab }) => {
    const served = await serve(lab, types)
    const port = await listen(served)
    const head =
      'POST /anything HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nContent-Type: application/json\r\n'
    for (const [first, second] of [
      ['"a"', '"b"'],
      ['"a"', '"a"'],
      ['a', 'a'],
    ]) {
      const twice = `${head}Idempotency-Key: ${first}\r\nIdempotency-Key: ${second}\r\n\r\n{}`
      expect(await exchange(port, twice, { end: true })).toMatch(/^HTTP\/1\.1 400 [\s\S]*invalid-idempotency-key/)
    }
    expect(await isEmpty(served)).toBe(true)
  })
})

describe('connections', () => {
  // Fastify's own `requestTimeout` comes too late for Node to hold bodies to it, and Node looks every 30 s unless it is told otherwise.
  const http = { requestTimeout: 300, connectionsCheckingInterval: 50 }
  const impatient = { requestTimeout: 300, http } as FastifyServerOptions
  const head = 'POST /anything HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'

  const truncated: [name: string, bytes: string][] = [
    ['in the request line', 'POST /any'],
    ['in the headers', head],
    ['in the body', `${head}Content-Length: 100\r\n\r\n{"name":`],
    ['in a chunk', `${head}Transfer-Encoding: chunked\r\n\r\n10\r\n{"na`],
    ['before the last chunk', `${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n`],
  ]
  for (const [name, bytes] of truncated) {
    test(`that end ${name} store nothing`, async ({ lab }) => {
      const served = await serve(lab, types)
      const answer = await exchange(await listen(served), bytes, { end: true })
      expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d |$)/)
      expect(await isEmpty(served)).toBe(true)
    })

    test(`that stall ${name} are closed by a time limit of the server`, async ({ lab }) => {
      const served = await serve(lab, types, { server: impatient })
      const answer = await exchange(await listen(served), bytes, { end: false })
      expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d |$)/)
      expect(await isEmpty(served)).toBe(true)
    })
  }

  test('that end by the hundred during their requests leave the server healthy', async ({ lab }) => {
    const served = await serve(lab, types)
    const port = await listen(served)
    await dropMany(lab, port, `${head}Content-Length: 100\r\n\r\n{"a`)
    await dropMany(lab, port, `${head}Content-Length: 2\r\nPrefer: wait=60\r\n\r\n{}`)
    await until(
      () => new Promise<boolean>(resolve => served.app.server.getConnections((_, count) => resolve(count === 0))),
    )
    const id = await accepted(served, '/anything')
    expect((await served.app.inject(`/anything/status/${id}`)).statusCode).toBe(200)
  })
})

/** Opens 100 connections, sends the bytes on each, and drops them all without reading. */
async function dropMany(lab: TestContext, port: number, bytes: string): Promise<void> {
  const sockets = Array.from({ length: 100 }, () => connect({ port, host: '127.0.0.1' }))
  lab.onEnd(() => sockets.forEach(socket => void socket.destroy()))
  await Promise.all(sockets.map(socket => new Promise(resolve => socket.write(bytes, resolve))))
  for (const socket of sockets) socket.resetAndDestroy()
}

test('unknown paths are 4xx for every method', async ({ lab }) => {
  const served = await serve(lab, types)
  for (const url of [
    '/anything/',
    '/anything//',
    '/anything/status',
    '/anything/status/',
    '/anything/a/b/c',
    '//',
    '/%',
  ]) {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD'] as const) {
      const response = await served.app.inject({ method, url })
      expect([method, url, Math.floor(response.statusCode / 100)]).toEqual([method, url, 4])
    }
  }
  expect(await isEmpty(served)).toBe(true)
})
