/** The typed client in a page of another origin than the API: redirects are hidden, and leave is asked for. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { startScriptedServer } from '../support/article-server.ts'
import { bundleClient } from '../support/browser-client.ts'
import { launchChromium } from '../support/chromium.ts'
import { byHeader, listen, serve } from '../support/http.ts'
import { test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', resultKey: 'order', attempts: 1 })
const handlers = handler(orders, input => {
  if (input === 'fail') throw new ProblemError({ status: 422, title: 'Out of stock' })
  return { got: input }
})

let browser: Browser
let code: string

beforeAll(async () => {
  browser = await launchChromium()
  code = await bundleClient()
})

afterAll(async () => {
  await browser.close()
})

test.for([true, false])('the typed client works in a browser (event streams: %s)', async (streams, { lab }) => {
  const served = await serve(lab, [orders], {
    worker: { handlers, run: 'inline', pollInterval: 50 },
    principal: byHeader,
    listing: true,
    cors: { origins: '*', allowHeaders: ['x-user'] },
  })
  const api = `http://127.0.0.1:${await listen(served)}`
  const page = await browser.newPage()
  lab.onEnd(() => page.close())
  const home = await startScriptedServer({
    'GET /': () => [
      200,
      { 'Content-Type': 'text/html' },
      `<script type="module">import { client } from '/client.js'; Object.assign(globalThis, { client })</script>`,
    ],
    'GET /client.js': () => [200, { 'Content-Type': 'text/javascript' }, code],
  })
  lab.onEnd(home.close)
  await page.goto(home.url)
  const seen = await page.evaluate(
    async ({ api, streams }) => {
      const { client } = globalThis as unknown as typeof import('../../src/client/client.ts')
      const options = {
        baseUrl: api,
        headers: { 'x-user': 'ada' },
        // A gateway that knows no streams.
        ...(!streams && {
          fetch: ((input, init) => {
            const headers = new Headers(init?.headers)
            headers.delete('accept')
            return fetch(input, { ...init, headers })
          }) satisfies typeof fetch,
        }),
      }
      const types = { orders: { name: 'orders', resultKey: 'order' } } as const
      const { orders } = client<{ orders: import('waybill').OperationType<'orders', unknown, unknown, 'order'> }>(
        types,
        options,
      )
      const order = await orders.submit({ a: 1 })
      const result = await order.result()
      const failing = await orders.submit('fail')
      const failure = await failing.result().catch((error: Error) => error)
      const canceling = await order.cancel().catch((error: Error) => error)
      const listed: string[] = []
      for await (const { status } of orders.list({ pageSize: 1 })) listed.push(status)
      const code = (error: unknown) => (error as { code: string }).code
      const told = []
      if (streams) {
        for await (const { status } of failing.events()) told.push(status)
        told.push((await order.status()).status)
      }
      return { result, failure: code(failure), canceling: code(canceling), listed, told }
    },
    { api, streams },
  )
  expect(seen).toEqual({
    result: { got: { a: 1 } },
    failure: 'failed',
    canceling: 'refused',
    listed: ['failed', 'completed'],
    told: streams ? ['failed', 'completed'] : [],
  })
})
