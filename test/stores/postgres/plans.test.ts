/**
 * No statement that runs all the time may cost more as the tables grow: each is checked against the
 * indexes it is meant to use, and the pages it touches are counted, with a million finished
 * operations, 100,000 delayed ones, and a tenant who has nearly all of what waits.
 */
import { readFileSync } from 'node:fs'
import type { PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import type { Statement } from '../../../src/stores/postgres/connections.ts'
import { type StatementName, statementsFor } from '../../../src/stores/postgres/statements.ts'
import { atLength } from '../../support/length.ts'
import { testDatabase } from '../../support/postgres.ts'
import { explain, indexesOf, isWholeTable, plainSubmission } from '../../support/postgres-plans.ts'

const database = testDatabase()
/** A tenth of the tables takes the same indexes: the whole shows that no statement costs more as they grow. */
const FINISHED = atLength(100_000, 1_000_000)
const DELAYED = atLength(10_000, 100_000)
const WAITING = atLength(10_000, 20_000)

/** What a statement is run with, the indexes it uses, and how many pages it may touch at most. */
interface Expectation {
  readonly values: readonly unknown[]
  readonly indexes: readonly string[]
  readonly pages: number
}

const SOME_ID = '00000000-0000-7000-8000-000000000001'
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const ASKED = JSON.stringify(['orders', 'refunds'].map((type, place) => ({ type, most: 10, place })))
const CLAIM = [null, ASKED, 10, 'holder', 30_000, null, true, null]
const LISTED = ['operations_ended', 'operations_pkey', 'operations_running', 'operations_waiting']
const PICKED = ['operations_ready', 'operations_delayed', 'operations_pkey']
const SAVED = {
  id: SOME_ID,
  seen: '1',
  status: 2,
  version: 2,
  webhook_due: false,
  family_due: false,
  output: '1',
}
const COMPLETED = { id: SOME_ID, attempt: 1, output: '1' }
const NOTED = { place: 0, id: SOME_ID, attempt: 1, level: 'info', message: 'one' }
const OWN = [['00000000-0000-7000-8000-0000fffffffe'], ['me'], ['00-1-2-01'], ['1']]
const COMMON = ['orders', 0, 1, 1, 1, null, null, null, null, null, null, 0, null, null]
const SUBMITTED = plainSubmission('00000000-0000-7000-8000-0000ffffffff', '')
const KNOWN = { place: 0, id: SOME_ID, type: 'orders', owner: '', key: 'k' }

const EXPECTED: Partial<Readonly<Record<StatementName, Expectation>>> = {
  read: { values: [[SOME_ID, LAST_ID]], indexes: ['operations_pkey'], pages: 20 },
  readWithOutput: { values: [[SOME_ID, LAST_ID]], indexes: ['operations_pkey', 'payloads_pkey'], pages: 30 },
  byKey: { values: ['orders', 'noisy', 'k'], indexes: ['operations_key'], pages: 10 },
  inputs: { values: [[SOME_ID]], indexes: ['payloads_pkey'], pages: 10 },
  steps: { values: [SOME_ID], indexes: ['steps_pkey'], pages: 10 },
  errors: { values: [SOME_ID], indexes: ['payloads_pkey'], pages: 10 },
  logs: { values: [SOME_ID, 0], indexes: ['logs_pkey'], pages: 10 },
  webhooksDue: { values: [100], indexes: ['operations_webhook_due'], pages: 10 },
  familyDue: { values: [100], indexes: ['operations_family_due'], pages: 10 },
  children: { values: [SOME_ID, [0, 1], SOME_ID, 100], indexes: ['operations_children'], pages: 10 },
  countChildren: { values: [SOME_ID], indexes: ['operations_children'], pages: 10 },
  heldBy: { values: ['holder', 0], indexes: ['operations_running'], pages: 600 },
  holdings: { values: [null, SOME_ID, 1000], indexes: ['operations_launched', 'operations_running'], pages: 600 },
  holders: { values: [], indexes: ['operations_running'], pages: 600 },
  list: { values: ['orders', 'quiet', LAST_ID, 50, [0, 1, 2, 3, 4]], indexes: LISTED, pages: 250 },
  listWaiting: {
    values: ['orders', 'quiet', LAST_ID, 50],
    indexes: ['operations_pkey', 'operations_waiting'],
    pages: 250,
  },
  queue: {
    values: [null, 'refunds'],
    indexes: ['durations_type', 'operations_delayed', 'operations_ready', 'operations_running'],
    pages: 100,
  },
  claim: { values: CLAIM, indexes: [...PICKED, 'payloads_pkey'], pages: 500 },
  peek: { values: [null, ASKED, ['seat']], indexes: ['operations_delayed', 'operations_ready'], pages: 50 },
  claimAll: { values: CLAIM, indexes: [...PICKED, 'payloads_pkey'], pages: 1000 },
  claimOne: {
    values: [null, SOME_ID, 'holder', 30_000, 'job-1', false, 'jobs'],
    indexes: ['operations_pkey', 'payloads_pkey'],
    pages: 50,
  },
  claimBehind: { values: [...CLAIM, 1], indexes: [...PICKED, 'payloads_pkey'], pages: 20_000 },
  finishAndClaim: {
    values: [...CLAIM, JSON.stringify([COMPLETED]), null],
    indexes: [...PICKED, 'payloads_pkey'],
    pages: 600,
  },
  launch: { values: [null, ASKED, 10, 1000], indexes: PICKED, pages: 1000 },
  launchBehind: { values: [null, ASKED, 10, 1000, 1], indexes: PICKED, pages: 20_000 },
  renew: { values: [null, [SOME_ID], [1], 30_000], indexes: ['operations_pkey'], pages: 50 },
  acceptPlain: {
    values: [null, null, ...OWN, ...COMMON],
    indexes: [],
    pages: 100,
  },
  accept: { values: [null, JSON.stringify([SUBMITTED]), null], indexes: [], pages: 100 },
  acceptLimited: {
    values: [null, JSON.stringify([{ ...SUBMITTED, place: 0, in_flight_limit: 100, backlog_limit: 100 }])],
    indexes: [
      'operations_delayed',
      'operations_key',
      'operations_pkey',
      'operations_ready',
      'operations_running',
      'operations_waiting',
    ],
    pages: 200,
  },
  acceptSteps: {
    values: [JSON.stringify([{ id: SOME_ID, name: 'charge', value: '1' }])],
    indexes: ['operations_pkey'],
    pages: 50,
  },
  known: { values: [JSON.stringify([KNOWN])], indexes: ['operations_key', 'operations_pkey'], pages: 20 },
  complete: { values: [null, JSON.stringify([COMPLETED]), null], indexes: ['operations_pkey'], pages: 100 },
  versions: { values: [null, [SOME_ID]], indexes: ['operations_pkey'], pages: 20 },
  save: { values: [null, JSON.stringify([SAVED])], indexes: ['operations_pkey'], pages: 100 },
  note: { values: [null, JSON.stringify([NOTED])], indexes: ['logs_pkey', 'operations_pkey'], pages: 100 },
  sweepDue: {
    values: [null, 0],
    indexes: ['operations_ends_by', 'operations_purge', 'operations_running'],
    pages: 600,
  },
  lapsed: {
    values: [null, 200, 0],
    indexes: ['operations_ends_by', 'operations_pkey', 'operations_running'],
    pages: 600,
  },
  purge: {
    values: [null, 200, 0],
    indexes: ['logs_pkey', 'operations_pkey', 'operations_purge', 'payloads_pkey', 'steps_pkey'],
    pages: 100,
  },
  purgeOne: {
    values: [null, SOME_ID],
    indexes: ['logs_pkey', 'operations_pkey', 'payloads_pkey', 'steps_pkey'],
    pages: 100,
  },
}

let client: PoolClient
let statements: Readonly<Record<StatementName, Statement>>

beforeAll(async () => {
  const pool = database.pool()
  const schema = database.nextSchema()
  const store = postgresStore(pool, { schema })
  await store.open()
  await store.close()
  statements = statementsFor(`"${schema}"`)
  client = await pool.connect()
  await fill(schema)
}, 120_000)

afterAll(() => client.release())

async function fill(schema: string): Promise<void> {
  await client.query(`SET search_path TO "${schema}"`)
  const day = `(extract(epoch FROM now()) * 1000)::bigint + 86400000`
  // An owner who has had nothing for long, and one who has nearly everything.
  const owner = `CASE WHEN n <= 200 THEN 'quiet' ELSE 'noisy' END`
  const insert = (columns: string, values: string, first: number, count: number) =>
    client.query(`
      INSERT INTO operations (id, type, owner, created_at, updated_at, retention, priority, max_attempts, max_lost, ${columns})
      SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'orders', ${owner}, n, n, 1000, 0, 3, 2, ${values}
      FROM generate_series(${first}, ${first + count - 1}) AS n`)
  await insert('status, attempt, purge_at', `CASE WHEN n % 100 = 0 THEN 3 ELSE 2 END, 1, ${day}`, 1, FINISHED)
  await insert('run_at', day, FINISHED + 1, DELAYED)
  await insert('status', '0', FINISHED + DELAYED + 1, WAITING)
  await insert('status, attempt, lease_until', `1, 1, ${day}`, FINISHED + DELAYED + WAITING + 1, 500)
  await client.query('VACUUM ANALYZE operations')
}

describe.each(['force_custom_plan', 'force_generic_plan'])('every statement, planned with %s', mode => {
  it.each(Object.entries(EXPECTED))('%s uses its indexes, and reads no more than it needs', async (name, expected) => {
    const { plan, pages } = await explain(client, statements[name as StatementName].text, expected.values, mode)
    expect(plan.filter(isWholeTable)).toEqual([])
    expect(indexesOf(plan)).toEqual([...expected.indexes].sort())
    expect(pages).toBeLessThan(expected.pages)
    // What seems to cost more is compiled first, for longer than it takes (jit_above_cost).
    expect(plan[0]?.['Total Cost']).toBeLessThan(100_000)
  })
})

describe('the noisy tenant', () => {
  it.each([
    [[0], ['operations_ended', 'operations_pkey', 'operations_waiting']],
    [[1], ['operations_ended', 'operations_pkey', 'operations_running']],
    ...[2, 3, 4].map((status): [number[], string[]] => [[status], ['operations_ended', 'operations_pkey']]),
    [[0, 1, 2, 3, 4], LISTED],
  ])('is listed by status %s as others are', async (status, indexes) => {
    const values = ['orders', 'noisy', LAST_ID, 50, status]
    const { plan, pages } = await explain(client, statements.list.text, values, 'force_custom_plan')
    expect(indexesOf(plan)).toEqual(indexes)
    expect(pages).toBeLessThan(400)
  })

  it('costs a claim only some pages when all its delayed operations become due at once', async () => {
    const values = [Number.MAX_SAFE_INTEGER, ...CLAIM.slice(1)]
    const { plan, pages } = await explain(client, statements.claimAll.text, values, 'force_custom_plan')
    expect(plan.filter(isWholeTable)).toEqual([])
    expect(pages).toBeLessThan(10_000)
  })
})

it('counts the backlog for KEDA, as docs/deploy/draining.md does, by the indexes of claims', async () => {
  const docs = readFileSync(new URL('../../../docs/deploy/draining.md', import.meta.url), 'utf8')
  const query = (/```sql\n([\s\S]*?)```/.exec(docs)?.[1] ?? '').replaceAll('waybill.operations', 'operations')
  const { plan, pages } = await explain(client, query, [], 'force_custom_plan')
  expect(indexesOf(plan)).toEqual(['operations_delayed', 'operations_ready'])
  expect(plan.filter(isWholeTable)).toEqual([])
  expect(pages).toBeLessThan(1100)
  expect((await client.query(query)).rows).toEqual([{ count: '1000' }])
})

it('leaves out no statement on operations, and keeps the table of estimates separate', () => {
  const others = Object.keys(statements).filter(name => !(name in EXPECTED))
  // As `accept` and `acceptLimited`; a table of some hundred rows; no table; once at the start, and after the clock was set back.
  expect(others.sort()).toEqual([
    'acceptWithin',
    'check',
    'dropDurations',
    'limitedWithin',
    'lockScopes',
    'noteDurations',
    'notify',
    'reschedule',
  ])
})
