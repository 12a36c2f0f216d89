/** The example on stores that machines share: all that differs is WAYBILL_STORE. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startApp } from '../support/app.ts'
import { waybill } from '../support/cli.ts'
import { CosmosAccount } from '../support/cosmos.ts'
import { ACCOUNT_KEY, DATABASE } from '../support/cosmos-server.ts'
import { atLength } from '../support/length.ts'
import { placeOrder, untilFinal } from '../support/order.ts'
import { testDatabase } from '../support/postgres.ts'

const database = testDatabase()
const account = new CosmosAccount()
beforeAll(() => account.start())
afterAll(() => account.stop())

const STORES = {
  postgres: () => `${database.url}?schema=${database.nextSchema()}`,
  cosmos: () => `cosmos:${account.server.endpoint}${DATABASE}/${account.container().id}`,
} as const

const RUNS: readonly string[] = ['children', 'process']

describe.each([
  ['postgres', atLength(['children'], RUNS)],
  ['cosmos', atLength(['process'], RUNS)],
] as const)('WAYBILL_STORE=%s:…', (kind, runs) => {
  it.each(runs)('accepts orders and runs them (WAYBILL_RUN=%s)', async run => {
    const env = { WAYBILL_STORE: STORES[kind](), COSMOS_KEY: ACCOUNT_KEY, WAYBILL_RUN: run }
    const app = await startApp({ file: '', env })
    const statusUrl = await placeOrder(app.url)
    expect(await untilFinal(statusUrl)).toMatchObject({ status: 'completed', attempt: 1 })
    expect(app.output()).not.toContain('postgres:postgres')
    expect(await app.stop()).toEqual({ code: 0, signal: null })
    const { out } = await waybill(['ls', '--json'], env)
    expect(JSON.parse(out)).toMatchObject({ id: statusUrl.slice(-36), status: 'completed' })
  })
})
