/** A browser's own `fetch` and `EventSource`, on a page of the API's origin and on one of another. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { OrderServer, orders } from '../support/order-server.ts'
import { type Api, idOf, postJson, type ServerOptions, serveFastify } from '../support/servers.ts'
import { hasStatus, type TestContext, test, until, when } from '../support/waybill.ts'

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
})

afterAll(() => browser.close())

/** A page of an origin of its own. */
async function strangePage(lab: TestContext): Promise<{ page: Page; origin: string }> {
  const server = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<p>A page</p>'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  lab.onEnd(() => new Promise(resolve => server.close(resolve)))
  lab.onEnd(() => server.closeAllConnections())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { page: await pageAt(lab, origin), origin }
}

async function pageAt(lab: TestContext, url: string): Promise<Page> {
  const page = await browser.newPage()
  lab.onEnd(() => page.close())
  await page.goto(url)
  return page
}

async function open(lab: TestContext, options: ServerOptions = {}) {
  const desk = new OrderServer()
  const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers } })
  return { desk, waybill, api: await serveFastify(lab, waybill, options) }
}

/** Submits and waits in the page, by `fetch` alone; the redirect to the result is the browser's to follow. */
async function orderIn(page: Page, { url }: Api, wish: string) {
  return await page.evaluate(
    async ({ url, wish }) => {
      const body = JSON.stringify({ wish })
      const post = await fetch(`${url}/orders`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body,
      })
      const location = new URL(post.headers.get('Location') ?? '', url)
      const end = await fetch(location, { headers: { Prefer: 'wait=60' } })
      const result = (await end.json()) as { status: string }
      return { accepted: post.status, status: end.status, url: end.url, redirected: end.redirected, result }
    },
    { url, wish },
  )
}

describe('fetch in a page', () => {
  for (const [where, cors] of [
    ["of the API's origin", undefined],
    ['of another origin', { origins: '*' }],
  ] as const) {
    test(`${where} completes and fails orders`, async ({ lab }) => {
      const { api } = await open(lab, cors && { cors })
      const page = cors === undefined ? await pageAt(lab, `${api.url}/healthz`) : (await strangePage(lab)).page
      const completed = await orderIn(page, api, 'complete')
      expect(completed).toMatchObject({
        accepted: 202,
        status: 200,
        redirected: true,
        result: { status: 'completed', order: { packed: true } },
      })
      expect(completed.url).toMatch(/\/orders\/[-\w]{36}$/)
      expect(await orderIn(page, api, 'fail')).toMatchObject({
        status: 422,
        result: { status: 'failed', error: { code: 'out-of-stock' } },
      })
    })

    test(`${where} cancels an order`, async ({ lab }) => {
      const { waybill, api } = await open(lab, cors && { cors })
      const page = cors === undefined ? await pageAt(lab, `${api.url}/healthz`) : (await strangePage(lab)).page
      const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
      await hasStatus(waybill.store, id, 'running')
      const canceled = await page.evaluate(async url => {
        const told = await fetch(url, { method: 'DELETE' })
        const end = await fetch(url, { headers: { Prefer: 'wait=60' } })
        return [told.status, end.status, ((await end.json()) as { status: string }).status]
      }, `${api.url}/orders/status/${id}`)
      expect(canceled).toEqual([202, 410, 'canceled'])
    })
  }
})

describe('a page of another origin', () => {
  test('can read and send every header of the contract', async ({ lab }) => {
    const { page, origin } = await strangePage(lab)
    const { api } = await open(lab, { cors: { origins: [origin] }, listing: true, dialect: 'accepted' })
    const seen = await page.evaluate(async url => {
      const read = (response: Response) => Object.fromEntries(response.headers)
      const place = (headers: Record<string, string>) =>
        fetch(`${url}/orders`, {
          method: 'POST',
          body: JSON.stringify({ wish: 'complete' }),
          headers: { 'Content-Type': 'application/json', 'Idempotency-Key': '"one"', ...headers },
        })
      const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
      const first = await place({ Prefer: 'wait=60', Authorization: 'Bearer x', traceparent })
      const again = await place({})
      const more = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"wish":"hold"}' }
      const held = await fetch(`${url}/orders`, more)
      const status = new URL(held.headers.get('Location') ?? '', url)
      const asked = { 'If-None-Match': 'W/"0"', 'Last-Event-ID': '1', Prefer: 'respond-async' }
      const pending = await fetch(status, { headers: asked })
      const list = await fetch(`${url}/orders?limit=1`)
      return [first, again, held, pending, list].map(read)
    }, api.url)
    const [first, again, held, pending, list] = seen
    const some = expect.any(String)
    expect(first).toMatchObject({
      'content-location': some,
      'preference-applied': 'wait=60',
      etag: some,
      expires: some,
    })
    expect(again).toMatchObject({ 'idempotency-replayed': 'true' })
    expect(held).toMatchObject({ location: some, 'operation-location': some, 'retry-after': some })
    expect(pending).toMatchObject({ 'x-progress': some, 'retry-after': some, etag: some })
    expect(list).toMatchObject({ link: expect.stringContaining('rel="next"') })
  })

  test('can read the problem of a refusal', async ({ lab }) => {
    const { page, origin } = await strangePage(lab)
    const { api } = await open(lab, { cors: { origins: [origin] } })
    const seen = await page.evaluate(async url => {
      const headers = { 'Content-Type': 'application/json' }
      const bad = await fetch(`${url}/orders`, { method: 'POST', body: '{}', headers })
      const text = await fetch(`${url}/orders`, { method: 'POST', body: '{}' })
      return [((await bad.json()) as { code: string }).code, ((await text.json()) as { code: string }).code]
    }, api.url)
    expect(seen).toEqual(['invalid-input', 'unsupported-media-type'])
  })

  test('is refused if its origin is not allowed', async ({ lab }) => {
    const { page } = await strangePage(lab)
    const { api, waybill } = await open(lab, { cors: { origins: ['https://app.example.com'] } })
    const ordered = await page.evaluate(async url => {
      const headers = { 'Content-Type': 'application/json' }
      return await fetch(`${url}/orders`, { method: 'POST', headers, body: '{"wish":"complete"}' }).catch(String)
    }, api.url)
    expect(ordered).toBe('TypeError: Failed to fetch')
    expect(await waybill.store.list({ type: 'orders', owner: '', limit: 1 })).toEqual([])
  })
})

test('an EventSource of another origin resumes after an interruption, and stops at the end', async ({ lab }) => {
  const { page, origin } = await strangePage(lab)
  const { desk, waybill, api } = await open(lab, { cors: { origins: [origin] } })
  const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
  await when(waybill.store, id, ({ progress }) => progress !== null)
  await page.evaluate(url => {
    const source = new EventSource(url)
    const seen: string[] = []
    Object.assign(globalThis, { source, seen })
    source.addEventListener('status', event => seen.push(`${event.lastEventId} ${JSON.parse(event.data).status}`))
  }, `${api.url}/orders/status/${id}`)
  const seen = () => page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen)
  await until(async () => (await seen()).length === 1)
  await until(() => waybill.operations.waiting === 1)
  api.server?.closeAllConnections()
  desk.letGo()
  const { version } = await hasStatus(waybill.store, id, 'completed')
  await page.waitForFunction(() => (globalThis as unknown as { source: EventSource }).source.readyState === 2)
  const all = await seen()
  expect(all[0]).toMatch(/ running$/)
  expect(all.at(-1)).toBe(`${version} completed`)
  expect(new Set(all).size).toBe(all.length)
})
