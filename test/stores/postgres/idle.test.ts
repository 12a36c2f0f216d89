/** A fleet in which nothing happens looks one process after the other. */
import { Client, Pool } from 'pg'
import { afterEach, expect, it } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { createWaybill, type Waybill } from 'waybill/server'
import { postgresStore } from '../../../src/stores/postgres/postgres.ts'
import { quoteSchema } from '../../../src/stores/postgres/schema.ts'
import { statementsFor } from '../../../src/stores/postgres/statements.ts'
import { testDatabase } from '../../support/postgres.ts'
import { until } from '../../support/waybill.ts'

const database = testDatabase()
const FLEET = 12
const orders = defineOperation({ name: 'orders' })

/** How often the processes of one schema have looked, by what for. */
type Looks = Record<'claims' | 'sweeps', number>

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(ends.splice(0).map(end => end()))
})

/** A client of `pg` that counts the looks it is used for. */
function countingClient(schema: string, looks: Looks) {
  const { claim, holders } = statementsFor(quoteSchema(schema))
  return class extends Client {
    override query(...args: unknown[]): never {
      const { text } = args[0] as { text?: string }
      if (text === claim.text) looks.claims++
      if (text === holders.text) looks.sweeps++
      return super.query(...(args as [never])) as never
    }
  }
}

async function start(schema: string, looks: Looks): Promise<Waybill> {
  const pool = new Pool({ connectionString: database.url, max: 3, Client: countingClient(schema, looks) })
  pool.on('error', () => {})
  const waybill = createWaybill({
    operations: [orders],
    store: postgresStore(pool, { schema, checkInterval: '1s' }),
    worker: { run: 'inline', handlers: [handler(orders, () => 'done')], pollInterval: '250ms' },
    sweepInterval: '500ms',
  })
  await waybill.start()
  ends.push(async () => {
    await waybill.stop()
    await pool.end()
  })
  return waybill
}

it(`${FLEET} processes poll about as often as one does, and find due operations`, async () => {
  const [alone, fleet]: [Looks, Looks] = [
    { claims: 0, sweeps: 0 },
    { claims: 0, sweeps: 0 },
  ]
  const [one, all] = [database.nextSchema(), database.nextSchema()]
  const waybills: Waybill[] = []
  for (let at = 0; at < FLEET; at++) waybills.push(await start(all, fleet))
  await start(one, alone)
  // Each knows of the others by then.
  const before = alone.sweeps
  await until(() => alone.sweeps > before + 6)
  const [aloneFrom, fleetFrom] = [{ ...alone }, { ...fleet }]
  await until(() => alone.sweeps > aloneFrom.sweeps + 12)
  for (const kind of ['claims', 'sweeps'] as const) {
    const ratio = (fleet[kind] - fleetFrom[kind]) / (alone[kind] - aloneFrom[kind])
    expect(ratio, `of ${kind}`).toBeLessThan(0.75 * FLEET)
  }
  const id = (await waybills[0]?.operations.submit(orders, { input: 1, delay: '2s' }))?.operation.id ?? ''
  await until(async () => (await waybills[1]?.store.read(id))?.status === 'completed')
})
