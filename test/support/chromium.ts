/** A real browser for tests of pages. */
import bundled from '@sparticuz/chromium'
import { type Browser, chromium } from 'playwright-core'
import { PATIENCE_MS } from './waybill.ts'

/** What it would do on its own besides showing pages: all of it off. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts Chromium; the caller closes it. */
export async function launchChromium(): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: await bundled.executablePath(), args: ARGUMENTS, timeout: 0 })
  // A page is as slow as its machine.
  browser.on('context', context => {
    context.setDefaultTimeout(PATIENCE_MS)
    context.setDefaultNavigationTimeout(PATIENCE_MS)
  })
  return browser
}
