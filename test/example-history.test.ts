import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { type App, startApp, temporaryFolder } from './support/app.ts'
import { launchChromium } from './support/chromium.ts'
import { orderRequest, placeOrder, untilFinal } from './support/order.ts'

const HOSTILE = '<img src=x onerror="window.pwned = true">'
const SCREENSHOTS = process.env.WAYBILL_SHOTS

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

async function openHistory(run: string, processingMs: string): Promise<{ page: Page; app: App; complaints: string[] }> {
  const app = await startApp({
    file: join(temporaryFolder(), 'orders.db'),
    env: { ORDER_PROCESSING_MS: processingMs, WAYBILL_RUN: run },
  })
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.goto(`${app.url}/history`)
  return { page, app, complaints }
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

it('shows the orders as they come, with the execution of each attempt', async () => {
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
        expect.stringMatching(/^process · process-\d+-\w+$/),
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

it('says that the API is away, and goes on when it answers again', async () => {
  const { page, complaints } = await openHistory('inline', '0')
  await page.route('**/orders?*', route => route.abort())
  await page.getByRole('alert').getByText('The history cannot be read').waitFor()
  await page.unroute('**/orders?*')
  await page.getByRole('alert').waitFor({ state: 'hidden' })
  expect(complaints.filter(text => !text.includes('ERR_FAILED'))).toEqual([])
})
