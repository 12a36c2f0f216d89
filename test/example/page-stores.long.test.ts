/** The example in a real browser, on the stores that machines share: all that differs is WAYBILL_STORE. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startApp } from '../support/app.ts'
import { launchChromium } from '../support/chromium.ts'
import { CosmosAccount } from '../support/cosmos.ts'
import { ACCOUNT_KEY, DATABASE } from '../support/cosmos-server.ts'
import { testDatabase } from '../support/postgres.ts'

const database = testDatabase()
const account = new CosmosAccount()
let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
  await account.start()
})
afterAll(async () => {
  await browser.close()
  await account.stop()
})

const STORES = {
  postgres: () => `${database.url}?schema=${database.nextSchema()}`,
  cosmos: () => `cosmos:${account.server.endpoint}${DATABASE}/${account.container().id}`,
} as const

it.each(['cosmos', 'postgres'] as const)('orders on the page and sees the result (%s)', async kind => {
  const env = { WAYBILL_STORE: STORES[kind](), COSMOS_KEY: ACCOUNT_KEY, ORDER_PROCESSING_MS: '300' }
  const app = await startApp({ file: '', env })
  const page = await browser.newPage()
  await page.goto(app.url)
  await page.getByLabel('Customer').fill('Fabrikam')
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  const result = JSON.parse((await page.locator('#result:visible').textContent()) ?? '')
  expect(result).toMatchObject({ status: 'completed', order: { customer: 'Fabrikam' } })
  await page.close()
  expect(await app.stop()).toEqual({ code: 0, signal: null })
})
