import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import { describe, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { z } from 'zod'
import { type Clock, drive, type Target, WEBHOOK_MS } from '../../src/cli/check/drive.ts'
import type { Exchange } from '../../src/cli/check/exchange.ts'
import { pointerOf, stateOf, unknownUrl } from '../../src/cli/check/reading.ts'
import type { Graded } from '../../src/cli/check/rule.ts'
import { gradeAll } from '../../src/cli/check/rules.ts'
import { startArticleServer, startScriptedServer } from '../support/article-server.ts'
import { waybill } from '../support/cli.ts'
import { freePort } from '../support/free-port.ts'
import { startAzureApi, startGoogleApi } from '../support/public-apis.ts'
import { type TestContext, test } from '../support/waybill.ts'

const reference = readFileSync(new URL('../../docs/reference/check.md', import.meta.url), 'utf8')

/** Lets no time pass: polls follow each other. */
const NO_WAIT: Clock = { now: () => 0, sleep: async () => {} }

async function grades(target: Partial<Target> & { url: string }, clock = NO_WAIT): Promise<Graded[]> {
  return gradeAll(
    await drive(
      { method: 'POST', headers: {}, timeoutMs: 60_000, answerTimeoutMs: 60_000, ...target },
      clock,
      () => {},
    ),
  )
}

/** The column of the table in the reference whose heading is `name`. */
function column(name: string): string[] {
  const rows = reference.split('\n').filter(line => /^\| (?:rule|\d+) \|/.test(line))
  const [head = [], ...cells] = rows.map(row => row.split('|').map(cell => cell.trim()))
  return cells.map(row => `${row[1]} ${row[head.indexOf(name)]}`)
}

const gradesOf = (graded: readonly Graded[]) => graded.map(({ number, grade }) => `${number} ${grade}`)
const findings = (graded: readonly Graded[], number: number) =>
  graded.find(it => it.number === number)?.findings.map(({ grade, says }) => `${grade}: ${says}`) ?? []

/** Waybill with everything turned on. An order waits until the check waits. */
async function startWaybillApi(lab: TestContext): Promise<{ url: string; clock: Clock }> {
  let go = Promise.withResolvers<void>()
  const orders = defineOperation({
    name: 'orders',
    input: z.object({ customer: z.string() }),
    allowWebhooks: true,
    attempts: 1,
  })
  const processor = handler(orders, async ({ customer }, job) => {
    if (customer === 'Nobody') throw new ProblemError({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
    const canceled = Promise.withResolvers<never>()
    job.signal.addEventListener('abort', () => canceled.reject(job.signal.reason))
    await Promise.race([go.promise, canceled.promise])
    return { packed: true }
  })
  const composed = await lab.waybill([orders], {
    worker: { handlers: [processor] },
    webhooks: {
      secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      allowHttp: true,
      allowPrivate: true,
      retries: ['10ms'],
      pollInterval: '20ms',
    },
  })
  const app = fastify({ forceCloseConnections: true })
  await app.register(plugin, {
    waybill: composed,
    principal: request => String(request.headers.authorization ?? ''),
    cors: { origins: '*' },
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  lab.onEnd(() => app.close())
  const sleep = async (ms: number) => {
    go.resolve()
    go = Promise.withResolvers()
    // Only a webhook is really waited for, and it comes.
    if (ms === WEBHOOK_MS) await new Promise(() => {})
  }
  return { url: `${url}/orders`, clock: { now: () => 0, sleep } }
}

describe('a check', () => {
  test('of Waybill finds no broken rule', async ({ lab }) => {
    const { url, clock } = await startWaybillApi(lab)
    const graded = await grades(
      { url, headers: { authorization: 'ann' }, invalid: '{"customer":1}', fail: '{"customer":"Nobody"}' },
      clock,
    )
    expect(graded.filter(({ grade }) => grade !== 'pass')).toEqual([])
    expect(gradesOf(graded)).toEqual(column('Waybill'))
    expect(findings(graded, 8)).toEqual([expect.stringMatching(/^pass: the result: GET \/orders\/[\w-]+ → 422$/)])
    expect(findings(graded, 14)).toHaveLength(2)
    expect(findings(graded, 16)).toEqual([
      'pass: the OpenAPI document describes webhooks with the headers of the standard',
    ])
    const received = await grades({ url, headers: { authorization: 'ann' }, webhook: 'webhook-url' }, clock)
    expect(findings(received, 16)).toEqual([
      'pass: a webhook arrived with the headers of the standard',
      'pass: after a 503 it was repeated, with the same id',
    ])
  })

  test('of the server of the article finds completed and failed orders', async () => {
    const order = '{"customer":"Contoso","items":[]}'
    const completing = await startArticleServer({ polls: 2 })
    const failing = await startArticleServer({ error: { message: 'No apples.' } })
    const graded = await grades({ url: `${completing.url}/orders`, data: order })
    const failed = await grades({ url: `${failing.url}/orders`, data: order, fail: order })
    expect(gradesOf(graded.map((rule, at) => (rule.number === 8 ? (failed[at] ?? rule) : rule)))).toEqual(
      column('the article'),
    )
    expect(findings(graded, 2)).toContain('warn: its body does not describe the status of the operation')
    expect(findings(graded, 9)).toEqual(['skip: neither DELETE nor :cancel exists'])
    expect(findings(failed, 8)).toEqual([
      expect.stringMatching(/^pass: the result: GET .* → 500$/),
      expect.stringMatching(/^warn: .* is not a problem detail$/),
    ])
  })

  test("of an API that follows Azure's guidelines", async () => {
    const { url } = await startAzureApi()
    const graded = await grades({ url: `${url}/orders:process`, fail: '{"fails":true}' })
    expect(gradesOf(graded)).toEqual(column("Azure's guidelines"))
    expect(findings(graded, 10)).toEqual(['pass: POST :cancel exists: 200'])
  })

  test('of an API that follows AIP-151', async () => {
    const { url } = await startGoogleApi()
    const graded = await grades({ url: `${url}/v1/orders:process`, template: '/v1/{name}', fail: '{"fails":true}' })
    expect(gradesOf(graded)).toEqual(column('AIP-151'))
    expect(findings(graded, 2)).toContain('warn: 200 instead of 202 Accepted')
  })

  test('of an API that breaks every rule names each one', async () => {
    let posts = 0
    const { url } = await startScriptedServer({
      'POST /jobs': () => [
        202,
        { location: '/jobs/1', 'retry-after': 'soon', 'access-control-allow-origin': '*' },
        `${++posts}`,
      ],
      'GET /jobs/1': [
        () => [404],
        () => [200, { 'retry-after': '-1' }, { status: 'pending', percent: 1 }],
        () => [302, { location: '/results/1?code=abc' }],
      ],
      'GET /jobs/6': () => [200, {}, { status: 'completed' }],
      'GET /results/1?code=abc': () => [200, {}, { at: Math.random() }],
      'DELETE /jobs/1': () => [500],
    })
    const graded = await grades({ url: `${url}/jobs`, headers: { 'x-api-key': 'k' } })
    expect(graded.filter(({ grade }) => grade === 'fail').map(({ number }) => number)).toEqual([
      1, 2, 4, 5, 6, 7, 9, 11, 14, 15,
    ])
  })

  test('of conditional requests counts only a status that has not changed since the poll', async () => {
    let version = 0
    const changes = (): [number, Record<string, string>, object] => [
      200,
      { etag: `"${++version}"` },
      { status: 'running' },
    ]
    const api = async (...statuses: (() => [number, Record<string, string>?, object?])[]) => {
      const { url } = await startScriptedServer({
        'POST /jobs': () => [202, { location: '/jobs/1' }],
        'GET /jobs/1': [...statuses, () => [200, {}, { status: 'completed' }]],
      })
      return findings(await grades({ url: `${url}/jobs` }), 13)
    }
    const same = (): [number, Record<string, string>, object] => [200, { etag: '"a"' }, { status: 'running' }]
    expect(await api(changes, changes)).toEqual(['skip: the status had changed each time it was requested again'])
    expect(await api(changes, changes, same, () => [304])).toEqual(['pass: an unchanged status: 304'])
    expect(await api(changes, changes, same, same)).toEqual([
      'warn: an unchanged status is sent again, though its ETag is the same: 200',
    ])
  })

  test('reports an API that refuses the request or names no status URL', async () => {
    const { url } = await startScriptedServer({
      'POST /refuses': () => [403, {}, { error: 'no' }],
      'POST /silent': () => [202],
      'POST /done': () => [200, {}, { sum: 3 }],
      'POST /moved': () => [307, { location: '/jobs' }],
      'POST /broken': () => [502],
    })
    await expect(grades({ url: `${url}/refuses` })).rejects.toThrow(
      /^The API refuses the request with 403: give a body .*It says: \{"error":"no"\}$/,
    )
    await expect(grades({ url: `${url}/silent` })).rejects.toThrow(
      /^The answer 202 does not say where the status is: .* --status/,
    )
    await expect(grades({ url: `${url}/done` })).rejects.toThrow(/^The answer 200 .* Is it done already\?/)
    await expect(grades({ url: `${url}/moved` })).rejects.toThrow(
      `The API answers 307 and leads to ${url}/jobs: check that URL.`,
    )
    await expect(grades({ url: `${url}/broken` })).rejects.toThrow(/^The API answers 502, which is its own error/)
    const none = `http://127.0.0.1:${await freePort()}/jobs`
    await expect(grades({ url: none })).rejects.toThrow(`POST ${none}: No answer: connect ECONNREFUSED`)
  })
})

describe('the command', () => {
  test('prints each rule with its standard, and exits with 1 if one is broken', async () => {
    const { url } = await startAzureApi()
    const args = ['check', `${url}/orders:process`, '--timeout', '0ms']
    const { code, out } = await waybill(args)
    expect(code).toBe(1)
    expect(out).toMatch(/^POST \/orders:process → 202; Operation-Location leads to http/)
    expect(out).toContain('          fail: the operation has not ended: the last answer was GET /operations/')
    expect(out).toContain('          RFC 9457, 3; Azure REST guidelines')
    const { rules } = JSON.parse((await waybill([...args, '--json'])).out)
    expect(rules).toHaveLength(17)
  })

  test('names the request of a server that does not answer in time', async ({ lab }) => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    lab.onEnd(() => {
      silent.close()
      silent.closeAllConnections()
    })
    await once(silent, 'listening')
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/orders`
    const { code, err } = await waybill(['check', url, '--answer-timeout', '100ms'])
    expect([code, err]).toEqual([1, expect.stringContaining(`${url}: no answer within 0.1 s (--answer-timeout).`)])
  })

  test.for([
    [
      ['check', 'orders'],
      /^waybill check: The API must be a URL such as http:\/\/127\.0\.0\.1:3000\/orders, not "orders"\./,
    ],
    [['check', 'http://127.0.0.1:1', '--header', 'x'], /^waybill check: --header must be a name and a value/],
  ] as const)('%j is refused with exit code 2', async ([args, message]) => {
    const { code, err } = await waybill(args)
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  })
})

describe('a response is read', () => {
  const answer = (status: number, headers: Record<string, string> = {}, json?: unknown): Exchange => ({
    ...{ method: 'GET', url: 'https://api.example.com/v1/jobs', status, json, ms: 1 },
    ...{ headers: new Headers(headers), text: JSON.stringify(json) ?? '' },
  })

  test.for([
    [answer(202), false, 'pending'],
    [answer(200, {}, { status: 'InProgress' }), false, 'pending'],
    [answer(200, {}, { status: 'mulling' }), false, 'pending'],
    [answer(200, {}, { data: { attributes: { status: 'Queued' } } }), false, 'pending'],
    [answer(200, {}, { status: 'Succeeded' }), false, 'completed'],
    [answer(200, {}, { rows: [] }), true, 'completed'],
    [answer(303, { location: '/x' }), false, 'completed'],
    [answer(200, {}, { done: true, error: { code: 1 } }), false, 'canceled'],
    [answer(200, {}, { runtimeStatus: 'Terminated' }), false, 'canceled'],
    [answer(500, {}, { status: 'failed' }), false, 'failed'],
    [answer(503), false, 'unclear'],
  ] as const)('%#: the state', ([given, pendingIs202, state]) => {
    expect(stateOf(given, pendingIs202)).toBe(state)
  })

  test.for([
    [{ location: '/status/1' }, undefined, 'https://api.example.com/status/1'],
    [{ location: 'status/1' }, undefined, 'https://api.example.com/v1/status/1'],
    [{ location: '/result/1', 'operation-location': '/operations/1' }, {}, 'https://api.example.com/operations/1'],
    [{ location: '/s/1', 'operation-location': '/o/1' }, { links: { status: '/s/1' } }, 'https://api.example.com/s/1'],
    [{ 'content-location': 'https://x.example/1' }, undefined, 'https://x.example/1'],
    [{}, { urls: { get: 'https://x.example/2' } }, 'https://x.example/2'],
  ] as const)('%#: the status URL', ([headers, json, url]) => {
    expect(pointerOf(answer(202, headers, json), {})?.url).toBe(url)
  })

  test('only the header of --via is followed', () => {
    const both = answer(202, { location: '/s/1', 'operation-location': '/o/1' }, { links: { status: '/s/1' } })
    expect(pointerOf(both, { via: 'operation-location' })).toEqual({
      url: 'https://api.example.com/o/1',
      by: 'Operation-Location',
    })
  })

  test.for([
    [
      'https://a.example/operations/01a22644-51a5-740d-92c0-b627742f6aeb',
      /\/operations\/01a22644-51a5-740d-92c0-b627742f6[0-9a-f]{3}$/,
    ],
    [
      'https://a.example/operations/0197?api-version=2026-11-01',
      /\/operations\/(?!0197\?)\d+\?api-version=2026-11-01$/,
    ],
    ['https://a.example/status?id=abc123', /\/status\?id=abc(?!123)\d+$/],
    ['https://a.example/jobs/7', /\/jobs\/7\d+$/],
  ] as const)('%s leads to an unknown operation beside it', ([url, pattern]) => {
    expect(unknownUrl(url)).toMatch(pattern)
    expect(unknownUrl(url)).not.toBe(url)
  })
})
