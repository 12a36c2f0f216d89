/** What an open console costs the API beside it, and how soon it is seen, on a store that holds very many operations. */
import bundled from '@sparticuz/chromium'
import { chromium } from 'playwright-core'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Bench, Server } from '../bench.ts'
import { ORDER } from '../orders.ts'
import type { Sample, Scenario } from '../scenario.ts'
import { seedSqlite } from '../seed.ts'

const [COUNT, QUICK_COUNT] = [1_000_000, 20_000]
const [ALONE, BESIDE] = ['alone', 'beside an open console']
const [PAINT, ALLOWED, ALLOWED_MS] = ['first paint: ms', 'allowed: ms', 300]
/** As console/src/live.ts reads. */
const [MIN_PACE_MS, READ_SHARE] = [750, 10]

export const console: Scenario = {
  name: 'console',
  about: 'POST /orders beside an open console, and the first paint of the console, on a million operations in SQLite',
  ratios: [
    { name: 'rate beside an open console / alone', of: `${BESIDE}: requests/s`, to: `${ALONE}: requests/s` },
    // What others take of the machine changes the rate, and not this.
    { name: 'CPU alone / beside an open console', of: `${ALONE}: CPU µs`, to: `${BESIDE}: CPU µs`, atLeast: 0.95 },
    { name: 'first paint / allowed', of: PAINT, to: ALLOWED, atMost: 1 },
  ],
  prepare: async bench => {
    const path = bench.file('operations.db')
    const made = sqliteStore({ path })
    await made.open()
    await made.close()
    seedSqlite(path, { finished: bench.quick ? QUICK_COUNT : COUNT, now: Date.now(), owners: 1000, tagged: true })
    const server = await bench.serve({ kind: 'waybill', path, work: 'none', admin: true })
    const browser = await chromium.launch({ executablePath: await bundled.executablePath(), args: ['--no-sandbox'] })
    bench.onEnd(() => browser.close())
    const firstPaint = async () => {
      // A context of its own has nothing in its cache.
      const context = await browser.newContext()
      const page = await context.newPage()
      await page.goto(`${urlOf(server)}/console`)
      await page.locator('nav').first().waitFor()
      const paint = await page.evaluate(
        () => performance.getEntriesByType('paint').find(({ name }) => name === 'first-contentful-paint')?.startTime,
      )
      await context.close()
      return paint ?? Number.NaN
    }
    return async () => {
      const alone = await post(bench, server, ALONE)
      const view = openOverview(server)
      const beside = await post(bench, server, BESIDE)
      const reads = await view.close()
      const paint = await firstPaint()
      return { ...alone, ...beside, 'reads of the console': reads, [PAINT]: paint, [ALLOWED]: ALLOWED_MS }
    }
  },
}

async function post(bench: Bench, server: Server, name: string): Promise<Sample> {
  const asked = { method: 'POST', paths: ['/orders'], body: JSON.stringify(ORDER), expect: 202 } as const
  const { perSecond, cpu } = await bench.load(server, { ...asked, seconds: 3 * bench.seconds })
  return { [`${name}: requests/s`]: perSecond, [`${name}: CPU µs`]: cpu }
}

/** Asks what the overview asks, at its pace. The browser itself would take the CPU that the server is measured by. */
function openOverview(server: Server): { close: () => Promise<number> } {
  const controller = new AbortController()
  const { signal } = controller
  let reads = 0
  const follow = async () => {
    let readyAt = 0
    const events = await fetch(`${urlOf(server)}/admin/events`, { signal })
    for await (const piece of events.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      if (!piece.includes('event: ') || performance.now() < readyAt) continue
      const begun = performance.now()
      const answer = await fetch(`${urlOf(server)}/admin/statistics?window=1h`, { signal })
      await answer.arrayBuffer()
      reads++
      readyAt = performance.now() + Math.max(MIN_PACE_MS, (performance.now() - begun) * READ_SHARE)
    }
  }
  const followed = follow().catch(error => {
    if (!signal.aborted) throw error
  })
  return {
    close: async () => {
      controller.abort()
      await followed
      return reads
    },
  }
}

function urlOf({ port }: Server): string {
  return `http://127.0.0.1:${port}`
}
