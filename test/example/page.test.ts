import { get } from 'node:http'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, test } from 'vitest'
import { type App, startApp, temporaryFolder } from '../support/app.ts'
import { launchChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { atLength } from '../support/length.ts'

const HOSTILE = '<img src=x onerror="window.pwned = true"><script>window.pwned = true</script>'

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

/** The page of an API of its own. Errors of the page, such as what its Content-Security-Policy refuses, end the test. */
async function openPage(processingMs: string): Promise<{
  page: Page
  app: App & { file: string }
  complaints: string[]
}> {
  const file = join(temporaryFolder(), 'orders.db')
  const app = await startApp({
    file,
    env: { PORT: String(await freePort()), ORDER_PROCESSING_MS: processingMs, WAYBILL_RUN: 'inline' },
  })
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    // A browser reports each answer of 400 or more; those are what the tests ask for.
    if (message.type() === 'error' && !/status of 4/.test(message.text())) complaints.push(message.text())
  })
  page.on('dialog', dialog => void dialog.dismiss().then(() => complaints.push(dialog.message())))
  await page.goto(app.url)
  return { page, app: { ...app, file }, complaints }
}

async function order(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Order', exact: true }).click()
}

/** The result, once it is there. */
async function result(page: Page): Promise<unknown> {
  return JSON.parse((await page.locator('#result:visible').textContent()) ?? '')
}

describe('the page', () => {
  it('orders, shows each poll and the progress, and then the result', async () => {
    // So long that a poll comes meanwhile.
    const { page, app, complaints } = await openPage('5000')
    await page.getByLabel('Customer').fill('Fabrikam')
    await page.getByRole('button', { name: 'Add an item' }).click()
    await page.getByLabel('Name').last().fill('Cherry')
    await page.getByLabel('Quantity').last().fill('7')
    await page.getByRole('button', { name: 'Remove this item' }).first().click()
    await order(page)

    const id = await page.locator('#order-id:not(:empty)').textContent()
    await expect.poll(() => page.getByRole('progressbar').getAttribute('value')).toMatch(/^0\.\d+$/)
    expect(await page.getByRole('status').textContent()).toMatch(/^Packing (Banana|Cherry)$/)
    const kept = {
      customer: 'Fabrikam',
      items: [
        { name: 'Banana', quantity: 3 },
        { name: 'Cherry', quantity: 7 },
      ],
      completedAt: expect.any(String),
    }
    expect(await result(page)).toEqual({ id, status: 'completed', order: kept })
    expect(await page.getByRole('status').textContent()).toBe('Done')

    const lines = await page
      .getByRole('list', { name: 'What was asked and answered' })
      .getByRole('listitem')
      .allTextContents()
    expect(lines.at(-1)).toMatch(new RegExp(`^\\d\\d:\\d\\d:\\d\\daccepted.*/orders/status/${id}$`))
    expect(lines.filter(line => line.includes('running')).length).toBeGreaterThan(0)
    expect(lines[0]).toContain('completed')
    expect(await (await fetch(`${app.url}/orders/${id}`)).json()).toMatchObject({ order: kept })
    expect(complaints).toEqual([])
  })

  it('shows hostile text as text, and runs none of it', async () => {
    const { page, complaints } = await openPage('5000')
    await page.getByLabel('Customer').fill(HOSTILE)
    await page.getByLabel('Name').first().fill(HOSTILE)
    await order(page)
    await expect.poll(() => page.getByRole('status').textContent()).toBe(`Packing ${HOSTILE}`)
    expect(await result(page)).toMatchObject({ order: { customer: HOSTILE } })
    expect(await page.locator('main img, main script').count()).toBe(0)
    expect(await page.evaluate('window.pwned')).toBeUndefined()
    expect(complaints).toEqual([])
  })

  it.each(atLength(['Approve'], ['Approve', 'Refuse']))(
    'asks about a large order, and continues with the answer: %s',
    async answer => {
      const { page, app, complaints } = await openPage('0')
      for (const field of await page.getByLabel('Quantity').all()) await field.fill('1000')
      await order(page)
      const question = page.getByRole('group', { name: 'Pack 2000 pieces for Contoso?' })
      await question.waitFor()
      const id = await page.locator('#order-id').textContent()
      expect(await (await fetch(`${app.url}/orders/status/${id}`)).json()).toMatchObject({
        status: 'pending',
        waits: [{ kind: 'input', name: 'approval' }],
      })
      await page.reload()
      await question.getByRole('button', { name: answer }).click()
      if (answer === 'Approve') expect(await result(page)).toMatchObject({ id, status: 'completed' })
      else expect(await page.locator('#failure:visible').textContent()).toContain('The order was not approved')
      expect(await question.isVisible()).toBe(false)
      expect(complaints).toEqual([])
    },
  )

  it('cancels an order, and shows it', async () => {
    const { page, app, complaints } = await openPage('60000')
    await order(page)
    const id = await page.locator('#order-id:not(:empty)').textContent()
    await page.getByRole('button', { name: 'Cancel the order' }).click()
    expect(await page.locator('#failure:visible').textContent()).toContain('The operation was canceled')
    expect(await page.locator('#badge').textContent()).toBe('canceled')
    expect(await page.getByRole('button', { name: 'Cancel the order' }).isVisible()).toBe(false)
    expect((await fetch(`${app.url}/orders/${id}`)).status).toBe(410)
    expect(complaints).toEqual([])
  })

  it('shows the errors of the input beside the fields, and accepts the fixed input', async () => {
    const { page, complaints } = await openPage('0')
    await page.getByLabel('Customer').fill('')
    await page.getByLabel('Quantity').last().fill('1001')
    await order(page)
    const refusal = page.getByRole('alert')
    await refusal.waitFor()
    expect(await refusal.getByRole('listitem').allTextContents()).toEqual([
      expect.stringMatching(/^\/customer ./),
      expect.stringMatching(/^\/items\/1\/quantity ./),
    ])
    expect(await page.locator('[aria-invalid]').count()).toBe(2)
    expect(await page.getByLabel('Customer').evaluate(field => field === document.activeElement)).toBe(true)

    await page.getByLabel('Customer').fill('Contoso')
    await page.getByLabel('Quantity').last().fill('1000')
    await order(page)
    expect(await result(page)).toMatchObject({ status: 'completed' })
    expect(await refusal.isVisible()).toBe(false)
    expect(await page.locator('[aria-invalid]').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  it('continues to follow an order after a reload', async () => {
    const { page, complaints } = await openPage('60000')
    await order(page)
    const id = await page.locator('#order-id:not(:empty)').textContent()
    await page.reload()
    expect(await page.locator('#order-id:not(:empty)').textContent()).toBe(id)
    await page.getByRole('button', { name: 'Cancel the order' }).click()
    expect(await page.locator('#failure:visible').textContent()).toContain('The operation was canceled')
    expect(complaints).toEqual([])
  })
})

test('the page reports an unreachable server, and continues when it answers', async () => {
  const { page, app } = await openPage('60000')
  await order(page)
  await page.locator('#slip[data-status="running"]').waitFor()
  const trouble = page.getByText('The server does not answer.')
  expect(await trouble.isVisible()).toBe(false)
  await app.killGroup()
  await trouble.waitFor()
  const { port } = new URL(app.url)
  await startApp({ file: app.file, env: { PORT: port, ORDER_PROCESSING_MS: '60000', WAYBILL_RUN: 'inline' } })
  await trouble.waitFor({ state: 'hidden' })
  await page.getByRole('button', { name: 'Cancel the order' }).click()
  await page.locator('#failure:visible').waitFor()
  expect(await page.getByRole('list', { name: 'What was asked and answered' }).textContent()).toContain('no answer')
})

test('the page loads nothing from other origins, and only its own files are served', async () => {
  const app = await startApp({ file: join(temporaryFolder(), 'orders.db') })
  const page = await fetch(app.url)
  expect(page.headers.get('Content-Type')).toBe('text/html; charset=utf-8')
  expect(page.headers.get('Content-Security-Policy')).toMatch(/^default-src 'none'; script-src 'self';/)
  expect(page.headers.get('X-Content-Type-Options')).toBe('nosniff')
  for (const path of ['/settings.ts', '/../settings.ts', '/%2e%2e/settings.ts', '/waybill/../../package.json']) {
    expect(await statusOf(app.url, path), path).toBe(404)
  }
})

/** The status under a path that is sent as it is: `fetch` would take the dots out of it. */
function statusOf(url: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { path }, response => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })
}
