/** The article's system, whole: an API process with a managed identity, Azure Resource Manager, an execution, the store, 303. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { emulateAzure } from 'waybill/emulators/azure'
import { startApp } from '../../support/app.ts'
import { JOB } from '../../support/azure.ts'
import { onlyLong } from '../../support/length.ts'
import { ORDER, orderRequest, placeOrder, readStatus, storedOperation, untilFinal } from '../../support/order.ts'
import { type TestContext, test, until } from '../../support/waybill.ts'

const API = fileURLToPath(new URL('../../fixtures/azure/api.ts', import.meta.url))
const ORDERS = fileURLToPath(new URL('../../../examples/orders/job.ts', import.meta.url))

/** The API's process and an azure whose job is the example's, on one store. */
async function deployed(lab: TestContext, processingMs: string) {
  const file = join(dirname(lab.file()), 'orders.db')
  const env = { WAYBILL_STORE: `sqlite:${file}`, ORDER_PROCESSING_MS: processingMs }
  const azure = await emulateAzure({ jobs: [{ name: JOB, command: ['node', ORDERS], env }] })
  lab.onEnd(() => azure.close())
  const app = await startApp({ file, entry: API, env: azure.environment })
  return { azure, app, file }
}

test('an order goes by POST, a start, a process and the store to 303', async ({ lab }) => {
  const { azure, app, file } = await deployed(lab, '200')
  const accepted = await fetch(`${app.url}/orders`, orderRequest())
  expect(accepted.status).toBe(202)
  const { id } = (await accepted.json()) as { id: string }
  const statusUrl = `${app.url}/orders/status/${id}`
  expect(await untilFinal(statusUrl)).toMatchObject({ id, status: 'completed', attempt: 1 })
  const redirect = await fetch(statusUrl, { redirect: 'manual' })
  expect([redirect.status, redirect.headers.get('Location')]).toEqual([303, `/orders/${id}`])
  expect(await (await fetch(statusUrl)).json()).toMatchObject({ id, order: ORDER })

  const [execution] = azure.executions
  expect(execution?.variable('ORDER_ID')).toBe(id)
  await execution?.end
  expect(execution?.status).toBe('Succeeded')
  const starts = azure.requests.filter(({ kind }) => kind === 'start')
  expect(starts.map(({ status, operationId }) => ({ status, operationId }))).toEqual([{ status: 202, operationId: id }])
  expect(starts[0]?.headers['user-agent']).toMatch(/^azsdk-js-arm-appcontainers\/4/)
  // The POST carried no token of the test's: it came from the managed identity, and was kept.
  expect(azure.tokenRequests).toBeGreaterThan(0)
  expect(azure.tokenRequests).toBeLessThanOrEqual(2)
  expect(await app.stop()).toEqual({ code: 0, signal: null })
  expect((await storedOperation(file)).history[0]).toMatchObject({ outcome: 'completed', execution: execution?.name })
})

onlyLong(() => {
  test('a POST does not wait for Azure: it is accepted while Azure does not answer', async ({ lab }) => {
    const { azure, app } = await deployed(lab, '0')
    azure.fail(() => ({ answer: 'silence' }))
    const statusUrls = [await placeOrder(app.url), await placeOrder(app.url)]
    for (const statusUrl of statusUrls) expect(await readStatus(statusUrl)).toMatchObject({ status: 'pending' })
    expect(azure.executions).toEqual([])
  })

  test('an order whose execution is killed is completed by the next one', async ({ lab }) => {
    const { azure, app } = await deployed(lab, '1500')
    const statusUrl = await placeOrder(app.url)
    await until(async () => ((await (await fetch(statusUrl)).json()) as { status: string }).status === 'running')
    azure.executions[0]?.kill()
    expect(await untilFinal(statusUrl)).toMatchObject({ status: 'completed', attempt: 2 })
    expect(azure.executions).toHaveLength(2)
  })
})()
