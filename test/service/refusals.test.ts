/** What becomes of statuses that hooks and plugins of the server choose, and what is refused before the body is read. */
import fastify, { type FastifyInstance } from 'fastify'
import { describe, expect } from 'vitest'
import { waybill as plugin } from 'waybill/fastify'
import { PROBLEMS, type ProblemCode } from '../../src/model/problem-kinds.ts'
import { problemOf, sendWithoutEnd } from '../support/http.ts'
import { ordersWith } from '../support/order-server.ts'
import { postJson, SERVERS } from '../support/servers.ts'
import { KeptLog, type TestContext, test } from '../support/waybill.ts'

const type = ordersWith({ bodyLimit: 1000 })
const POST = { method: 'POST', url: '/orders', payload: { wish: 'complete' } } as const

async function appWith(lab: TestContext, setUp: (app: FastifyInstance) => void) {
  const app = fastify()
  lab.onEnd(() => app.close())
  setUp(app)
  await app.register(plugin, { waybill: await lab.waybill([type], { logger: new KeptLog() }) })
  return app
}

const hookThatThrows = (error: object) => (app: FastifyInstance) =>
  void app.addHook('onRequest', async () => {
    throw Object.assign(new Error('said by the hook'), error)
  })

describe('the status of a hook is kept', () => {
  const kinds: [status: number, code: ProblemCode][] = [
    [400, 'invalid-request'],
    [401, 'unauthenticated'],
    [403, 'forbidden'],
    [429, 'too-many-requests'],
    [500, 'internal-error'],
    [503, 'unavailable'],
  ]
  const cases: [status: number, code: ProblemCode | undefined, title: string][] = [
    ...kinds.map(([status, code]): [number, ProblemCode, string] => [status, code, PROBLEMS[code].title]),
    [402, undefined, 'Payment Required'],
    [404, undefined, 'Not Found'],
    [409, undefined, 'Conflict'],
    [451, undefined, 'Unavailable For Legal Reasons'],
    [502, undefined, 'Bad Gateway'],
    [504, undefined, 'Gateway Timeout'],
  ]
  for (const name of ['statusCode', 'status']) {
    test.for(cases)(`as ${name} %i`, async ([status, code, title], { lab }) => {
      const app = await appWith(lab, hookThatThrows({ [name]: status }))
      const answer = await app.inject(POST)
      expect(answer.statusCode).toBe(status)
      const { detail = '', ...problem } = problemOf(answer)
      expect([problem.code, problem.title]).toEqual([code, title])
      expect(detail.includes('said by the hook')).toBe(status < 500)
      if (status === 429 || status === 503) expect(answer.headers['retry-after']).toBe('1')
      if (status === 401) expect(answer.headers['www-authenticate']).toBe('Bearer')
    })
  }

  test('if the hook has set it on the response, with its headers', async ({ lab }) => {
    const app = await appWith(lab, own =>
      own.addHook('onRequest', async (_, reply) => {
        reply.code(503).header('Retry-After', '7')
        throw new Error('said by the hook')
      }),
    )
    const answer = await app.inject(POST)
    expect([answer.statusCode, answer.headers['retry-after'], problemOf(answer).code]).toEqual([
      503,
      '7',
      'unavailable',
    ])
  })

  test('also for a plugin whose codes look like those of Fastify', async ({ lab }) => {
    const app = await appWith(lab, hookThatThrows({ statusCode: 429, code: 'FST_ERR_RATE_LIMIT' }))
    expect(problemOf(await app.inject(POST)).code).toBe('too-many-requests')
  })

  test('with the headers of the error', async ({ lab }) => {
    const app = await appWith(lab, hookThatThrows({ statusCode: 429, headers: { 'retry-after': '30' } }))
    const answer = await app.inject(POST)
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([429, '30'])
  })

  test.for([200, 302, 99, 600, 4.5, 'x'])(
    'except for %s, which is not valid for an error: 500',
    async (statusCode, { lab }) => {
      const app = await appWith(lab, hookThatThrows({ statusCode }))
      expect((await app.inject(POST)).statusCode).toBe(500)
    },
  )
})

describe.each(Object.entries(SERVERS))('over %s', (_, door) => {
  test('an unauthenticated caller is refused before the body is read', async ({ lab }) => {
    const api = await door(lab, await lab.waybill([type]), { byHeader: true })
    const bodies: RequestInit[] = [
      postJson({ wish: 'complete' }),
      { ...postJson(null), body: 'x'.repeat(5000) },
      { ...postJson(null), body: '{' },
      { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' },
    ]
    for (const body of bodies) {
      const answer = await api.ask('/orders', body)
      expect([answer.status, (await answer.json()).code]).toEqual([401, 'unauthenticated'])
    }
    if (api.server === undefined) return
    const { sent, answer } = await sendWithoutEnd(api, 'POST /orders')
    expect(answer).toMatch(/^HTTP\/1\.1 401 /)
    expect(sent).toBeLessThan(2 ** 26)
  })
})

test('routes that only refuse are hidden from tools that document the routes of an application', async ({ lab }) => {
  const shown = new Set<string>()
  await appWith(lab, app =>
    app.addHook('onRoute', ({ method, schema }) => {
      if (!(schema as { hide?: boolean } | undefined)?.hide) for (const one of [method].flat()) shown.add(one)
    }),
  ).then(app => app.ready())
  expect([...shown].sort()).toEqual(['DELETE', 'GET', 'HEAD', 'POST'])
})
