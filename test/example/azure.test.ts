/** The example as it is deployed to Azure, on an Azure of this machine. */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { emulateAzure } from 'waybill/emulators/azure'
import { EXAMPLE, runToEnd, startApp } from '../support/app.ts'
import { JOB } from '../support/azure.ts'
import { CosmosServer, DATABASE } from '../support/cosmos-server.ts'
import { LOCALHOST } from '../support/localhost-certificate.ts'
import { placeOrder, untilFinal } from '../support/order.ts'
import { test } from '../support/waybill.ts'

const ORDERS = fileURLToPath(new URL('../../examples/orders/job.ts', import.meta.url))

test('each order is an execution of the job, and the history has its name', async ({ lab }) => {
  const file = join(dirname(lab.file()), 'orders.db')
  const env = { WAYBILL_STORE: `sqlite:${file}`, ORDER_PROCESSING_MS: '0' }
  const azure = await emulateAzure({ jobs: [{ name: JOB, command: ['node', ORDERS], env }] })
  lab.onEnd(() => azure.close())
  const app = await startApp({
    file,
    env: { ...azure.environment, WAYBILL_RUN: 'container-apps' },
  })
  const { id } = await untilFinal(await placeOrder(app.url))
  const { items } = (await (await fetch(`${app.url}/operations/${id}/attempts`)).json()) as { items: unknown[] }
  const execution = azure.executions[0]?.name
  expect(execution).toMatch(new RegExp(`^${JOB}-`))
  expect(items).toMatchObject([{ number: 1, engine: 'container-apps', execution, outcome: 'completed' }])
  expect(await app.stop()).toEqual({ code: 0, signal: null })
})

test('an order goes from the API by an execution to Cosmos DB and back, and all of it by managed identity', async ({
  lab,
}) => {
  const server = await CosmosServer.start({ tls: true })
  lab.onEnd(() => server.close())
  const container = server.add({ id: 'operations' })
  const folder = dirname(lab.file())
  const authorities = join(folder, 'authorities.pem')
  const store = {
    WAYBILL_STORE: `cosmos:${server.endpoint}${DATABASE}/${container.id}`,
    NODE_EXTRA_CA_CERTS: authorities,
    ORDER_PROCESSING_MS: '0',
  }
  const azure = await emulateAzure({ jobs: [{ name: JOB, command: ['node', ORDERS], env: store }] })
  lab.onEnd(() => azure.close())
  server.admits = token => azure.admits(token, new URL(server.endpoint).origin)
  // The resource manager and Cosmos DB have a certificate each.
  const trusted = [readFileSync(azure.environment.NODE_EXTRA_CA_CERTS ?? ''), LOCALHOST.cert]
  writeFileSync(authorities, trusted.join('\n'))
  const app = await startApp({
    file: '',
    env: { ...azure.environment, ...store, WAYBILL_RUN: 'container-apps' },
  })
  expect(await untilFinal(await placeOrder(app.url))).toMatchObject({ status: 'completed', attempt: 1 })
  expect(azure.executions).toHaveLength(1)
  expect(azure.tokenRequests).toBeGreaterThan(0)
  expect(await app.stop()).toEqual({ code: 0, signal: null })
})

test.for([
  ['container-apps', 'AZURE_SUBSCRIPTION_ID'],
  ['storage-queue', 'WAYBILL_QUEUE'],
] as const)('WAYBILL_RUN=%s reports missing settings', async ([run, name], { lab }) => {
  const env = { WAYBILL_RUN: run, WAYBILL_STORE: `sqlite:${lab.file()}`, PORT: '0', NODE_NO_WARNINGS: '1' }
  const { code, text } = await runToEnd(EXAMPLE, env)
  expect([code, text]).toEqual([1, `Set ${name}, which WAYBILL_RUN=${run} needs.\n`])
})
