/** The pictures of the example's page in the documentation, in both themes: `WAYBILL_SHOTS=docs/images npm run test:long -- test/example/pictures`. */
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startApp, temporaryFolder } from '../support/app.ts'
import { launchChromium } from '../support/chromium.ts'

/** Where the pictures are written to, if anywhere. */
const SHOTS = process.env.WAYBILL_SHOTS

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

test('a completed order looks different in the light and the dark theme', async () => {
  const pictures: Buffer[] = []
  for (const colorScheme of ['light', 'dark'] as const) {
    const file = join(temporaryFolder(), 'orders.db')
    const { url } = await startApp({ file, env: { ORDER_PROCESSING_MS: SHOTS ? '3000' : '0', WAYBILL_RUN: 'inline' } })
    const look = { colorScheme, viewport: { width: 1180, height: 860 }, deviceScaleFactor: 1.5 }
    const context = await browser.newContext({ ...look, reducedMotion: 'reduce' })
    const page = await context.newPage()
    await page.goto(url)
    await page.getByRole('button', { name: 'Order', exact: true }).click()
    await page.locator('#result:visible').waitFor()
    pictures.push(await page.screenshot(SHOTS ? { path: join(SHOTS, `orders-${colorScheme}.png`) } : {}))
    await context.close()
  }
  expect(pictures[0]?.equals(pictures[1] ?? Buffer.of())).toBe(false)
})
