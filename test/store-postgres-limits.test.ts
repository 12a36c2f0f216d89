/** What a process has given up is not done in the server either, however long that was kept from it. */
import { Client, type Pool } from 'pg'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/postgres'
import type { Store } from '../src/store.ts'
import { numberedId } from '../src/testing/store/context.ts'
import { testDatabase } from './support/postgres.ts'
import { submissionOf } from './support/submission.ts'

const database = testDatabase()
const FROM = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
const CLAIM = { holder: 'h', leaseMs: 60_000, execution: null, from: FROM }
const POOL_SIZE = 4
/** Marks the connections of the store in the server's own view. */
const NAME = 'store-under-test'

let pool: Pool
let store: Store
let table: string

beforeAll(() => {
  pool = database.pool()
})

afterEach(() => store.close())

async function open(): Promise<void> {
  const own = database.pool({ max: POOL_SIZE, application_name: NAME })
  store = postgresStore(own, { schema: database.nextSchema(), timeoutMs: 1000, notifications: false })
  await store.open()
  table = `${database.lastSchema()}.operations`
}

/** Locks the whole table, as a migration or a careless `ALTER TABLE` does; the function lets it go. */
async function lockTable(): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: database.url })
  await client.connect()
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
  return async () => {
    await client.query('ROLLBACK')
    await client.end()
  }
}

async function count(query: string): Promise<number> {
  const { rows } = await pool.query(`SELECT count(*)::int AS count FROM ${query}`)
  return rows[0].count
}

describe('while the table is locked by someone else', () => {
  it('what was refused is not written afterwards, and no statement goes on in the server', async () => {
    await open()
    await store.accept(submissionOf(numberedId(1)))
    const unlock = await lockTable()
    const began = Array.from({ length: 30 }, (_, index) => {
      if (index % 3 === 0) return store.claim(CLAIM)
      return store.accept(submissionOf(numberedId(10 + index)))
    })
    const settled = await Promise.allSettled(began)
    expect(settled.filter(({ status }) => status === 'fulfilled')).toEqual([])
    const goingOn = `pg_stat_activity WHERE application_name = '${NAME}' AND state = 'active'`
    await expect.poll(() => count(goingOn)).toBe(0)
    expect(await count(`pg_stat_activity WHERE application_name = '${NAME}'`)).toBeLessThanOrEqual(POOL_SIZE)
    await unlock()
    await store.accept(submissionOf(numberedId(2)))
    expect(await count(table)).toBe(2)
    expect(await count(`${table} WHERE status = 1`)).toBe(0)
  })
})
