/** The console in a real browser, on a server of the test's own. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { buildConsole } from '../../scripts/console.ts'
import type { Waybill } from '../../src/waybill.ts'
import { launchChromium } from './chromium.ts'
import { serveFastify } from './servers.ts'
import type { TestContext } from './waybill.ts'

/** A browser, and the console as its sources are now. */
export async function startBrowser(): Promise<Browser> {
  const [browser] = await Promise.all([launchChromium(), buildConsole()])
  return browser
}

/** A page of the console. */
export interface ConsolePage {
  readonly page: Page
  readonly url: string
  /** What the page has complained of, such as what its Content-Security-Policy refuses; answers with a problem are left out. */
  readonly complaints: string[]
  /** The other hosts that the page has asked. */
  readonly strangers: string[]
}

/** Serves a composition with its console, and opens a view. */
export async function openConsole(
  lab: TestContext,
  browser: Browser,
  waybill: Waybill,
  view = '',
  look: BrowserContextOptions = {},
): Promise<ConsolePage> {
  const { url } = await serveFastify(lab, waybill, { admin: {} })
  return { url, ...(await openPage(lab, browser, `${url}/console${view}`, look)) }
}

/** Opens a page by its URL. */
export async function openPage(lab: TestContext, browser: Browser, url: string, look: BrowserContextOptions = {}) {
  const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'], ...look })
  lab.onEnd(() => context.close())
  const page = await context.newPage()
  const [complaints, strangers]: [string[], string[]] = [[], []]
  const { host } = new URL(url)
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error' && !/status of [45]|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/.test(message.text()))
      complaints.push(message.text())
  })
  page.on('request', request => {
    if (new URL(request.url()).host !== host) strangers.push(request.url())
  })
  await page.goto(url)
  return { page, complaints, strangers }
}
