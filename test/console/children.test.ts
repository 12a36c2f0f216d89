/** The operations that a handler has submitted, in the console. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { batchOf, defineOperation, handler, ProblemError } from 'waybill'
import { isSuspended } from '../../src/model/operation.ts'
import { violations } from '../support/axe.ts'
import { openConsole, startBrowser } from '../support/console.ts'
import { hasFinished, submit, test, when } from '../support/waybill.ts'

const parts = defineOperation({ name: 'parts', attempts: 1 })
const wholes = defineOperation({ name: 'wholes' })

const handlers = [
  handler(parts, async (input, job) => {
    if (input === 'none') throw new ProblemError({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
    if (input === 'ask') return await job.event('delivered')
    return input
  }),
  handler(wholes, async (_, job) => {
    for (const part of ['wheel', 'none']) await job.submit(parts, part, { key: part })
    const awaited = await job.submit(parts, 'ask', { key: 'ask' })
    return await awaited.result()
  }),
]

let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser.close())

test('children are counted and listed by their state, and link to their parent', async ({ lab }) => {
  const waybill = await lab.waybill([parts, wholes], { worker: { handlers, concurrency: 4 } })
  const id = await submit(waybill, wholes)
  await when(waybill.store, id, isSuspended)
  const { items } = await waybill.operator.browse({ type: 'parts' })
  expect(items).toHaveLength(3)
  const [asking] = (await waybill.operator.children(id, 'unfinished')).items.filter(
    ({ status }) => status === 'pending',
  )
  for (const item of items) if (item.id !== asking?.id) await hasFinished(waybill.store, item.id)
  const { page, complaints } = await openConsole(lab, browser, waybill, `/operations/${id}`)
  await page.getByText('2 of 3').waitFor()
  await page.getByText('parts: Out of stock').waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByText('unfinished 1').click()
  await page.getByRole('listitem').filter({ hasText: 'waiting' }).getByRole('link').click()
  await page.getByText('Parent').waitFor()
  await page.getByLabel('JSON').fill('"today"')
  await page.getByRole('button', { name: 'Send the event' }).click()
  await page.getByRole('link', { name: id.slice(-8) }).click()
  await page.getByText('3 of 3').waitFor()
  expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'completed' })
  // How children were submitted is a step of Waybill's own.
  expect((await waybill.operator.get(id))?.steps.filter(({ name }) => name.includes('children'))).toEqual([])
  expect(complaints).toEqual([])
})

test('children of a batch are its items, and the uncompleted ones can be retried', async ({ lab }) => {
  const batches = batchOf(parts)
  const waybill = await lab.waybill([parts, batches], { worker: { handlers: handlers.slice(0, 1), concurrency: 4 } })
  const id = await submit(waybill, batches, ['wheel', 'none', 'axle'])
  expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'completed' })
  const { page, url, complaints } = await openConsole(lab, browser, waybill, `/operations/${id}`)
  await page.getByRole('heading', { name: 'Items' }).waitFor()
  await page.getByText('parts: Out of stock').waitFor()
  await page.getByRole('button', { name: 'Copy as curl: the results' }).click()
  await page.getByRole('button', { name: 'Copied' }).waitFor()
  const copied = await page.evaluate(() => navigator.clipboard.readText())
  expect(copied).toBe(`curl ${url}/parts/batches/${id}/results`)
  await page.getByText('results', { exact: true }).click()
  const results = page.getByRole('listitem').filter({ has: page.getByTitle('The place in the input') })
  await page.getByText('"axle"').first().waitFor()
  expect(await results.allInnerTexts()).toMatchObject([
    expect.stringMatching(/completed.*"wheel".*1$/s),
    expect.stringMatching(/failed.*Out of stock.*2$/s),
    expect.stringMatching(/completed.*"axle".*3$/s),
  ])
  expect(await violations(page)).toEqual([])
  await page.getByRole('button', { name: 'Retry' }).first().click()
  await page.getByText('Retry of').waitFor()
  await page.goto(`${url}/console/types`)
  await page.getByRole('button', { name: 'Pause parts/batches' }).click()
  await page.getByRole('button', { name: 'Resume parts/batches' }).waitFor()
  expect([...waybill.operator.paused()]).toEqual(['parts/batches'])
  expect(complaints).toEqual([])
})
