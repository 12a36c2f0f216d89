/**
 * The planner believes its statistics, and those of a queue are nearly always old: it fills and empties faster than it
 * is analyzed. So the statements are run in each state of them, on the oldest and the newest planner.
 */
import type { PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { type StatementName, statementsFor } from '../../../src/stores/postgres/statements.ts'
import { atLength } from '../../support/length.ts'
import { testDatabase, VERSIONS, type Version } from '../../support/postgres.ts'
import {
  type Explained,
  explain,
  explainPrepared,
  type PlanNode,
  plainSubmission,
} from '../../support/postgres-plans.ts'

const WAITING = 20_000
const CLAIMED = 100
const FIRST = 1_000_000

function idOf(n: number): string {
  return `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
}

/** Adds operations with their inputs. */
async function insert(client: PoolClient, count: number, columns: string, values: string, from = FIRST): Promise<void> {
  const id = `('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`
  await client.query(`
    WITH numbers AS MATERIALIZED (SELECT n FROM generate_series(${from}, ${from + count - 1}) AS n),
    payload AS (INSERT INTO payloads (id, kind, body) SELECT ${id}, 0, '1' FROM numbers)
    INSERT INTO operations (id, type, owner, created_at, updated_at, retention, priority, max_attempts, max_lost, ${columns})
    SELECT ${id}, 'orders', 'me', n, n, 1000, 0, 3, 2, ${values} FROM numbers`)
}

const burst = (client: PoolClient) => insert(client, WAITING, 'status', '0')
const analyze = (client: PoolClient) => client.query('ANALYZE operations, payloads')

/** How the tables and the statistics came to be as they are. */
const STATES: Readonly<Record<string, (client: PoolClient) => Promise<unknown>>> = {
  'analyzed while empty, then a burst': async client => {
    await analyze(client)
    await burst(client)
  },
  'never analyzed': burst,
  'analyzed with finished operations alone, then a burst': async client => {
    await insert(client, 5 * WAITING, 'status, attempt', '2, 1', 1)
    await analyze(client)
    await burst(client)
  },
  'analyzed while full, then nearly empty': async client => {
    await insert(client, WAITING, 'status', '0', 1)
    await analyze(client)
    await client.query('UPDATE operations SET status = 2, attempt = 1')
    await insert(client, 2 * CLAIMED, 'status', '0')
  },
  'analyzed before most of it has passed its retention at once': async client => {
    await insert(client, WAITING, 'status, attempt, purge_at', '2, 1, 8e15', 1)
    await analyze(client)
    await insert(client, 4 * WAITING, 'status, attempt, purge_at', '2, 1, 1', WAITING + 1)
    await burst(client)
  },
  'all of it due at once': async client => {
    await insert(client, 5 * WAITING, 'run_at', '1')
    await analyze(client)
  },
}

const IDS = Array.from({ length: CLAIMED }, (_, n) => idOf(FIRST + n))
const ASKED = JSON.stringify([{ type: 'orders', most: CLAIMED, place: 0 }])
const COMPLETED = JSON.stringify(IDS.map(id => ({ id, attempt: 1, output: '1' })))
const KNOWN = IDS.map((id, place) => ({ place, id, type: 'orders', owner: 'me', key: 'k' }))

const NEW_ID = idOf(2 ** 40)
const PLAIN = [
  [NEW_ID],
  ['me'],
  ['00-1-2-01'],
  ['1'],
  'orders',
  0,
  1,
  1,
  1,
  null,
  null,
  null,
  null,
  null,
  null,
  0,
  null,
  null,
]
const SUBMISSION = plainSubmission(NEW_ID, 'me')
const SUBMITTED = JSON.stringify([SUBMISSION])
const LIMITED = JSON.stringify([{ ...SUBMISSION, place: 0, in_flight_limit: 100, backlog_limit: 100 }])
const STEPS = JSON.stringify([{ id: idOf(FIRST), name: 'charge', value: '1' }])
const NOTED = JSON.stringify([{ place: 0, id: idOf(FIRST), attempt: 1, level: 'info', message: 'one' }])
const SAVED = JSON.stringify([
  { id: idOf(FIRST), seen: '1', status: 2, version: 2, webhook_due: false, family_due: false, output: '1' },
])

/** What a statement is run with, and how many pages and rows it may look at. */
interface Expectation {
  readonly values: readonly unknown[]
  readonly pages: number
  readonly rows?: number
}

/** Statements that run all the time. */
const STATEMENTS: Readonly<Partial<Record<StatementName, Expectation>>> = {
  claim: { values: [null, ASKED, CLAIMED, 'holder', 30_000, null, true, null], pages: 30 * CLAIMED, rows: 2000 },
  launch: { values: [null, ASKED, CLAIMED, 1000], pages: 30 * CLAIMED, rows: 2000 },
  claimBehind: { values: [null, ASKED, CLAIMED, 'holder', 30_000, null, true, null, 1], pages: 4000, rows: 5000 },
  launchBehind: { values: [null, ASKED, CLAIMED, 1000, 1], pages: 4000, rows: 5000 },
  claimOne: { values: [null, idOf(FIRST), 'holder', 30_000, 'job-1', false, 'jobs'], pages: 100, rows: 10 },
  renew: { values: [null, IDS, IDS.map(() => 1), 30_000], pages: 10 * CLAIMED },
  read: { values: [IDS], pages: 5 * CLAIMED },
  readWithOutput: { values: [IDS.slice(0, 10)], pages: 100, rows: 20 },
  complete: { values: [null, COMPLETED, null], pages: 20 * CLAIMED },
  versions: { values: [null, IDS], pages: 5 * CLAIMED },
  known: { values: [JSON.stringify(KNOWN)], pages: 10 * CLAIMED, rows: 2 * CLAIMED },
  byKey: { values: ['orders', 'me', 'k'], pages: 20, rows: 10 },
  inputs: { values: [IDS.slice(0, 10)], pages: 100, rows: 10 },
  list: { values: ['orders', 'me', idOf(2 ** 40), 50, [0, 1, 2, 3, 4]], pages: 1000, rows: 400 },
  queue: { values: [null, 'orders'], pages: 1000, rows: 10_000 },
  webhooksDue: { values: [100], pages: 20, rows: 10 },
  familyDue: { values: [100], pages: 20, rows: 10 },
  children: { values: [idOf(FIRST), [0, 1], idOf(FIRST), 100], pages: 20, rows: 10 },
  countChildren: { values: [idOf(FIRST)], pages: 20, rows: 10 },
  sweepDue: { values: [null, 0], pages: 100, rows: 10 },
  lapsed: { values: [null, 200, 0], pages: 100, rows: 10 },
  purge: { values: [null, 200, 0], pages: 20 * 200, rows: 1000 },
  errors: { values: [idOf(FIRST)], pages: 20, rows: 10 },
  steps: { values: [idOf(FIRST)], pages: 20, rows: 10 },
  logs: { values: [idOf(FIRST), 0], pages: 20, rows: 10 },
  holders: { values: [], pages: 100, rows: 10 },
  heldBy: { values: ['holder', 0], pages: 100, rows: 10 },
  holdings: { values: [null, idOf(FIRST), 1000], pages: 100, rows: 10 },
  // These come last: each leaves what it has rolled back to those after it, and an update may clean that up.
  purgeOne: { values: [null, idOf(FIRST)], pages: 2000, rows: 10 },
  acceptPlain: { values: [null, null, ...PLAIN], pages: 100, rows: 10 },
  accept: { values: [null, SUBMITTED, null], pages: 100, rows: 10 },
  acceptLimited: { values: [null, LIMITED], pages: 1000, rows: 500 },
  acceptSteps: { values: [STEPS], pages: 100, rows: 10 },
  note: { values: [null, NOTED], pages: 100, rows: 10 },
  save: { values: [null, SAVED], pages: 2000, rows: 10 },
  claimAll: { values: [null, ASKED, CLAIMED, 'holder', 30_000, null, true, null], pages: 50 * CLAIMED, rows: 2000 },
  finishAndClaim: {
    values: [null, ASKED, CLAIMED, 'holder', 30_000, null, true, null, COMPLETED, null],
    pages: 50 * CLAIMED,
    rows: 2000,
  },
}

/** Rows that a node of a plan has looked at, in all its turns. */
function rowsOf(node: PlanNode): number {
  return node['Actual Loops'] * (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0))
}

function mostRows({ plan }: Explained): number {
  return Math.max(...plan.filter(node => 'Relation Name' in node || 'Index Name' in node).map(rowsOf))
}

describe.each(atLength<readonly Version[]>([18], VERSIONS))('on PostgreSQL %i', version => {
  const database = testDatabase(version)

  /** A schema with tables that nothing analyzes by itself. */
  async function prepare(client: PoolClient): Promise<string> {
    const schema = database.nextSchema()
    const store = postgresStore(database.pool(), { schema, notifications: false })
    await store.open()
    await store.close()
    await client.query(`SET search_path TO "${schema}"`)
    for (const table of ['operations', 'payloads', 'steps', 'logs', 'durations']) {
      await client.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
    }
    return schema
  }

  describe.each(Object.entries(STATES).slice(0, atLength(1, undefined)))('%s', (_, fill) => {
    let client: PoolClient
    let schema: string
    beforeAll(async () => {
      client = await database.pool().connect()
      schema = await prepare(client)
      await fill(client)
    }, 120_000)
    afterAll(() => client.release())

    it.each(Object.entries(STATEMENTS))(
      '%s reads only what it needs',
      async (name, { values, pages, rows = Number.POSITIVE_INFINITY }) => {
        const { text } = statementsFor(`"${schema}"`)[name as StatementName]
        for (const mode of ['force_custom_plan', 'force_generic_plan']) {
          const explained = await explain(client, text, values, mode)
          expect(explained.pages, mode).toBeLessThan(pages)
          expect(mostRows(explained), mode).toBeLessThanOrEqual(rows)
        }
      },
    )
  })

  describe('after thousands of operations have run since the last vacuum', () => {
    const RAN = 20_000
    const RUNNING = 20

    let client: PoolClient
    beforeAll(async () => {
      client = await database.pool().connect()
    })
    afterAll(() => client.release())

    it('what looks at all that runs passes what has ended once', async () => {
      const schema = await prepare(client)
      await insert(client, RAN, 'status, attempt', '1, 1')
      await insert(client, RUNNING, 'status, attempt, lease_until', '1, 1, 1', FIRST + RAN)
      await client.query(`UPDATE operations SET status = 2 WHERE lease_until IS NULL`)
      const looks = { holders: [], holdings: [null, idOf(0), 1000], sweepDue: [null, 0], lapsed: [null, 200, 0] }
      for (const [name, values] of Object.entries(looks)) {
        const { text } = statementsFor(`"${schema}"`)[name as StatementName]
        for (const mode of ['force_custom_plan', 'force_generic_plan']) {
          await explain(client, text, values, mode)
          expect((await explain(client, text, values, mode)).pages, `${name}, ${mode}`).toBeLessThan(10 * RUNNING)
        }
      }
    })
  })

  describe('the statements that every process sends again and again', () => {
    let client: PoolClient
    beforeAll(async () => {
      client = await database.pool().connect()
    })
    afterAll(() => client.release())

    it('are planned once for all values', async () => {
      const schema = await prepare(client)
      await burst(client)
      await analyze(client)
      const pool = database.pool({ max: 1 })
      const store = postgresStore(pool, { schema })
      await store.open()
      const claim = {
        holder: 'h',
        leaseMs: 1000,
        execution: null,
        from: { types: [{ type: 'refunds', limit: 8 }], limit: 8 },
      }
      for (let count = 0; count < 12; count++) {
        await store.holders()
        await store.sweep(200)
        await store.familyDue(500)
        await store.webhooksDue(500)
        await store.claim(claim)
        await store.list({ type: 'pauses', owner: '', status: 'pending', limit: 1000 })
      }
      const { rows } = await pool.query('SELECT name, custom_plans, generic_plans FROM pg_prepared_statements')
      const kept = rows
        .filter(({ generic_plans: count }) => Number(count) > 0)
        .map(({ name }) => name.replace(/^.*\//, ''))
      expect(kept.sort()).toEqual(
        expect.arrayContaining(['claim', 'familyDue', 'holders', 'listWaiting', 'sweepDue', 'webhooksDue']),
      )
      await store.close()
    })
  })

  describe('a statement that was prepared while the tables were empty', () => {
    it('is planned again once they have grown', async () => {
      const admin = await database.pool().connect()
      const schema = await prepare(admin)
      await analyze(admin)
      // One connection, so that the plans seen here are those that the store uses.
      const pool = database.pool({ max: 1 })
      const store = postgresStore(pool, { schema })
      await store.open()
      // After five plans for their values, PostgreSQL keeps one for all values.
      for (let count = 0; count < 10; count++) await store.read(idOf(FIRST))
      const read = () => explainPrepared(pool, `"${schema}/read"`, [IDS])
      expect(mostRows(await read())).toBe(0)
      await burst(admin)
      expect(mostRows(await read())).toBe(WAITING)
      const used = async () => {
        await store.read(idOf(FIRST))
        return mostRows(await read())
      }
      await expect.poll(used, { timeout: 240_000 }).toBeLessThan(10 * CLAIMED)
      await store.close()
      admin.release()
    })
  })
})
