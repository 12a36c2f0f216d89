/** A real browser for tests of pages. */
import bundled from '@sparticuz/chromium'
import { type Browser, chromium } from 'playwright-core'

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
  return await chromium.launch({ executablePath: await bundled.executablePath(), args: ARGUMENTS })
}
