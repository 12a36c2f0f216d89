import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runInThisContext } from 'node:vm'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { rolldown } from 'rolldown'
import { describe, expect, it, test } from 'vitest'
import { fetchAndWait } from 'waybill/client'
import { EXAMPLE, runToEnd, startApp, temporaryFolder } from '../support/app.ts'
import { atLength } from '../support/length.ts'
import { ORDER, orderRequest, placeOrder, storedOperation, untilAtWork, untilFinal } from '../support/order.ts'

const RUNS = atLength(['children', 'process'], ['children', 'process', 'inline'])
const JOB = new URL('../../examples/orders/job.ts', import.meta.url).pathname
const SETTINGS = new URL('../../examples/orders/settings.ts', import.meta.url).pathname
const CONTRACT = new URL('../../examples/orders/orders.ts', import.meta.url).pathname
const ARTICLE = new URL('../fixtures/article/fetch-and-wait.js', import.meta.url)

/** YAML, and neither a cluster nor a Job. */
const PACKAGE = new URL('../../package.json', import.meta.url).pathname

const RESULT = {
  id: expect.any(String),
  status: 'completed',
  order: { ...ORDER, completedAt: expect.stringMatching(/^\d{4}-.*Z$/) },
}

function temporaryFile(): string {
  return join(temporaryFolder(), 'orders.db')
}

describe.each(RUNS)('WAYBILL_RUN=%s', run => {
  const env = { WAYBILL_RUN: run }
  const slow = { ...env, ORDER_PROCESSING_MS: '60000' }

  it('accepts an order, runs it, and returns the result', async () => {
    const app = await startApp({ file: temporaryFile(), env: { ...env, ORDER_PROCESSING_MS: '300' } })
    const accepted = await fetch(`${app.url}/orders`, orderRequest())
    expect(accepted.status).toBe(202)
    expect(Number(accepted.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    const { id, status } = (await accepted.json()) as { id: string; status: string }
    expect(status).toBe('pending')
    expect(accepted.headers.get('Location')).toBe(`/orders/status/${id}`)

    const final = await untilFinal(`${app.url}/orders/status/${id}`)
    expect(final).toMatchObject({ id, status: 'completed', attempt: 1 })
    const redirect = await fetch(`${app.url}/orders/status/${id}`, { redirect: 'manual' })
    expect(redirect.status).toBe(303)
    expect(redirect.headers.get('Location')).toBe(`/orders/${id}`)
    const result = await fetch(`${app.url}/orders/status/${id}`)
    expect([result.status, result.redirected]).toEqual([200, true])
    expect(await result.json()).toEqual({ ...RESULT, id })
    expect(await app.stop()).toEqual({ code: 0, signal: null })
  })

  it('hands unfinished work back at Ctrl-C, and the next start completes it', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, env: slow })
    const statusUrl = await placeOrder(app.url)
    await untilAtWork(statusUrl)
    // A terminal sends it to the whole group: to the API and to what it has started.
    process.kill(-app.pid, 'SIGINT')
    expect(await app.exited).toEqual({ code: 0, signal: null })

    const next = await startApp({ file, env })
    const final = await untilFinal(new URL(new URL(statusUrl).pathname, next.url).href)
    expect(final).toMatchObject({ status: 'completed', attempt: 1 })
    await next.stop()
    const { history } = await storedOperation(file)
    expect(history.map(({ outcome }) => outcome)).toEqual(['released', 'completed'])
  })
})

test('SIGTERM to npm start ends the API, its processes and its port', async () => {
  const app = await startApp({ file: temporaryFile(), byNpm: true })
  expect((await fetch(`${app.url}/readyz`)).status).toBe(200)
  await app.stop('SIGTERM')
  await expect(fetch(`${app.url}/readyz`)).rejects.toThrow('fetch failed')
})

test('an agent places an order, which people see like any other', async () => {
  const app = await startApp({ file: temporaryFile() })
  const client = new Client({ name: 'agent', version: '1.0.0' }, {})
  await client.connect(new StreamableHTTPClientTransport(new URL(`${app.url}/mcp`)))
  expect((await client.listTools()).tools).toMatchObject([{ name: 'place_order', title: 'Place an order' }])
  const placed = await client.callTool({ name: 'place_order', arguments: ORDER })
  expect(placed).toMatchObject({ structuredContent: ORDER })
  await client.close()
  const { items } = (await (await fetch(`${app.url}/orders`)).json()) as { items: readonly object[] }
  expect(items).toMatchObject([{ operation: 'orders', status: 'completed' }])
  await app.stop()
})

describe('stopping', () => {
  it('by SIGTERM hands unfinished work back', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, env: { ORDER_PROCESSING_MS: '60000' } })
    await untilAtWork(await placeOrder(app.url))
    expect(await app.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(await storedOperation(file)).toMatchObject({ status: 'pending', attempt: 1, released: 1 })
  })

  it('lets the executions of a launcher finish', async () => {
    const file = temporaryFile()
    const env = { WAYBILL_RUN: 'process', ORDER_PROCESSING_MS: '1500' }
    const app = await startApp({ file, env })
    const statusUrl = await placeOrder(app.url)
    await untilAtWork(statusUrl)
    expect(await app.stop('SIGTERM')).toEqual({ code: 0, signal: null })

    const next = await startApp({ file, env })
    await untilFinal(new URL(new URL(statusUrl).pathname, next.url).href)
    await next.stop()
    const { history } = await storedOperation(file)
    expect(history.map(({ outcome }) => outcome)).toEqual(['completed'])
  })

  it('counts the two signals that npm sends for one Ctrl-C as one', async () => {
    const app = await startApp({ file: temporaryFile(), env: { ORDER_PROCESSING_MS: '60000' } })
    await untilAtWork(await placeOrder(app.url))
    process.kill(app.pid, 'SIGINT')
    process.kill(app.pid, 'SIGINT')
    expect(await app.exited).toEqual({ code: 0, signal: null })
  })

  it('ends at once at a second signal', async () => {
    const app = await startApp({ file: temporaryFile() })
    const { hostname, port } = new URL(app.url)
    const socket = connect({ host: hostname, port: Number(port) })
    // A request without its end is what a clean stop waits for.
    const head = 'POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n'
    socket.write(`${head}Expect: 100-continue\r\n\r\n`)
    // It goes on reading once it has the head.
    await once(socket, 'data')
    process.kill(app.pid, 'SIGTERM')
    // Two signals within this time are one that npm has doubled.
    await sleep(500)
    process.kill(app.pid, 'SIGTERM')
    expect(await app.exited).toEqual({ code: 1, signal: null })
    socket.destroy()
  })
})

/** A setting, a value that is refused, and the message. */
const REFUSED: readonly (readonly [name: string, value: string, message: RegExp])[] = [
  [
    'WAYBILL_RUN',
    'threads',
    /^WAYBILL_RUN=threads cannot be used: set WAYBILL_RUN to one of children, inline, process, container-apps, storage-queue, kubernetes, none\.$/,
  ],
  ['WAYBILL_STORE', 'sqlite:/etc/passwd', /^The API cannot run: .*"\/etc\/passwd" cannot be opened: .*not a database/],
  [
    'WAYBILL_STORE',
    'postgres://u:s3cr3t@nowhere.invalid/x',
    /^The API cannot run: .*\. Check WAYBILL_STORE, which is postgres:\/\/u:\*\*\*@nowhere\.invalid\/x\.$/,
  ],
  ...atLength([], [
    ['PORT', 'http', /^PORT=http cannot be used: set PORT to a whole number from 0 to 65535\.$/],
    ['PORT', '65536', /^PORT=65536 cannot be used: set PORT to a whole number/],
    ['WAYBILL_CONCURRENCY', '0', /^WAYBILL_CONCURRENCY=0 cannot be used: set WAYBILL_CONCURRENCY to a whole number/],
    ['ORDER_PROCESSING_MS', '-1', /^ORDER_PROCESSING_MS=-1 cannot be used: set ORDER_PROCESSING_MS to a whole number/],
    [
      'WAYBILL_STORE',
      'orders.db',
      /^WAYBILL_STORE cannot be used: "orders\.db" is not the URL of a store: write sqlite:<file>, postgres:/,
    ],
    [
      'WAYBILL_STORE',
      'sqlite:/dev/null/orders.db',
      /^The API cannot run: .*\. Check WAYBILL_STORE, which is sqlite:\/dev\/null/,
    ],
    [
      'HOST',
      '192.0.2.1',
      /^The API cannot run: .*Set HOST and PORT to an address that is free, not 192\.0\.2\.1 and 0\.$/,
    ],
  ] as const),
]

/** A way to run, its settings, and the message. */
const REFUSED_TO_RUN: readonly (readonly [run: string, settings: Record<string, string>, message: RegExp])[] = [
  ['kubernetes', { KUBECONFIG: '/nope' }, /^KUBECONFIG=\/nope cannot be used: ENOENT: .*\. Set KUBECONFIG to a file/],
  ['storage-queue', {}, /^Set WAYBILL_QUEUE, which WAYBILL_RUN=storage-queue needs\.$/],
  ['container-apps', {}, /^Set AZURE_SUBSCRIPTION_ID, which WAYBILL_RUN=container-apps needs\.$/],
  ...atLength([], [
    ['kubernetes', { KUBECONFIG: PACKAGE }, /^KUBECONFIG=\/.* cannot be used: No active cluster! Set KUBECONFIG to/],
    [
      'kubernetes',
      { ORDER_JOB_TEMPLATE: PACKAGE },
      /^ORDER_JOB_TEMPLATE=\/.* cannot be used: It has no spec\.template\. Name a file with a Job in YAML\.$/,
    ],
    [
      'kubernetes',
      { ORDER_JOB_NAMESPACE: 'a b' },
      /^The API cannot run: .*not "a b"\. Check what WAYBILL_RUN=kubernetes/,
    ],
    ['storage-queue', { WAYBILL_QUEUE: 'orders' }, /^WAYBILL_QUEUE=orders cannot be used: .*\. Set it to https:/],
  ] as const),
]

describe('settings', () => {
  test.each(REFUSED)('%s=%s is refused with the cure', async (name, value, message) => {
    const env = { PORT: '0', WAYBILL_STORE: `sqlite:${temporaryFile()}`, [name]: value }
    // What the settings refuse by themselves needs no API to start.
    const entry = ['WAYBILL_STORE', 'HOST'].includes(name) ? EXAMPLE : SETTINGS
    const { code, text } = await runToEnd(entry, env)
    expect(code).toBe(1)
    expect(withoutWarnings(text)).toMatch(message)
    expect(withoutWarnings(text)).not.toContain('\n')
  })

  test.each(REFUSED_TO_RUN)(
    'WAYBILL_RUN=%s with the settings %o is refused with the cure',
    async (run, more, message) => {
      const isRefusedByApi = message.source.startsWith('^The API')
      const entry = isRefusedByApi ? EXAMPLE : new URL(`../../examples/orders/${run}.ts`, import.meta.url).pathname
      const { code, text } = await runToEnd(entry, {
        PORT: '0',
        WAYBILL_STORE: `sqlite:${temporaryFile()}`,
        WAYBILL_RUN: run,
        KUBECONFIG: kubeconfig(),
        ...more,
      })
      expect(code).toBe(1)
      expect(withoutWarnings(text)).toMatch(message)
      expect(withoutWarnings(text)).not.toContain('\n')
    },
  )

  it('name a port in use', async () => {
    const app = await startApp({ file: temporaryFile() })
    const { port } = new URL(app.url)
    const { code, text } = await runToEnd(EXAMPLE, { PORT: port, WAYBILL_STORE: `sqlite:${temporaryFile()}` })
    expect(code).toBe(1)
    expect(withoutWarnings(text)).toMatch(
      new RegExp(`EADDRINUSE.*Set HOST and PORT .* not 127\\.0\\.0\\.1 and ${port}\\.$`),
    )
  })

  it('name the variable of a job without an order', async () => {
    const { code, text } = await runToEnd(JOB, { WAYBILL_STORE: `sqlite:${temporaryFile()}` })
    expect([code, withoutWarnings(text)]).toEqual([1, 'Set ORDER_ID to the id of an order.'])
  })

  it('let a job take its order from ORDER_ID', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, env: { ORDER_PROCESSING_MS: '60000' } })
    const statusUrl = await placeOrder(app.url)
    await untilAtWork(statusUrl)
    await app.stop()
    const env = { WAYBILL_STORE: `sqlite:${file}`, ORDER_ID: statusUrl.slice(-36), ORDER_PROCESSING_MS: '0' }
    expect(await runToEnd(JOB, env)).toMatchObject({ code: 0 })
    expect((await storedOperation(file)).status).toBe('completed')
    // A surplus execution finds nothing to claim.
    expect(await runToEnd(JOB, env)).toMatchObject({ code: 0 })
  })
})

describe('clients', () => {
  it('can use the fetchAndWait of the article, unmodified, and ours', async () => {
    // So long that both ask before it is done.
    const app = await startApp({ file: temporaryFile(), env: { ORDER_PROCESSING_MS: '2000' } })
    const theirs = runInThisContext(`${readFileSync(ARTICLE, 'utf8')}\nfetchAndWait`) as (
      url: string,
      init: RequestInit,
      onStatusPoll: (poll: { response: Response; retryAfter: number }) => Promise<void>,
    ) => Promise<unknown>
    const polls: [string, number][] = []
    const seen: (string | undefined)[] = []
    const results = await Promise.all([
      theirs(`${app.url}/orders`, orderRequest(), async ({ response, retryAfter }) => {
        const { status } = (await response.json()) as { status: string }
        polls.push([status, retryAfter])
      }),
      fetchAndWait(`${app.url}/orders`, orderRequest(), ({ status }) => seen.push(status)),
    ])
    expect(results).toEqual([RESULT, RESULT])
    expect(polls.length).toBeGreaterThan(0)
    expect(seen.length).toBeGreaterThan(0)
    for (const [status, retryAfter] of polls) {
      expect(['pending', 'running']).toContain(status)
      expect(retryAfter).toBeGreaterThanOrEqual(1)
    }
  })

  it('can bundle the contract for a browser, without modules of Node', async () => {
    const build = await rolldown({
      input: CONTRACT,
      platform: 'browser',
      resolve: { conditionNames: ['waybill-source', 'import', 'default'] },
      onLog: (_level, { message }) => expect.unreachable(message),
    })
    const { output } = await build.generate({ format: 'esm' })
    await build.close()
    expect(output).toHaveLength(1)
    const [{ imports, dynamicImports, code, moduleIds }] = output
    expect([...imports, ...dynamicImports]).toEqual([])
    expect(code).not.toMatch(/\bnode:|\bprocess\.env\b/)
    expect(moduleIds.filter(id => /store|worker|launcher|fastify/.test(id))).toEqual([])
  })
})

/** Without what Node itself says of its features. */
function withoutWarnings(text: string): string {
  return text.replace(/^(?:\(|\{"level":40,).*\n/gm, '').trim()
}

/** A file that says how to reach a cluster, which nobody asks for anything. */
function kubeconfig(): string {
  const path = join(temporaryFolder(), 'config')
  const named = {
    name: 'x',
    cluster: { server: 'https://127.0.0.1:1' },
    user: {},
    context: { cluster: 'x', user: 'x' },
  }
  writeFileSync(path, JSON.stringify({ clusters: [named], users: [named], contexts: [named], 'current-context': 'x' }))
  return path
}
