/** What an operator's views take on a store that holds very many operations: each is to take less than 200 ms. */
import { defineOperation } from 'waybill'
import type { Store } from 'waybill/adapters'
import type { Operator, Waybill } from 'waybill/server'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Bench } from '../bench.ts'
import { freshPostgres } from '../fresh-postgres.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'
import { idOf, seedPostgres, seedSqlite } from '../seed.ts'
import { startWaybill } from '../start-waybill.ts'

const [COUNT, QUICK_COUNT] = [1_000_000, 20_000]
const ALLOWED_MS = 200
const ALLOWED = 'allowed: ms'
const orders = defineOperation({ name: 'orders', searchInput: true })
const refunds = defineOperation({ name: 'refunds' })
const HOUR = 3_600_000

/** Each view that a console or a command asks for, on what costs it most. */
const VIEWS: Readonly<Record<string, (operator: Operator, id: string, now: number) => Promise<unknown>>> = {
  'the newest 50': operator => operator.browse({}),
  'failed ones': operator => operator.browse({ status: 'failed' }),
  'of a problem that none has': operator => operator.browse({ problem: 'no-such-problem' }),
  'of an owner who has none': operator => operator.browse({ owner: 'nobody' }),
  'of a tag': operator => operator.browse({ tag: { name: 'customer', value: 'Ada' } }),
  'of a day': (operator, _, now) => operator.browse({ createdAfter: now - 24 * HOUR, createdBefore: now - 23 * HOUR }),
  'a search in inputs that finds none': operator => operator.browse({ search: 'no such words' }),
  'a type of an owner': operator => operator.browse({ type: 'orders', owner: 'owner-7', status: 'failed' }),
  'running ones': operator => operator.browse({ status: 'running' }),
  'one operation': (operator, id) => operator.get(id),
  'statistics of an hour': operator => operator.statistics(),
  'statistics of all': operator => operator.statistics({ window: '30d' }),
  'a preview': operator => operator.preview('retry', { status: 'failed' }),
  'the audit': operator => operator.audit(),
  'bulk runs': operator => operator.bulkRuns(),
}

export const operator: Scenario = {
  name: 'operator',
  about: 'the views of an operator on a million operations, in SQLite and PostgreSQL',
  ratios: ['SQLite', 'PostgreSQL'].flatMap(store =>
    Object.keys(VIEWS).map(
      (view): Ratio => ({ name: `${store}: ${view} / allowed`, of: `${store}: ${view}: ms`, to: ALLOWED, atMost: 1 }),
    ),
  ),
  prepare: async bench => {
    const count = bench.quick ? QUICK_COUNT : COUNT
    const now = Date.now()
    const stores = { SQLite: await onSqlite(bench, count, now), PostgreSQL: await onPostgres(bench, count, now) }
    for (const waybill of Object.values(stores)) {
      await waybill.operator.pause('refunds', { name: 'bench' })
      await waybill.operator.bulk('cancel', { type: 'refunds', status: 'pending' }, { name: 'bench' })
    }
    return async () => {
      const sample: Record<string, number> = { [ALLOWED]: ALLOWED_MS }
      for (const [name, waybill] of Object.entries(stores)) Object.assign(sample, await measure(name, waybill, now))
      return sample
    }
  },
}

async function measure(name: string, { operator }: Waybill, now: number): Promise<Sample> {
  const sample: Record<string, number> = {}
  for (const [view, look] of Object.entries(VIEWS)) {
    const began = performance.now()
    await look(operator, idOf(1, now), now)
    sample[`${name}: ${view}: ms`] = performance.now() - began
  }
  return sample
}

async function onSqlite(bench: Bench, count: number, now: number): Promise<Waybill> {
  const path = bench.file('operations.db')
  const made = sqliteStore({ path })
  await made.open()
  await made.close()
  seedSqlite(path, { finished: count, now, owners: 1000, tagged: true })
  return await start(bench, sqliteStore({ path }))
}

async function onPostgres(bench: Bench, count: number, now: number): Promise<Waybill> {
  const pool = await freshPostgres(bench)
  const made = postgresStore(pool)
  await made.open()
  await made.close()
  await seedPostgres(pool, { finished: count, now, owners: 1000, tagged: true })
  return await start(bench, postgresStore(pool))
}

async function start(bench: Bench, store: Store): Promise<Waybill> {
  return await startWaybill(bench, { operations: [orders, refunds], store })
}
