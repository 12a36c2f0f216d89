/** What a process has given up is not done in the server either, however long that was kept from it. */
import { Client, type Pool, type PoolClient } from 'pg'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresClient, type PostgresPool, postgresStore } from 'waybill/stores/postgres'
import { type ManualClock, manualClock } from 'waybill/testing'
import type { Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { testDatabase } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'

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
  store = postgresStore(own, { schema: database.nextSchema(), timeout: 1000, notifications: false })
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

describe('while another transaction locks the table', () => {
  it('refused writes are not made afterwards, and no statement continues in the server', async () => {
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

describe('a claim without a response', () => {
  const many = { ...CLAIM, from: { types: [{ type: 'orders', limit: 2 }], limit: 2 } }

  /** A store whose next claim is done in the server, and whose answer is lost with its connection. */
  async function losing(lost: { next: boolean }): Promise<{ clock: ManualClock; claimTwo: () => Promise<unknown[]> }> {
    const clock = manualClock()
    store = postgresStore(losesAnswers(database.pool(), lost), { schema: database.nextSchema(), clock: clock.now })
    await store.open()
    for (const at of [1, 2, 3, 4]) await store.accept(submissionOf(numberedId(at)))
    const claimTwo = async () => {
      const claims = await store.claim(many)
      return claims.map(({ operation: { id, attempt, released } }) => ({ id, attempt, released }))
    }
    return { clock, claimTwo }
  }

  it('is returned to the queue by the next claim, and earlier claims are kept', async () => {
    const lost = { next: false }
    const { clock, claimTwo } = await losing(lost)
    expect(await claimTwo()).toHaveLength(2)
    clock.advance(10)
    lost.next = true
    await expect(claimTwo()).rejects.toThrow('Connection terminated')
    expect((await store.read(numberedId(3)))?.status).toBe('running')
    clock.advance(10)
    expect(await claimTwo()).toEqual([3, 4].map(at => ({ id: numberedId(at), attempt: 2, released: 1 })))
    for (const at of [1, 2]) expect(await store.read(numberedId(at))).toMatchObject({ status: 'running', attempt: 1 })
  })

  it('is returned to the queue when the store is closed', async () => {
    const lost = { next: true }
    const { claimTwo } = await losing(lost)
    await expect(claimTwo()).rejects.toThrow('Connection terminated')
    await store.close()
    const rows = await pool.query(
      `SELECT status, attempt, released FROM ${database.lastSchema()}.operations WHERE attempt > 0`,
    )
    expect(rows.rows).toEqual([1, 2].map(() => ({ status: 0, attempt: 1, released: 1 })))
  })
})

/** A pool on which one claim, once it is asked for, is done in the server and has no answer. */
function losesAnswers(real: Pool, lost: { next: boolean }): PostgresPool {
  const wrap = (client: PoolClient) =>
    overriding<PostgresClient>(client, {
      query: async query => {
        const answer = await client.query<unknown[]>(query)
        if (!lost.next || !query.text.includes('lease_until =')) return answer
        lost.next = false
        throw new Error('Connection terminated unexpectedly')
      },
    })
  return overriding<PostgresPool>(real, { connect: async () => wrap(await real.connect()) })
}

function overriding<T extends object>(real: T, own: Partial<T>): T {
  return new Proxy(real, {
    get: (target, name) => {
      const value: unknown = Reflect.get(name in own ? own : target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
