/** What only a browser does: it hides redirects, and asks other origins for leave. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answerer, type ScriptedServer, startScriptedServer } from '../support/article-server.ts'
import { bundleClient } from '../support/browser-client.ts'
import { launchChromium } from '../support/chromium.ts'

const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Headers': 'authorization, x-api-key',
  'Access-Control-Expose-Headers': 'Location, Retry-After',
}

const PAGE = `<script type="module">
  import { fetchAndWait } from '/client.js'
  Object.assign(globalThis, { fetchAndWait })
</script>`

let browser: Browser
let code: string

beforeAll(async () => {
  browser = await launchChromium()
  code = await bundleClient()
})

afterAll(async () => {
  await browser.close()
})

/** A server that lets other origins in, and has a page of its own. */
async function script(routes: Record<string, Answerer | readonly Answerer[]>): Promise<ScriptedServer> {
  const preflights = Object.keys(routes).map(route => [route.replace(/^\w+/, 'OPTIONS'), () => [204, CORS]] as const)
  return await startScriptedServer({
    ...Object.fromEntries(preflights),
    'GET /page': () => [200, { 'Content-Type': 'text/html' }, PAGE],
    'GET /client.js': () => [200, { 'Content-Type': 'text/javascript' }, code],
    ...routes,
  })
}

function answer(status: number, headers: Record<string, string> = {}, body?: unknown): Answerer {
  return () => [status, { ...CORS, ...headers }, body]
}

/** Waits, in a page of `home`, for what a POST to `url` starts. */
async function waitIn(home: ScriptedServer, url: string): Promise<{ value: unknown; polls: unknown[] }> {
  const page = await browser.newPage()
  try {
    await page.goto(`${home.url}/page`)
    const headers = { Authorization: 'Bearer t', 'X-Api-Key': 'k' }
    return await page.evaluate(
      async ({ url, headers }) => {
        const { fetchAndWait } = globalThis as unknown as typeof import('../../src/client/client.ts')
        const polls: unknown[] = []
        const value = await fetchAndWait(url, { method: 'POST', headers }, poll => polls.push(poll.status)).catch(
          (error: { code: string }) => error.code,
        )
        return { value, polls }
      },
      { url, headers },
    )
  } finally {
    await page.close()
  }
}

/** Which of the two credentials each request to a path carried. */
function credentials(server: ScriptedServer, path: string): unknown[] {
  return server.seen(`GET ${path}`).map(({ headers }) => [headers.authorization, headers['x-api-key']])
}

const accepted = answer(202, { Location: '/status/1' })
const pending = answer(200, { 'Retry-After': '0' }, { status: 'pending' })
const finished = answer(303, { Location: '/orders/1' })
const result = answer(200, {}, { id: '1', status: 'shipped' })

test('a 303 leads to the result, with the credentials', async () => {
  const home = await script({
    'POST /orders': accepted,
    'GET /status/1': [pending, pending, finished],
    'GET /orders/1': result,
  })
  const { value, polls } = await waitIn(home, '/orders')
  expect(value).toEqual({ id: '1', status: 'shipped' })
  expect(polls).toEqual(['pending', 'pending'])
  expect(credentials(home, '/orders/1')).toEqual([['Bearer t', 'k']])
})

test('a 303 leads to a failure', async () => {
  const failed = answer(500, {}, { id: '1', status: 'failed', error: 'boom' })
  const home = await script({ 'POST /orders': accepted, 'GET /status/1': finished, 'GET /orders/1': failed })
  expect((await waitIn(home, '/orders')).value).toBe('failed')
})

test.each([
  ['with a slash', '/status/1/'],
  ['elsewhere', '/v2/status/1'],
])('a redirect %s of the infrastructure is not the end of the operation', async (_, moved) => {
  const home = await script({
    'POST /orders': accepted,
    'GET /status/1': answer(308, { Location: moved }),
    [`GET ${moved}`]: [pending, pending, finished],
    'GET /orders/1': result,
  })
  const { value, polls } = await waitIn(home, '/orders')
  expect(value).toEqual({ id: '1', status: 'shipped' })
  expect(polls).toEqual(['pending', 'pending'])
})

test('a 303 to another origin is followed without the credentials', async () => {
  const away = await script({ 'GET /orders/1': result })
  const home = await script({
    'POST /orders': accepted,
    'GET /status/1': answer(303, { Location: `${away.url}/orders/1` }),
  })
  expect((await waitIn(home, '/orders')).value).toEqual({ id: '1', status: 'shipped' })
  expect(credentials(away, '/orders/1')).toEqual([[undefined, undefined]])
})

test('an API on another origin gets the credentials when its status redirects to the result', async () => {
  const links = { status: '/status/1', result: '/orders/1' }
  const api = await script({
    'POST /orders': answer(202, {}, { status: 'pending', links }),
    'GET /status/1': [pending, finished],
    'GET /orders/1': result,
  })
  const { value, polls } = await waitIn(await script({}), `${api.url}/orders`)
  expect(value).toEqual({ id: '1', status: 'shipped' })
  expect(polls).toEqual(['pending'])
  expect(credentials(api, '/orders/1')).toEqual([['Bearer t', 'k']])
})

test('the credentials are not sent on when an API on another origin redirects to a third origin', async () => {
  const away = await script({ 'GET /orders/1': result })
  const api = await script({
    'POST /orders': accepted,
    'GET /status/1': answer(303, { Location: `${away.url}/orders/1` }),
  })
  expect((await waitIn(await script({}), `${api.url}/orders`)).value).toEqual({ id: '1', status: 'shipped' })
  expect(credentials(away, '/orders/1')).toEqual([[undefined, undefined]])
})
