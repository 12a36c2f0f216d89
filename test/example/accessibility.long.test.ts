/** The pages for people, by the rules of axe: in both themes, narrow and wide, and in forced colors. */
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startApp, temporaryFolder } from '../support/app.ts'
import { violations } from '../support/axe.ts'
import { launchChromium } from '../support/chromium.ts'

/** Where pictures of the pages are written to, if anywhere. */
const SHOTS = process.env.WAYBILL_SHOTS

const [WIDE, NARROW] = [
  { width: 1280, height: 900 },
  { width: 320, height: 700 },
]
const LOOKS = {
  light: { colorScheme: 'light', forcedColors: 'none', viewport: WIDE },
  dark: { colorScheme: 'dark', forcedColors: 'none', viewport: WIDE },
  narrow: { colorScheme: 'dark', forcedColors: 'none', viewport: NARROW },
  'forced colors': { colorScheme: 'dark', forcedColors: 'active', viewport: WIDE },
} as const

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

/** The example with a page of it. */
async function open(processingMs: string, look: BrowserContextOptions = {}): Promise<{ page: Page; url: string }> {
  const file = join(temporaryFolder(), 'orders.db')
  const { url } = await startApp({ file, env: { ORDER_PROCESSING_MS: processingMs, WAYBILL_RUN: 'inline' } })
  const context = await browser.newContext({ ...look, reducedMotion: 'reduce' })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  await page.goto(url)
  return { page, url }
}

/** What axe finds wrong with the page as it is now, in every look. */
async function violationsInEveryLook(page: Page, name: string): Promise<string[]> {
  const found: string[] = []
  for (const [look, { viewport, ...media }] of Object.entries(LOOKS)) {
    await page.emulateMedia(media)
    await page.setViewportSize(viewport)
    const shot = `${name} ${look}`.replaceAll(' ', '-')
    if (SHOTS) await page.screenshot({ path: join(SHOTS, `${shot}.png`), fullPage: true })
    for (const violation of await violations(page)) found.push(`${look}: ${violation}`)
  }
  return found
}

test('axe finds a picture without an alternative', async () => {
  const page = await browser.newPage()
  await page.setContent('<html lang="en"><title>A page</title><main><h1>A picture</h1><img src="data:,"></main></html>')
  expect(await violations(page)).toEqual(['image-alt: <img src="data:,">'])
  await page.close()
})

describe('axe finds nothing', () => {
  test('on the page of orders', async () => {
    const { page } = await open('600000')
    expect(await violationsInEveryLook(page, 'idle')).toEqual([])
    await page.getByLabel('Customer').fill('')
    await page.getByLabel('Quantity').last().fill('1001')
    await page.getByRole('button', { name: 'Order', exact: true }).click()
    await page.getByRole('alert').waitFor()
    expect(await violationsInEveryLook(page, 'refused')).toEqual([])
    await page.getByLabel('Customer').fill('Contoso')
    await page.getByLabel('Quantity').last().fill('3')
    await page.getByRole('button', { name: 'Order', exact: true }).click()
    await page.locator('[data-status="running"]').first().waitFor()
    expect(await violationsInEveryLook(page, 'running')).toEqual([])
    await page.getByRole('button', { name: 'Cancel the order' }).click()
    await page.locator('#failure:visible').waitFor()
    expect(await violationsInEveryLook(page, 'canceled')).toEqual([])
  })

  test('on the page of the history, and that of the API', async () => {
    const { page, url } = await open('0')
    for (const _ of [1, 2]) {
      await page.getByRole('button', { name: 'Order', exact: true }).click()
      await page.locator('#result:visible').waitFor()
    }
    expect(await violationsInEveryLook(page, 'completed')).toEqual([])
    await page.goto(`${url}/history`)
    await page.getByRole('cell', { name: 'completed' }).nth(1).waitFor()
    expect(await violationsInEveryLook(page, 'history')).toEqual([])
    await page.goto(`${url}/docs`)
    await page.evaluate(() => {
      for (const part of document.querySelectorAll('details')) part.open = true
    })
    expect(await violationsInEveryLook(page, 'docs')).toEqual([])
  })
})

test('an error of a field is its description', async () => {
  const { page } = await open('0')
  await page.getByLabel('Customer').fill('')
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  await page.getByRole('alert').waitFor()
  const description = await page.getByLabel('Customer').evaluate(field => {
    const id = field.getAttribute('aria-describedby') ?? ''
    return document.getElementById(id)?.textContent
  })
  expect(description).toMatch(/^\/customer ./)
  await page.getByLabel('Customer').fill('Contoso')
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  await page.locator('#result:visible').waitFor()
  expect(await page.locator('[aria-describedby]').count()).toBe(0)
})

test('the progress is visible in forced colors', async () => {
  const { page } = await open('4000', { forcedColors: 'active', colorScheme: 'dark' })
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  await expect.poll(() => page.getByRole('progressbar').getAttribute('value')).toMatch(/^0\.\d/)
  const picture = await page.getByRole('progressbar').screenshot()
  const [done, left] = await colors(page, picture)
  expect(done).not.toEqual(left)
})

/** The colors of a picture near its left and its right end, halfway down. */
async function colors(page: Page, picture: Buffer): Promise<number[][]> {
  const blank = await page.context().newPage()
  return await blank.evaluate(async base64 => {
    const bytes = Uint8Array.from(atob(base64), byte => byte.charCodeAt(0))
    const image = await createImageBitmap(new Blob([bytes]))
    const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d')
    canvas?.drawImage(image, 0, 0)
    const at = (x: number) => [...(canvas?.getImageData(x, image.height / 2, 1, 1).data ?? [])]
    return [at(5), at(image.width - 6)]
  }, picture.toString('base64'))
}
