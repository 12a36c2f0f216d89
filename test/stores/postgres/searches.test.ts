/** A search by an operator reads a bounded part of the operations, whatever the planner believes about them. */
import type { PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { browseStatement } from '../../../src/stores/postgres/browse.ts'
import { BROWSE_LIMIT, type BrowseQuery } from '../../../src/stores/store.ts'
import { atLength } from '../../support/length.ts'
import { testDatabase, VERSIONS, type Version } from '../../support/postgres.ts'
import { explain, type PlanNode } from '../../support/postgres-plans.ts'

/** Three times as many of each status as a search may look at, one a second. */
const COUNT = 3 * BROWSE_LIMIT
const FIRST_AT = 0x01941f297c00
const [LAST_MINUTES, END] = [FIRST_AT + (COUNT - 4000) * 1000, FIRST_AT + COUNT * 1000]

const OF_ONE = { type: 'orders', owner: 'noisy', limit: 50 }
const SEARCHES: Readonly<Record<string, BrowseQuery>> = {
  'the newest of an owner': OF_ONE,
  'those of an owner since a time': { ...OF_ONE, createdAfter: LAST_MINUTES },
  'those of an owner since a time behind all': { ...OF_ONE, createdAfter: END + 7_200_000 },
  'those of an owner before a time in front of all': { ...OF_ONE, createdBefore: FIRST_AT },
  'what waits of an owner': { ...OF_ONE, status: 'pending' },
  'what waits of an owner since a time': { ...OF_ONE, status: 'pending', createdAfter: LAST_MINUTES },
  'what of an owner has failed since a time': { ...OF_ONE, status: 'failed', createdAfter: LAST_MINUTES },
  'an owner without operations': { ...OF_ONE, owner: 'quiet', createdAfter: FIRST_AT },
  'an owner without operations, of all types': { owner: 'quiet', limit: 50 },
  'a key that no operation has': { key: 'no-such-key', limit: 50 },
  'a key since a time': { key: 'no-such-key', createdAfter: LAST_MINUTES, limit: 50 },
  'a key before a time': { key: 'no-such-key', createdBefore: LAST_MINUTES, limit: 50 },
  'all operations': { limit: 50 },
  'all since a time': { createdAfter: LAST_MINUTES, limit: 50 },
  'a holder that holds nothing': { holder: 'no-such-holder', limit: 50 },
}

/** When the statistics were made: never, while the table was empty, or just now. */
const ANALYZED = ['while empty', 'never', 'just now'] as const

describe.each(atLength<readonly Version[]>([18], VERSIONS))('on PostgreSQL %i', version => {
  const database = testDatabase(version)

  describe.each(ANALYZED.slice(0, atLength(1, undefined)))('analyzed: %s', analyzed => {
    let client: PoolClient
    let schema: string

    beforeAll(async () => {
      schema = database.nextSchema()
      const store = postgresStore(database.pool(), { schema, notifications: false })
      await store.open()
      await store.close()
      client = await database.pool().connect()
      await client.query(`SET search_path TO "${schema}"`)
      await client.query('ALTER TABLE operations SET (autovacuum_enabled = false)')
      if (analyzed === 'while empty') await client.query('ANALYZE operations')
      await insert(client)
      if (analyzed === 'just now') await client.query('VACUUM ANALYZE operations')
    }, 120_000)
    afterAll(() => client.release())

    it.each(Object.entries(SEARCHES))('%s', async (_, query) => {
      const { text, values } = browseStatement(`"${schema}"`, query)
      // It is never prepared, so it is always planned for its values.
      const { plan } = await explain(client, text, values, 'force_custom_plan')
      const scans = plan.filter(node => 'Relation Name' in node || 'Index Name' in node)
      for (const scan of scans) expect(scanned(scan), JSON.stringify(scan)).toBeLessThanOrEqual(BROWSE_LIMIT)
      if (analyzed !== 'just now') return
      // A scan that passes entries without returning them is seen by its pages. About 160 entries are in one.
      const looks = scans.filter(node => node['Index Name'] === 'operations_waiting')
      for (const look of looks) expect(look['Shared Hit Blocks'], JSON.stringify(look)).toBeLessThan(BROWSE_LIMIT / 100)
    })
  })
})

/** One operation a second has completed, and one waits. */
async function insert(client: PoolClient): Promise<void> {
  const at = `${FIRST_AT} + n::bigint * 1000`
  await client.query(`
    INSERT INTO operations (id, type, owner, created_at, updated_at, retention, priority, max_attempts, max_lost, status)
    SELECT (lpad(to_hex(${at}), 12, '0') || '7000800' || status || lpad(n::text, 12, '0'))::uuid, 'orders', 'noisy',
      ${at}, ${at}, 1000, 0, 3, 2, status
    FROM generate_series(1, ${COUNT}) AS n CROSS JOIN (VALUES (0), (2)) AS of (status)`)
}

/** Rows that a scan has read, in each of its turns. */
function scanned(node: PlanNode): number {
  return node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)
}
