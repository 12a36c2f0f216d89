import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { problem } from '../../src/model/problem.ts'
import { sqliteStore } from '../../src/stores/sqlite/sqlite.ts'
import { type App, startApp, temporaryFolder } from '../support/app.ts'
import { launchChromium } from '../support/chromium.ts'
import { orderRequest, placeOrder, untilFinal } from '../support/order.ts'

const HOSTILE = '<img src=x onerror="window.pwned = true">'
const SCREENSHOTS = process.env.WAYBILL_SHOTS

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

interface History {
  readonly page: Page
  readonly app: App
  /** The SQLite file of the orders. */
  readonly file: string
  readonly complaints: string[]
}

async function openHistory(run: string, processingMs: string, env?: Record<string, string>): Promise<History> {
  const file = join(temporaryFolder(), 'orders.db')
  const app = await startApp({ file, env: { ORDER_PROCESSING_MS: processingMs, WAYBILL_RUN: run, ...env } })
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.goto(`${app.url}/history`)
  return { page, app, file, complaints }
}

/** The cells of an order's attempts, row by row. */
function attempts(page: Page, index: number): Promise<string[][]> {
  return page
    .getByRole('list', { name: 'The last orders' })
    .getByRole('listitem')
    .nth(index)
    .locator('tbody tr')
    .evaluateAll(rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent ?? '')))
}

async function untilBadges(page: Page, wanted: readonly string[]): Promise<void> {
  const shown = (texts: string) =>
    [...document.querySelectorAll('#orders .badge')].map(it => it.textContent).join() === texts
  await page.waitForFunction(shown, wanted.join())
}

it('shows new orders at once, with the execution of each attempt', async () => {
  const { page, app, complaints } = await openHistory('process', '0')
  await page.getByText('Nothing has been ordered yet.').waitFor()
  await untilFinal(await placeOrder(app.url))
  const second = (await (await fetch(`${app.url}/orders`, orderRequest())).json()) as { id: string }

  await page.getByRole('heading', { name: second.id }).waitFor()
  await untilBadges(page, ['completed', 'completed'])
  expect(await page.getByText('Nothing has been ordered yet.').isVisible()).toBe(false)
  for (const order of [0, 1]) {
    expect(await attempts(page, order)).toEqual([
      [
        '#1',
        expect.stringMatching(/^process · process-\d+-\w+-\w+-\w{8}$/),
        expect.stringMatching(/^\d\d:\d\d:\d\d$/),
        expect.stringMatching(/^\d+(\.\d)? s$/),
        'completed',
        '',
      ],
    ])
  }
  expect(complaints).toEqual([])
})

it('shows why attempts ended, what runs, and hostile text as text', async () => {
  const { page, app, complaints } = await openHistory('inline', '60000')
  const canceled = await placeOrder(app.url)
  await page.getByRole('cell', { name: 'running' }).waitFor()
  expect(await attempts(page, 0)).toMatchObject([['#1', 'a worker', expect.anything(), '', 'running', '']])
  await fetch(canceled, { method: 'DELETE' })
  const order = { customer: HOSTILE, items: [{ name: HOSTILE, quantity: 1 }] }
  const headers = { 'Content-Type': 'application/json' }
  await fetch(`${app.url}/orders`, { method: 'POST', headers, body: JSON.stringify(order) })

  await untilBadges(page, ['running', 'canceled'])
  expect((await attempts(page, 1))[0]?.slice(3)).toEqual([
    expect.stringMatching(/ s$/),
    'canceled',
    expect.stringMatching(/^The operation was canceled/),
  ])
  expect(await page.locator('main img, main script').count()).toBe(0)
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  if (SCREENSHOTS !== undefined) {
    mkdirSync(SCREENSHOTS, { recursive: true })
    await page.screenshot({ path: join(SCREENSHOTS, 'history.png') })
    await page.setViewportSize({ width: 390, height: 800 })
    await page.screenshot({ path: join(SCREENSHOTS, 'history-narrow.png') })
  }
  expect(complaints).toEqual([])
})

const PROBLEM = problem('operation-failed')
const THROWN = {
  name: 'TypeError',
  message: HOSTILE,
  stack: `TypeError: ${HOSTILE}\n    at pack (processor.ts:7:3)`,
  cause: { name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
}

/** Another worker on the same file, whose handler throws once. */
async function failOnce(file: string): Promise<void> {
  const store = sqliteStore({ path: file })
  await store.open()
  try {
    const from = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
    const [claim] = await store.claim({ from, holder: 'other/1', execution: null, engine: null, leaseMs: 60_000 })
    const { id = '', attempt = 0 } = claim?.operation ?? {}
    const outcome = { kind: 'failed', problem: PROBLEM, error: THROWN } as const
    expect(await store.change(id, { kind: 'finish', attempt, outcome })).toMatchObject({ status: 'failed' })
  } finally {
    await store.close()
  }
}

it('shows the error of the handler to the operator, and no response to a client contains it', async () => {
  const { page, app, file, complaints } = await openHistory('none', '0')
  const order = await placeOrder(app.url)
  await failOnce(file)
  await untilBadges(page, ['failed'])

  const cell = page.getByRole('row', { name: '#1' }).getByRole('cell').last()
  const summary = cell.locator('summary')
  expect(await summary.textContent()).toBe(`TypeError: ${HOSTILE}`)
  await summary.click()
  const shown = (await cell.locator('pre').textContent()) ?? ''
  expect(shown.split('\n')).toEqual([
    `TypeError: ${HOSTILE}`,
    '    at pack (processor.ts:7:3)',
    'caused by Error: connect ECONNREFUSED',
    'code: ECONNREFUSED',
  ])
  expect(await page.locator('main img').count()).toBe(0)
  for (const url of [order, `${order}/attempts`, `${order}/result`, `${app.url}/orders`]) {
    expect(await (await fetch(url)).text()).not.toMatch(/TypeError|ECONNREFUSED/)
  }
  expect(complaints).toEqual([])
})

it('shows the error of the handler to no other machine', async () => {
  const { page, app, file, complaints } = await openHistory('none', '0', { HOST: '0.0.0.0' })
  const order = await placeOrder(app.url)
  await failOnce(file)
  await untilBadges(page, ['failed'])
  await page.getByRole('cell', { name: PROBLEM.title }).waitFor()
  expect(await page.locator('details').count()).toBe(0)
  expect((await fetch(`${app.url}/history/${order.split('/').at(-1)}/errors`)).status).toBe(404)
  expect(complaints.filter(text => !text.includes('404'))).toEqual([])
})

it('reports that the API is unreachable, and continues when it answers again', async () => {
  const { page, complaints } = await openHistory('inline', '0')
  await page.route('**/orders?*', route => route.abort())
  await page.getByRole('alert').getByText('The history cannot be read').waitFor()
  await page.unroute('**/orders?*')
  await page.getByRole('alert').waitFor({ state: 'hidden' })
  expect(complaints.filter(text => !text.includes('ERR_FAILED'))).toEqual([])
})
