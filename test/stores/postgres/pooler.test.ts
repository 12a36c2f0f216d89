import { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresStoreOptions, postgresStore } from 'waybill/stores/postgres'
import { storeConformance } from 'waybill/testing'
import type { Hint, Store } from '../../../src/stores/store.ts'
import { atLength } from '../../support/length.ts'
import { holdsOf, TESTED, testDatabase } from '../../support/postgres.ts'
import { TransactionPooler } from '../../support/transaction-pooler.ts'

const database = testDatabase(TESTED[0])
let pooler: TransactionPooler
let pool: Pool

beforeAll(async () => {
  pooler = await TransactionPooler.start(database.url, 4)
  pool = new Pool({ connectionString: pooler.url, max: 10 })
  pool.on('error', () => {})
})

afterAll(async () => {
  await pool.end()
  await pooler.stop()
})

async function open(options: PostgresStoreOptions): Promise<Store> {
  const store = postgresStore(pool, options)
  await store.open()
  return store
}

// That nothing is received is found out once, below: to wait for it in each test would take minutes.
const POLLING = { notifications: false, pollInterval: 20 }

/** The whole contract, on the other version than that of conformance.test.ts: each statement is executed by both. */
function conformance(): void {
  storeConformance(
    {
      name: 'PostgreSQL behind a pooler in transaction mode',
      open: async clock =>
        open({ schema: await database.emptiedSchema(), clock: clock.now, monotonicClock: clock.monotonic, ...POLLING }),
      reopen: clock =>
        open({ schema: database.lastSchema(), clock: clock.now, monotonicClock: clock.monotonic, ...POLLING }),
      hold: holdsOf(database),
    },
    { describe, it },
  )
}

atLength(() => {}, conformance)()

describe('a store behind a pooler in transaction mode', () => {
  const stores: Store[] = []
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close()
  })

  it('notices that no notifications arrive, warns once, and polls instead', async () => {
    const warnings: string[] = []
    const schema = database.nextSchema()
    // The answer is waited for as long as for a statement.
    const options = { schema, pollInterval: 50, timeout: 500, warn: (message: string) => void warnings.push(message) }
    const store = await open(options)
    stores.push(store)
    const hints: Hint[] = []
    store.watch(hint => hints.push(hint))
    await expect.poll(() => warnings, { timeout: 240_000 }).toHaveLength(1)
    expect(warnings[0]).toContain('every 50 ms')
    hints.length = 0
    await expect.poll(() => hints.length, { timeout: 240_000 }).toBeGreaterThan(3)
    expect(new Set(hints.map(({ kind }) => kind))).toEqual(new Set(['unknown']))
    expect(warnings).toHaveLength(1)
  })
})
