/** A fleet: API processes that do no work, and worker processes that have no API, on one PostgreSQL. */
import { expect, it } from 'vitest'
import { postgresStore } from '../../../src/stores/postgres/postgres.ts'
import { startApp } from '../../support/app.ts'
import { startWaybill } from '../../support/cli.ts'
import { atLength } from '../../support/length.ts'
import { placeOrder, untilFinal } from '../../support/order.ts'
import { testDatabase } from '../../support/postgres.ts'

const API = new URL('../../fixtures/fleet/api.ts', import.meta.url).pathname
const PROCESSOR = new URL('../../../examples/orders/processor.ts', import.meta.url).pathname
const ORDERS = atLength(100, 300)
const WORKERS = atLength(2, 3)

const database = testDatabase()

it(`two APIs and ${WORKERS} workers share the work, and run no operation twice`, async () => {
  const schema = database.nextSchema()
  const env = { WAYBILL_STORE: `${database.url}?schema=${schema}`, ORDER_PROCESSING_MS: '20' }
  const apis = [await startApp({ file: '', entry: API, env }), await startApp({ file: '', entry: API, env })]
  const workers = Array.from({ length: WORKERS }, () =>
    startWaybill(['work', PROCESSOR, '--run', 'inline', '--concurrency', '8'], env),
  )
  await Promise.all(workers.map(worker => worker.writes('Working on')))
  const urls = await Promise.all(Array.from({ length: ORDERS }, (_, at) => placeOrder(apis[at % 2]?.url ?? '')))
  expect(new Set(urls).size).toBe(ORDERS)
  for (const url of urls) expect(await untilFinal(url)).toMatchObject({ status: 'completed', attempt: 1 })

  const pool = database.pool()
  const store = postgresStore(pool, { schema })
  await store.open()
  const holders = new Set<string>()
  for (const url of urls) {
    const { history = [] } = (await store.read(url.slice(-36))) ?? {}
    // A claim whose answer was too late was handed back before anything began.
    const [done, ...others] = history.filter(({ outcome }) => outcome !== 'released')
    expect([done?.outcome, others]).toEqual(['completed', []])
    holders.add(done?.holder ?? '')
  }
  await store.close()
  expect(holders.size).toBe(WORKERS)
  for (const api of apis) expect(await api.stop()).toEqual({ code: 0, signal: null })
})
