/** The pictures of the console in the documentation, in both themes: `WAYBILL_SHOTS=docs/images npm run test:long -- test/console/pictures`. */
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { openConsole, startBrowser } from '../support/console.ts'
import { hasFinished, submit, test, when } from '../support/waybill.ts'

/** Where the pictures are written to, if anywhere. */
const SHOTS = process.env.WAYBILL_SHOTS

const orders = defineOperation({ name: 'orders', attempts: 3, backoff: { initial: 1, max: 1 } })
const reports = defineOperation({ name: 'reports' })

const handlers = [
  handler(orders, async (input, job) => {
    await job.step('charge', () => ({ id: 'ch_1', amount: 4200, currency: 'EUR' }))
    job.log('Charged 42.00 EUR')
    if (input === 'lost' && job.attempt < 3) throw new TypeError('The label printer did not answer')
    if (input === 'declined')
      throw new ProblemError({ status: 402, title: 'The card was declined', code: 'card-declined' })
    job.log(`Packed by attempt ${job.attempt}`)
    return { parcel: 'DE-4711', weight: 2.4 }
  }),
  handler(reports, async (_, job) => {
    job.progress(0.62, 'reading November')
    await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
  }),
]

let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser.close())

test.for(['light', 'dark'] as const)('the list and one operation, %s', async (colorScheme, { lab }) => {
  const waybill = await lab.waybill([orders, reports], { worker: { handlers, concurrency: 4 } })
  const ended: string[] = []
  for (const input of ['fine', 'declined', 'fine', 'lost', 'fine', 'fine', 'declined', 'fine']) {
    const id = await submit(waybill, orders, input, { owner: 'Ada Lovelace' })
    await hasFinished(waybill.store, id)
    ended.push(id)
  }
  const running = await submit(waybill, reports, { month: '2026-11' })
  await when(waybill.store, running, ({ progress }) => progress !== null)
  const look = { colorScheme, viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 }
  const { page, url } = await openConsole(lab, browser, waybill, '/operations', look)
  await page.getByText('reading November').waitFor()
  const list = await page.screenshot(SHOTS ? { path: join(SHOTS, `console-${colorScheme}.png`) } : {})
  await page.goto(`${url}/console/operations/${ended[3]}`)
  await page.getByText('"parcel"').waitFor()
  await page.getByText('Packed by attempt 3').waitFor()
  const one = await page.screenshot(SHOTS ? { path: join(SHOTS, `console-operation-${colorScheme}.png`) } : {})
  expect(list.equals(one)).toBe(false)
})
