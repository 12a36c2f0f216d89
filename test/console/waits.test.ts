/** What an operation waits for, in the console: shown, and answered. */
import fastify from 'fastify'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { isSuspended } from '../../src/model/operation.ts'
import { violations } from '../support/axe.ts'
import { openConsole, openPage, startBrowser } from '../support/console.ts'
import { hasFinished, submit, type TestContext, test, when } from '../support/waybill.ts'

const transfers = defineOperation({ name: 'transfers' })
const APPROVAL = {
  type: 'object',
  properties: {
    approved: { type: 'boolean', title: 'Approved?' },
    limit: { type: 'integer', minimum: 1 },
    grade: { enum: ['A', 'B'] },
    reason: { type: 'string', maxLength: 20, description: 'For the audit.' },
  },
  required: ['approved', 'limit'],
  additionalProperties: false,
} as const
const BOOKED = { type: 'object', properties: { lines: { type: 'array' } }, required: ['lines'] } as const

const handlers = handler(transfers, async (_, job) => {
  await job.callbackUrl('booked')
  const approval = await job.ask('approval', {
    message: 'Transfer 1,200?\nTo Contoso.',
    schema: APPROVAL,
    timeout: '2d',
  })
  const booked = await job.event('booked', { schema: BOOKED })
  await job.sleep('cooling off', '30d')
  return { approval, booked }
})

let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser.close())

async function start(lab: TestContext) {
  const worker = { handlers, publicUrl: 'http://api.example.org' }
  const waybill = await lab.waybill([transfers], { worker })
  const id = await submit(waybill, transfers)
  await when(waybill.store, id, isSuspended)
  return { waybill, id }
}

test('a question has a form, an event has a JSON field, and each wait shows its deadline', async ({ lab }) => {
  const { waybill, id } = await start(lab)
  const { page, complaints } = await openConsole(lab, browser, waybill, '/operations')
  await page.getByText('asks: approval').waitFor()
  await page.getByText('waiting', { exact: true }).first().waitFor()
  await page.getByRole('link', { name: id.slice(-8) }).click()
  await page.getByText('Transfer 1,200?').waitFor()
  await page.getByText(/^until .*, 1d 23h left$/).waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByLabel('Approved?').selectOption('Yes')
  await page.getByLabel('limit').fill('0')
  await page.getByRole('button', { name: 'Answer' }).click()
  // The browser itself refuses what its field cannot be.
  expect(await page.getByLabel('limit').evaluate((field: HTMLInputElement) => field.validity.rangeUnderflow)).toBe(true)
  await page.getByLabel('limit').fill('7')
  await page.getByLabel('reason').fill('It is due.')
  await page.getByRole('button', { name: 'Answer' }).click()
  await page.getByRole('heading', { name: 'Waits for' }).waitFor()
  await page.getByText('without an end').waitFor()

  await page.getByLabel('JSON').fill('{"lines":')
  await page.getByRole('button', { name: 'Send the event' }).click()
  await page.getByText('It is not JSON.').waitFor()
  await page.getByLabel('JSON').fill('{"lines":1}')
  await page.getByRole('button', { name: 'Send the event' }).click()
  await page.getByRole('alert').getByText('/lines').waitFor()
  await page.getByLabel('JSON').fill('{"lines":[1,2]}')
  await page.getByRole('button', { name: 'Send the event' }).click()

  await page.getByText('cooling off').waitFor()
  expect(await page.getByRole('button', { name: 'Send the event' }).count()).toBe(0)
  const { steps, waits } = (await waybill.operator.get(id)) ?? { steps: [], waits: [] }
  expect(waits).toMatchObject([{ kind: 'time', name: 'cooling off' }])
  const values = steps.map(({ name, value }) => [name, (JSON.parse(value) as { value: unknown }).value])
  // A callback's secret is a step too, and is shown to nobody.
  expect(values).toEqual([
    ['waybill:wait:approval', { approved: true, limit: 7, reason: 'It is due.' }],
    ['waybill:wait:booked', { lines: [1, 2] }],
  ])
  await page.getByRole('button', { name: 'Cancel' }).click()
  expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'canceled' })
  // What was refused is in the audit, too.
  const acts = (await waybill.operator.audit()).items.map(({ action }) => action)
  expect(acts.sort()).toEqual(['cancel', 'event', 'event', 'event'])
  expect(complaints).toEqual([])
})

test('a viewer sees the question without a form', async ({ lab }) => {
  const { waybill, id } = await start(lab)
  const app = fastify({ forceCloseConnections: true })
  await app.register(plugin, { waybill, admin: { principal: () => ({ name: 'vic', role: 'viewer' }) } })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  lab.onEnd(() => app.close())
  const { page } = await openPage(lab, browser, `${url}/console/operations/${id}`)
  await page.getByText('Transfer 1,200?').waitFor()
  expect(await page.getByRole('button', { name: 'Answer' }).count()).toBe(0)
})
