/** The console, as an operator uses it. */
import { gzipSync } from 'node:zlib'
import fastify from 'fastify'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { buildConsole } from '../../scripts/console.ts'
import type { Waybill } from '../../src/waybill.ts'
import { violations } from '../support/axe.ts'
import { openConsole, openPage, startBrowser } from '../support/console.ts'
import { atLength } from '../support/length.ts'
import { OrderServer, orders, type Wish } from '../support/order-server.ts'
import { serveFastify } from '../support/servers.ts'
import { hasFinished, hasStatus, submit, type TestContext, test, when } from '../support/waybill.ts'

let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser.close())

async function start(lab: TestContext) {
  const desk = new OrderServer()
  const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers, concurrency: 4 } })
  const order = (wish: Wish, owner = '') => submit(waybill, orders, { wish }, { owner })
  return { desk, waybill, order }
}

async function ended(waybill: Waybill, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) await hasFinished(waybill.store, id)
}

const end = (id: string) => id.slice(-8)

describe('the overview', () => {
  test('counts accepted, ended and waiting operations live, and links to the failed ones', async ({ lab }) => {
    const { desk, waybill, order } = await start(lab)
    const { page, complaints, strangers } = await openConsole(lab, browser, waybill)
    const tile = (name: string) =>
      page
        .locator('.tile')
        .filter({ has: page.getByText(name, { exact: true }) })
        .locator('.value')
    await page.getByText('Nothing has failed in the window.').waitFor()
    const failed = await order('fail')
    await ended(waybill, failed)
    await order('hold')
    await expect.poll(() => tile('Accepted').textContent()).toBe('2')
    await expect.poll(() => tile('Failed').textContent()).toBe('1')
    await expect.poll(() => tile('Running').textContent()).toBe('1')
    desk.letGo()
    await page.getByText('No worker runs anything at present.').waitFor()
    await page.getByText('24h').click()
    expect(new URL(page.url()).search).toBe('?window=24h')
    await page.getByRole('link', { name: 'out-of-stock' }).click()
    await page.getByText(end(failed)).waitFor()
    expect(complaints).toEqual([])
    expect(strangers).toEqual([])
  })
})

describe('the list of operations', () => {
  test('shows an order as it is accepted, runs and ends', async ({ lab }) => {
    const { desk, waybill, order } = await start(lab)
    const { page, complaints, strangers } = await openConsole(lab, browser, waybill, '/operations')
    await page.getByText('Nothing has been accepted yet.').waitFor()
    const id = await order('hold', 'Ada')
    const row = page.getByRole('row').filter({ hasText: end(id) })
    await row.getByText('running').waitFor()
    await row.getByText('packing').waitFor()
    desk.letGo()
    await row.getByText('completed').waitFor()
    expect(complaints).toEqual([])
    expect(strangers).toEqual([])
  })

  test('finds the operations that match a filter, which is in the URL and survives a reload', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const [failed, completed] = [await order('fail'), await order('complete')]
    await ended(waybill, failed, completed)
    const { page } = await openConsole(lab, browser, waybill, '/operations')
    await page.getByText(end(completed)).waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('problem:out-of-stock')
    await page.getByText(end(completed)).waitFor({ state: 'detached' })
    await page.getByText(end(failed)).waitFor()
    expect(new URL(page.url()).searchParams.get('filter')).toBe('problem:out-of-stock')
    await page.reload()
    await page.getByText(end(failed)).waitFor()
    expect(await page.getByLabel('Filter', { exact: true }).inputValue()).toBe('problem:out-of-stock')
    await page.getByRole('link', { name: 'running', exact: true }).click()
    await page.getByText('No operation fits.').waitFor()
    expect(new URL(page.url()).searchParams.get('filter')).toBe('status:running problem:out-of-stock')
  })

  test('shows the error of an invalid filter, and keeps the list', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const id = await order('complete')
    const { page } = await openConsole(lab, browser, waybill, '/operations')
    await page.getByLabel('Filter', { exact: true }).fill('status:done')
    await page.getByText('status:done: a status is one of').waitFor()
    expect(await page.getByText(end(id)).count()).toBe(1)
  })

  test('loads further operations at the end of the list', async ({ lab }) => {
    const waybill = await lab.waybill([orders])
    const ids = await Promise.all(Array.from({ length: 130 }, () => submit(waybill, orders, { wish: 'complete' })))
    const { page } = await openConsole(lab, browser, waybill, '/operations')
    const rows = page.locator('tr[data-row]')
    await rows.first().waitFor()
    await expect
      .poll(async () => {
        await page.mouse.wheel(0, 4000)
        return await rows.count()
      })
      .toBe(ids.length)
    await page.getByText('That is all.').waitFor()
    const shown = await rows.evaluateAll(all => all.map(it => it.getAttribute('data-row')))
    expect(shown.sort()).toEqual(ids.sort())
  })

  test('can be used by the keyboard', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const ids = [await order('complete'), await order('complete'), await order('complete')]
    await ended(waybill, ...ids)
    const { page } = await openConsole(lab, browser, waybill, '/operations')
    await page.locator('tr[data-row]').nth(2).waitFor()
    for (const key of ['j', 'j', 'j', 'k']) await page.keyboard.press(key)
    const [, middle] = [...ids].sort()
    expect(await page.evaluate(() => document.activeElement?.closest('tr')?.getAttribute('data-row'))).toBe(middle)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1 }).getByText(`${middle}`).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await page.goBack()
    await page.locator('tr[data-row]').nth(2).waitFor()
  })

  test('cancels the selected operations', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const ids = [await order('hold'), await order('hold')]
    for (const id of ids) await hasStatus(waybill.store, id, 'running')
    const kept = await order('hold')
    const { page } = await openConsole(lab, browser, waybill, '/operations')
    for (const id of ids) await page.getByLabel(`Select ${id}`).check()
    await page.getByRole('toolbar').getByRole('button', { name: 'Cancel' }).click()
    const dialog = page.getByRole('dialog', { name: 'The selected operations' })
    await dialog.getByText('2 operations fit.').waitFor()
    await dialog.getByRole('button', { name: 'Cancel 2' }).click()
    for (const id of ids) expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'canceled' })
    expect(await waybill.store.read(kept)).toMatchObject({ cancelRequested: false })
    await page.getByText('2 canceled, or asked to stop.').waitFor()
    const { items } = await waybill.operator.audit()
    expect(items).toMatchObject([{ action: 'bulk-cancel', count: 2, target: expect.stringContaining(ids[0] ?? '') }])
    await page.getByRole('link', { name: 'Audit' }).click()
    await page.getByRole('row').filter({ hasText: 'bulk-cancel' }).getByRole('link', { name: '2 selected' }).waitFor()
  })
})

describe('one operation', () => {
  test('shows its progress, its log and its result while it runs', async ({ lab }) => {
    const { desk, waybill, order } = await start(lab)
    const id = await order('hold')
    const { page, complaints } = await openConsole(lab, browser, waybill, `/operations/${id}`)
    await page.getByText('running').first().waitFor()
    await page.getByRole('list', { name: 'Log' }).getByText('held').waitFor()
    await expect.poll(() => page.getByRole('progressbar').getAttribute('value')).toBe('0.5')
    await page.reload()
    await page.getByRole('list', { name: 'Log' }).getByText('held').waitFor()
    desk.letGo()
    await page.getByText('"packed"').waitFor()
    await page.getByText('"hold"').waitFor()
    expect(complaints).toEqual([])
  })

  test('shows why it failed: the problem, and the error of the handler with its stack', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const id = await order('crash')
    await ended(waybill, id)
    const { page } = await openConsole(lab, browser, waybill, `/operations/${id}`)
    await page.getByText('The operation failed', { exact: true }).first().waitFor()
    const thrown = page.getByLabel('What the handler threw', { exact: true })
    expect(await thrown.textContent()).toMatch(/Error: a secret of the server\n\s+at /)
  })

  test('can be canceled while it runs', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const id = await order('hold')
    await when(waybill.store, id, ({ progress }) => progress !== null)
    const { page } = await openConsole(lab, browser, waybill, `/operations/${id}`)
    await page.getByRole('button', { name: 'Cancel' }).click()
    expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'canceled' })
    await page.getByRole('heading', { name: 'Cancellation' }).waitFor()
    expect(await page.getByRole('button', { name: 'Cancel' }).count()).toBe(0)
  })

  test('can be copied as a curl command that submits the same input', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const id = await order('complete')
    await ended(waybill, id)
    const { page, url } = await openConsole(lab, browser, waybill, `/operations/${id}`)
    await page.getByText('"packed"').waitFor()
    await page.getByRole('button', { name: 'Copy as curl' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      `curl -i ${url}/orders \\\n  -H 'Content-Type: application/json' \\\n  -d '{"wish":"complete"}'`,
    )
  })

  test('that does not exist is reported', async ({ lab }) => {
    const { waybill } = await start(lab)
    const { page } = await openConsole(lab, browser, waybill, '/operations/01936f5e-8c1a-7b3c-9d4e-5f60718293a4')
    await page.getByText('Check the URL against the Location header').waitFor()
  })
})

describe('an ended operation', () => {
  test('can be retried as a new operation, and both link to each other', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const id = await order('fail')
    await ended(waybill, id)
    const { page } = await openConsole(lab, browser, waybill, `/operations/${id}`)
    await page.getByRole('button', { name: 'Retry' }).click()
    await page.getByText('Retry of').waitFor()
    const retry = page.url().slice(-36)
    expect(await hasFinished(waybill.store, retry)).toMatchObject({ retryOf: id, status: 'failed' })
    await page.getByRole('link', { name: end(id) }).click()
    await page.getByText('Retried by').waitFor()
    expect(await page.getByRole('button', { name: 'Retry' }).count()).toBe(0)
  })

  test('can be deleted after a confirmation', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const id = await order('complete')
    await ended(waybill, id)
    const { page } = await openConsole(lab, browser, waybill, `/operations/${id}`)
    await page.getByRole('button', { name: 'Delete' }).click()
    const question = page.getByRole('dialog', { name: 'Delete this operation?' })
    await question.getByRole('button', { name: 'Close' }).click()
    expect(await waybill.store.read(id)).toMatchObject({ purged: false })
    await page.getByRole('button', { name: 'Delete' }).click()
    await question.getByRole('button', { name: 'Delete' }).click()
    await page.getByText('completed, deleted').waitFor()
    expect(await waybill.store.read(id)).toMatchObject({ purged: true })
  })

  test('can be selected for a retry, and the others are counted', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const [failed, completed] = [await order('fail'), await order('complete')]
    const running = await order('hold')
    await ended(waybill, failed, completed)
    const { page } = await openConsole(lab, browser, waybill, '/operations')
    for (const id of [failed, running]) await page.getByLabel(`Select ${id}`).check()
    await page.getByRole('toolbar').getByRole('button', { name: 'Retry' }).click()
    const dialog = page.getByRole('dialog', { name: 'The selected operations' })
    await dialog.getByText('1 operation fits.').waitFor()
    await dialog.getByRole('button', { name: 'Retry 1' }).click()
    await page.getByText('1 retried, 1 did not fit.').waitFor()
    expect(await waybill.store.read(failed)).toMatchObject({ retriedBy: expect.any(String) })
    expect(await waybill.store.read(completed)).toMatchObject({ retriedBy: null })
  })
})

test('all operations that match are retried after a preview, and the audit has the operator', async ({ lab }) => {
  const { waybill, order } = await start(lab)
  const failed = [await order('fail'), await order('fail'), await order('fail')]
  await ended(waybill, ...failed, await order('complete'))
  const { page, complaints } = await openConsole(lab, browser, waybill, '/operations?filter=status:failed')
  await page.getByRole('button', { name: 'All that match' }).click()
  const dialog = page.getByRole('dialog', { name: 'All that match' })
  await dialog.getByText('3 operations fit.').waitFor()
  expect(await dialog.getByRole('listitem').count()).toBe(3)
  await dialog.getByRole('button', { name: 'Retry 3' }).click()
  const row = page.getByRole('row').filter({ hasText: 'status:failed' })
  await row.getByText('completed').waitFor()
  await row.getByText('3 of 3').waitFor()
  for (const id of failed) expect(await waybill.store.read(id)).toMatchObject({ retriedBy: expect.any(String) })
  await page.getByRole('link', { name: 'Audit' }).click()
  await page.getByRole('row').filter({ hasText: 'bulk-retry' }).getByText('local').waitFor()
  expect(complaints).toEqual([])
})

test('an operation type can be paused and resumed', async ({ lab }) => {
  const { waybill, order } = await start(lab)
  const { page } = await openConsole(lab, browser, waybill, '/types')
  await page.getByRole('button', { name: 'Pause orders' }).click()
  await page.getByText('paused', { exact: true }).waitFor()
  const id = await order('complete')
  await page.getByText('Oldest ready').waitFor()
  await page.getByRole('button', { name: 'Resume orders' }).click()
  await page.getByText('open', { exact: true }).waitFor()
  expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'completed' })
})

test('hostile text is not executed', async ({ lab }) => {
  const { waybill, order } = await start(lab)
  const hostile = '<img src=x onerror="window.pwned = true">'
  const id = await order('complete', hostile)
  await ended(waybill, id)
  const { page, complaints } = await openConsole(lab, browser, waybill, `/operations/${id}`)
  await page.getByText(hostile).first().waitFor()
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(complaints).toEqual([])
})

test('long text and right-to-left text keep the layout of the page', async ({ lab }) => {
  const long = defineOperation({
    name: 'long',
    tags: () => ({ [`a${'n'.repeat(31)}`]: 'W'.repeat(128), b: '\u202Efdp.exe مرحبا' }),
  })
  const speak = handler(long, async (_, job) => {
    job.progress(0.5, 'مرحبا بالعالم '.repeat(40))
    job.log('x'.repeat(3000))
    await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
  })
  const waybill = await lab.waybill([long], { worker: { handlers: speak } })
  const id = await submit(waybill, long, { text: 'y'.repeat(3000) }, { owner: 'k'.repeat(200) })
  await when(waybill.store, id, ({ progress }) => progress !== null)
  for (const width of [1280, 360]) {
    const look = { viewport: { width, height: 800 } }
    const { page } = await openConsole(lab, browser, waybill, `/operations/${id}`, look)
    await page.getByText('xxx').waitFor()
    await page.getByText('yyy').waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
  }
})

test('the console reports an unreachable server, and continues when it answers', async ({ lab }) => {
  const { waybill, order } = await start(lab)
  const id = await order('hold')
  await hasStatus(waybill.store, id, 'running')
  const serve = async (port: number) => {
    const app = fastify({ forceCloseConnections: true })
    await app.register(plugin, { waybill, admin: {} })
    const url = await app.listen({ port, host: '127.0.0.1' })
    return { url, close: () => app.close() }
  }
  const first = await serve(0)
  const { page, complaints } = await openPage(lab, browser, `${first.url}/console/operations`)
  await page.getByText('Live').waitFor()
  await page.getByText(end(id)).waitFor()
  await first.close()
  await page.getByText('No answer').waitFor()
  expect(await page.getByText(end(id)).count()).toBe(1)
  const later = await order('complete')
  const second = await serve(Number(new URL(first.url).port))
  lab.onEnd(() => second.close())
  await page.getByText('Live').waitFor()
  await page.getByText(end(later)).waitFor()
  expect(complaints).toEqual([])
})

test('an operator signs in with a token', async ({ lab }) => {
  const { waybill, order } = await start(lab)
  const id = await order('complete')
  const app = fastify({ forceCloseConnections: true })
  const operators = new Map([['Bearer sesame', { name: 'ann', role: 'viewer' as const }]])
  const principal = ({ headers }: { headers: { authorization?: string | undefined } }) =>
    operators.get(headers.authorization ?? '')
  await app.register(plugin, { waybill, admin: { principal } })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  lab.onEnd(() => app.close())
  const { page } = await openPage(lab, browser, `${url}/console/operations/${id}`)
  await page.getByLabel('Token').fill('guessed')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Token').fill('sesame')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText(id).first().waitFor()
  await page.getByText('viewer').waitFor()
  await page.getByText('Your role does not include payloads.').first().waitFor()
  expect(await page.getByRole('button', { name: 'Delete' }).count()).toBe(0)
})

describe('the files', () => {
  test('weigh less than 120 KB, load nothing from other origins, and are cached by their digests', async ({ lab }) => {
    const files = Object.entries(await buildConsole())
    const weight = files.reduce((sum, [, text]) => sum + gzipSync(text, { level: 9 }).length, 0)
    expect(weight).toBeLessThan(120_000)
    const { waybill } = await start(lab)
    const api = await serveFastify(lab, waybill, { admin: {}, prefix: '/api' })
    const page = await api.ask('/api/console')
    expect((await api.ask('/api/console/')).status).toBe(200)
    expect((await api.ask('/api/console/nothing')).status).toBe(404)
    expect(await page.text()).toContain('<base href="/api/console/">')
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self'/,
    )
    expect(page.headers.get('cache-control')).toBe('no-cache')
    for (const [path] of files.filter(([path]) => path.startsWith('assets/'))) {
      const asset = await api.ask(`/api/console/${path}`)
      expect([asset.status, asset.headers.get('cache-control')]).toEqual([200, 'public, max-age=31536000, immutable'])
    }
    for (const path of ['assets/..%2findex.html', 'assets/index.html', 'assets/%2e%2e%2f%2e%2e%2fpackage.json']) {
      expect((await api.ask(`/api/console/${path}`)).status, path).toBe(404)
    }
  })

  test('are not served without the option or with console: false', async ({ lab }) => {
    const { waybill } = await start(lab)
    expect((await (await serveFastify(lab, waybill)).ask('/console')).status).toBe(404)
    const api = await serveFastify(lab, waybill, { admin: { console: false } })
    expect((await api.ask('/console')).status).toBe(404)
    expect((await api.ask('/admin/session')).status).toBe(200)
  })
})

const LIGHT = ['light', { colorScheme: 'light', viewport: { width: 1280, height: 900 } }] as const
const LOOKS = [
  LIGHT,
  ['dark', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
  ['narrow', { colorScheme: 'dark', viewport: { width: 360, height: 740 } }],
  ['forced colors', { forcedColors: 'active', viewport: { width: 1280, height: 900 } }],
] as const

describe.each(atLength<readonly (typeof LOOKS)[number][]>([LIGHT], LOOKS))('axe finds nothing, %s,', (_, look) => {
  test('in every view', async ({ lab }) => {
    const { waybill, order } = await start(lab)
    const [failed, completed] = [await order('crash'), await order('complete')]
    await ended(waybill, failed, completed)
    const running = await order('hold')
    await when(waybill.store, running, ({ progress }) => progress !== null)
    const { page, url } = await openConsole(lab, browser, waybill, '/operations', { ...look, reducedMotion: 'reduce' })
    await page.getByText(end(running)).waitFor()
    expect(await violations(page)).toEqual([])
    for (const id of [failed, completed, running]) {
      await page.goto(`${url}/console/operations/${id}`)
      await page.getByRole('heading', { name: 'Log' }).waitFor()
      await page.locator('details.attempt summary').first().click()
      expect(await violations(page)).toEqual([])
    }
    await page.keyboard.press('?')
    await page.getByRole('dialog').waitFor()
    expect(await violations(page)).toEqual([])
    await waybill.operator.bulk('retry', { status: 'failed' }, { name: 'ann' })
    for (const view of ['', '/types', '/bulk', '/audit']) {
      await page.goto(`${url}/console${view}`)
      await page.locator('table, .type').first().waitFor()
      expect(await violations(page)).toEqual([])
      // What is too wide scrolls by itself, and not the page.
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), view).toBe(true)
    }
    await page.goto(`${url}/console/operations`)
    await page.getByRole('button', { name: 'All that match' }).click()
    await page.locator('.sample li').first().waitFor()
    expect(await violations(page)).toEqual([])
  })
})
