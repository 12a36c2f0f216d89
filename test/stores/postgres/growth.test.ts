/** What claims and sweeps leave behind in their indexes costs the next ones nothing, however large the tables are. */
import type { PoolClient } from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { statementsFor } from '../../../src/stores/postgres/statements.ts'
import { atLength } from '../../support/length.ts'
import { testDatabase, VERSIONS, type Version } from '../../support/postgres.ts'
import { explain } from '../../support/postgres-plans.ts'

const FINISHED = 60_000
/** So few that their dead rows are in less than a fiftieth of the pages: by itself, a vacuum would leave the indexes alone. */
const CLAIMED = 300
/** With a long name, few entries of an index need many pages. */
const TYPE = 'a-type-of-operations-with-a-name-as-long-as-one-may-be'.padEnd(200, '-')
/** How many operations a sweep takes, how many sweeps there are, and how many operations another transaction holds. */
const [SWEPT, SWEEPS, HELD] = [100, 60, 50]
const ASKED = JSON.stringify([{ type: TYPE, most: 10, place: 0 }])

describe.each(atLength<readonly Version[]>([18], VERSIONS))('PostgreSQL %i', version => {
  const database = testDatabase(version)

  it('makes a claim as cheap as on an empty queue, with every vacuum of a large table', async () => {
    const schema = database.nextSchema()
    const store = postgresStore(database.pool(), { schema })
    await store.open()
    await store.close()
    const client = await database.pool().connect()
    onTestFinished(() => client.release())
    await client.query(`SET search_path TO "${schema}"`)
    await insert(client, 'status, attempt', '2, 1', 1, FINISHED)
    await client.query('VACUUM ANALYZE operations')
    const before = await pagesOfClaim(client, schema)
    await insert(client, 'status', '0', FINISHED + 1, CLAIMED)
    await client.query(`UPDATE operations SET status = 1, attempt = 1 WHERE status = 0`)
    await client.query(`UPDATE operations SET status = 2 WHERE status = 1`)
    expect(await pagesOfClaim(client, schema)).toBeGreaterThan(before + 10)
    await client.query('VACUUM operations')
    expect(await pagesOfClaim(client, schema)).toBeLessThan(before + 5)
  })

  it('sweeps very many operations without passing those again that were swept, while a backup runs', async () => {
    const schema = database.nextSchema()
    // One connection, which counts what it has read.
    const pool = database.pool({ max: 1 })
    const store = postgresStore(pool, { schema, notifications: false })
    await store.open()
    const [client, backup, other] = [await connect(), await connect(), await connect()]
    await insert(client, 'status, attempt, purge_at', '2, 1, n', 1, SWEPT * SWEEPS)
    await backup.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM operations')
    await other.query(`BEGIN; SELECT 1 FROM operations WHERE purge_at <= ${HELD} FOR UPDATE`)
    for (let sweep = 1; sweep < SWEEPS; sweep++) expect((await store.sweep(SWEPT)).purged).toHaveLength(SWEPT)
    await other.query('COMMIT')
    // What was held is found once all others are deleted.
    expect((await store.sweep(SWEPT)).purged).toHaveLength(SWEPT)
    expect((await store.sweep(SWEPT)).purged).toEqual([])
    const passes = `SELECT pg_stat_force_next_flush(), idx_tup_read FROM pg_stat_user_indexes
      WHERE schemaname = '${schema}' AND indexrelname = 'operations_purge'`
    await expect
      .poll(async () => Number((await pool.query(passes)).rows[0].idx_tup_read))
      .toBeGreaterThan(SWEPT * SWEEPS)
    // Each once, all of them at the end, and up to a hundred pages for each plan. It would be 30 times each otherwise.
    expect(Number((await pool.query(passes)).rows[0].idx_tup_read)).toBeLessThan(12 * SWEPT * SWEEPS)
    await backup.query('COMMIT')
    await store.close()

    async function connect(): Promise<PoolClient> {
      const connected = await database.pool().connect()
      onTestFinished(() => connected.release())
      await connected.query(`SET search_path TO "${schema}"`)
      return connected
    }
  })
})

async function insert(client: PoolClient, columns: string, values: string, from: number, count: number): Promise<void> {
  await client.query(`
    INSERT INTO operations (id, type, owner, created_at, updated_at, retention, priority, max_attempts, max_lost, ${columns})
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '${TYPE}', '', n, n, 1000, 0, 3, 2, ${values}
    FROM generate_series(${from}, ${from + count - 1}) AS n`)
}

async function pagesOfClaim(client: PoolClient, schema: string): Promise<number> {
  const { text } = statementsFor(`"${schema}"`).claim
  const values = [null, ASKED, 10, 'holder', 30_000, null, true, null]
  const { pages } = await explain(client, text, values, 'force_custom_plan')
  return pages
}
