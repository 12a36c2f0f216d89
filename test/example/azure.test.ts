/** The example as it is deployed to Azure, on an Azure of this machine. */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { emulateAzure } from 'waybill/emulators/azure'
import { startApp } from '../support/app.ts'
import { JOB } from '../support/azure.ts'
import { CosmosServer, DATABASE } from '../support/cosmos-server.ts'
import { LOCALHOST } from '../support/localhost-certificate.ts'
import { placeOrder, untilFinal } from '../support/order.ts'
import { test } from '../support/waybill.ts'

const ORDERS = fileURLToPath(new URL('../../examples/orders/job.ts', import.meta.url))

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
  const final = await untilFinal(await placeOrder(app.url))
  expect(final).toMatchObject({ status: 'completed', attempt: 1 })
  expect(azure.executions).toHaveLength(1)
  const execution = azure.executions[0]?.name
  expect(execution).toMatch(new RegExp(`^${JOB}-`))
  const { items } = (await (await fetch(`${app.url}/operations/${final.id}/attempts`)).json()) as { items: unknown[] }
  expect(items).toMatchObject([{ number: 1, engine: 'container-apps', execution, outcome: 'completed' }])
  expect(azure.tokenRequests).toBeGreaterThan(0)
  expect(await app.stop()).toEqual({ code: 0, signal: null })
})
