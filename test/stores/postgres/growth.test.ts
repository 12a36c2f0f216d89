/** What claims leave behind in their index is cleaned up, however small a part of the tables it is. */
import type { PoolClient } from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { statementsFor } from '../../../src/stores/postgres/statements.ts'
import { testDatabase, VERSIONS } from '../../support/postgres.ts'
import { explain } from '../../support/postgres-plans.ts'

const FINISHED = 60_000
/** So few that their dead rows are in less than a fiftieth of the pages: by itself, a vacuum would leave the indexes alone. */
const CLAIMED = 300
/** With a long name, few entries of an index need many pages. */
const TYPE = 'a-type-of-operations-with-a-name-as-long-as-one-may-be'.padEnd(200, '-')
const ASKED = JSON.stringify([{ type: TYPE, most: 10, place: 0 }])

describe.each(VERSIONS)('PostgreSQL %i', version => {
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
