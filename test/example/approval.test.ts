/** A handler asks, everything is killed, an hour passes, and the answer has it go on: given on the page, and by an agent. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { resultFromTaskOutcome, type SerializedTaskReference } from '@modelcontextprotocol/ext-tasks/client'
import { expect, onTestFinished, test } from 'vitest'
import { type App, startApp, temporaryFolder } from '../support/app.ts'
import { launchChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { connectClient, taskSession } from '../support/mcp-clients.ts'
import { ORDER, readStatus, storedOperation, until } from '../support/order.ts'

const ENTRY = new URL('../fixtures/approval/api.ts', import.meta.url).pathname
const HOUR = 3_600_000

/** An API that can be killed, and started again an hour later under the same address. */
async function makeApi() {
  const folder = temporaryFolder()
  const [file, notes] = [join(folder, 'orders.db'), join(folder, 'notes')]
  writeFileSync(notes, '')
  const env = { PORT: String(await freePort()), NOTES: notes }
  const start = (aheadMs: number) => startApp({ file, entry: ENTRY, env: { ...env, CLOCK_AHEAD_MS: String(aheadMs) } })
  return { file, done: () => readFileSync(notes, 'utf8'), app: await start(0), startLater: () => start(HOUR) }
}

async function untilAsked(app: App, id: string): Promise<void> {
  const { waits } = await until(`${app.url}/orders/status/${id}`, document => document.waits !== undefined)
  expect(waits).toMatchObject([{ kind: 'input', name: 'approval', message: 'Send it to Contoso?' }])
}

/** The steps have run once each, and the handler ran in two processes an hour apart. */
async function expectApproved(app: App, file: string, done: () => string): Promise<void> {
  expect(done()).toBe('reserved\nsent\n')
  await app.killGroup()
  const { status, createdAt, finishedAt, history } = await storedOperation(file)
  expect(status).toBe('completed')
  expect((finishedAt ?? 0) - createdAt).toBeGreaterThanOrEqual(HOUR)
  expect(history.map(({ outcome }) => outcome)).toEqual(['suspended', 'completed'])
  expect(new Set(history.map(({ holder }) => holder)).size).toBe(2)
}

test('a person answers on the page', async () => {
  const { file, done, app, startLater } = await makeApi()
  const browser = await launchChromium()
  onTestFinished(() => browser.close())
  const page = await (await browser.newContext()).newPage()
  await page.goto(app.url)
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  const question = page.getByRole('group', { name: 'Send it to Contoso?' })
  await question.waitFor()
  const id = (await page.locator('#order-id').textContent()) ?? ''
  await untilAsked(app, id)
  await app.killGroup()
  expect(done()).toBe('reserved\n')

  const later = await startLater()
  await page.reload()
  await question.getByRole('button', { name: 'Approve' }).click()
  await page.locator('#result:visible').waitFor()
  expect(JSON.parse((await page.locator('#result').textContent()) ?? '')).toMatchObject({ id, status: 'completed' })
  await expectApproved(later, file, done)
})

test("an agent answers, for its user, by the official client's tasks", async () => {
  const { file, done, app, startLater } = await makeApi()
  const answer = { value: true }
  const connect = async (given?: object) => {
    const client = await connectClient(app, given && { elicitation: {} }, given)
    onTestFinished(() => client.close())
    const session = taskSession(client, app, given)
    onTestFinished(() => session.close())
    return session
  }
  // One that has nobody to ask hands its task on to one that has.
  const called = await (await connect()).callTool('place_order', { ...ORDER })
  if (called.kind !== 'task') throw new Error('The call has become no task.')
  let reference: SerializedTaskReference | undefined
  await called.handoff(kept => {
    reference = kept
  })
  if (reference === undefined) throw new Error('The client has kept nothing.')
  const id = reference.taskId
  await untilAsked(app, id)
  await app.killGroup()
  expect(done()).toBe('reserved\n')

  const later = await startLater()
  const { outcome } = await (await (await connect(answer)).resumeTask(reference)).settle()
  expect(resultFromTaskOutcome(outcome)).toMatchObject({ structuredContent: ORDER })
  expect((await readStatus(`${later.url}/orders/status/${id}`)).status).toBe('completed')
  await expectApproved(later, file, done)
})
