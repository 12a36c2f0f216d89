/** What operators ask for reads a bounded part of any store, by the order of the ids. */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import { browseStatement } from '../../src/stores/postgres/browse.ts'
import { copyStatements } from '../../src/stores/postgres/dumps.ts'
import { BROWSE_LIMIT, type BrowseQuery, type Store } from '../../src/stores/store.ts'
import { testDatabase } from '../support/postgres.ts'

const COUNT = 2 * BROWSE_LIMIT + 5
const database = testDatabase()
/** The time that the ids say. The operation of each number was accepted that many milliseconds later. */
const AT = 0x01941f297c00
const idOf = (number: number) => `01941f29-7c00-7000-8000-${String(number).padStart(12, '0')}`
const COLUMNS = `type, owner, status, version, priority, created_at, attempt, released, lost, max_attempts, max_lost,
   retention, launches, cancel_requested, webhook_due`

/** The first operation alone is a refund. */
const type = (number: string) => `CASE WHEN ${number} = 1 THEN 'refunds' ELSE 'orders' END`

async function sqlite(): Promise<Store> {
  const file = new DatabaseSync(':memory:')
  const store = sqliteStore({ path: ':memory:', database: file })
  await store.open()
  file.exec(`
    INSERT INTO operations (${COLUMNS}, uuid, updated_after)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT})
    SELECT ${type('i')}, '', 2, 3, 0, ${AT} + i, 1, 0, 0, 3, 2, 1000, 0, 0, 0,
      unhex(printf('01941f297c0070008000%012d', i)), 0 FROM n`)
  return store
}

async function postgres(): Promise<Store> {
  const [pool, schema] = [database.pool(), database.nextSchema()]
  const store = postgresStore(pool, { schema })
  await store.open()
  await pool.query(`
    INSERT INTO "${schema}".operations (${COLUMNS}, id, updated_at)
    SELECT ${type('n')}, '', 2, 3, 0, ${AT} + n, 1, 0, 0, 3, 2, 1000, 0, false, false,
      ('01941f29-7c00-7000-8000-' || lpad(n::text, 12, '0'))::uuid, ${AT} + n FROM generate_series(1, ${COUNT}) AS n`)
  await pool.query(`ANALYZE "${schema}".operations`)
  return store
}

describe.each([
  ['SQLite', sqlite],
  ['PostgreSQL', postgres],
] as const)('looking through many operations in %s', (_, open) => {
  it('reads a limited number at a time, and returns where to continue', async () => {
    const store = await open()
    const pages = [await store.browse({ type: 'refunds', limit: 10 })]
    for (let next = pages[0]?.next; next !== undefined; next = pages.at(-1)?.next) {
      pages.push(await store.browse({ type: 'refunds', limit: 10, after: next }))
    }
    const [first, second, third] = pages
    expect(first).toEqual({ operations: [], next: idOf(COUNT - BROWSE_LIMIT + 1), scanned: BROWSE_LIMIT })
    expect(second).toEqual({ operations: [], next: idOf(COUNT - 2 * BROWSE_LIMIT + 1), scanned: BROWSE_LIMIT })
    expect(third?.scanned).toBe(COUNT - 2 * BROWSE_LIMIT)
    expect(third?.operations.map(({ id }) => id)).toEqual([idOf(1)])
    expect(pages).toHaveLength(3)
    await store.close()
  })

  it('finds operations before a time behind many with ids that could be as early', async () => {
    const store = await open()
    const last = COUNT - 500
    const page = await store.browse({ createdBefore: AT + last, limit: 5 })
    expect(page.operations.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5].map(n => idOf(last - n)))
    expect(page).toMatchObject({ next: idOf(last - 5), scanned: 506 })
    await store.close()
  })
})

it.each(['force_custom_plan', 'force_generic_plan'])('PostgreSQL needs only the ids (%s)', async mode => {
  const store = await postgres()
  const schema = database.lastSchema()
  const { dump } = copyStatements(`"${schema}"`)
  const client = await database.pool().connect()
  const plan = async (text: string, types: string, values: string) => {
    await client.query(`SET plan_cache_mode = ${mode}`)
    await client.query(`PREPARE it (${types}) AS ${text}`)
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN EXECUTE it (${values})`)
    await client.query('DEALLOCATE it')
    return rows.map(row => row['QUERY PLAN']).join('\n')
  }
  const id = idOf(COUNT)
  const browse = async (query: BrowseQuery) => {
    const { text, values } = browseStatement(`"${schema}"`, query)
    const types = values.map((_, index) => new RegExp(`\\$${index + 1}::(\\w+)`).exec(text)?.[1])
    return await plan(text, types.join(', '), values.map(value => `'${value}'`).join(', '))
  }
  const plans = [
    await browse({ after: id, type: 'refunds', limit: 10 }),
    await browse({ after: id, owner: 'ann', status: 'failed', search: 'x', limit: 10 }),
    await plan(dump.text, 'uuid, int', `'${id}', 50`),
  ]
  for (const text of plans) {
    expect(text).toContain('operations_pkey')
    expect(text).not.toMatch(/Seq Scan on operations|operations_(?:waiting|running|ended)/)
  }
  client.release()
  await store.close()
})
