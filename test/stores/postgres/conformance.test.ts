import type { Pool } from 'pg'
import { beforeAll, describe, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { type ManualClock, storeConformance } from 'waybill/testing'
import type { Store } from '../../../src/stores/store.ts'
import { longIf } from '../../support/length.ts'
import { LONG_STORE_TESTS } from '../../support/long-store-tests.ts'
import { holdsOf, testDatabase } from '../../support/postgres.ts'

// Of version 18: pooler.test.ts has the same of version 15.
const database = testDatabase()
let pool: Pool
beforeAll(() => {
  pool = database.pool()
})

async function open(clock: ManualClock, schema: string): Promise<Store> {
  const store = postgresStore(pool, { schema, clock: clock.now, monotonicClock: clock.monotonic })
  await store.open()
  return store
}

storeConformance(
  {
    name: 'PostgreSQL',
    open: async clock => open(clock, await database.emptiedSchema()),
    reopen: clock => open(clock, database.lastSchema()),
    loseInput: async id => {
      await pool.query(`DELETE FROM ${database.lastSchema()}.payloads WHERE id = $1 AND kind = 0`, [id])
    },
    hold: holdsOf(database),
  },
  { describe, it: longIf(LONG_STORE_TESTS, it) },
)
