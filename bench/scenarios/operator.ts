/** What an operator's views take on a store that holds very many operations: each is to take less than 200 ms. */
import { chmodSync, mkdirSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { defineOperation } from 'waybill'
import { createWaybill, type Operator, type Waybill } from 'waybill/server'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Bench } from '../bench.ts'
import { postgres } from '../comparison/services.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'

const [COUNT, QUICK_COUNT] = [1_000_000, 20_000]
const ALLOWED_MS = 200
const ALLOWED = 'allowed: ms'
const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
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
    // A store keeps no process alive that has nothing else to do.
    const alive = setInterval(() => {}, 1000)
    bench.onEnd(async () => clearInterval(alive))
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

const COLUMNS = `id, type, owner, status, version, priority, created_at, updated_at, started_at, finished_at, attempt,
  released, lost, max_attempts, max_lost, retention, launches, error, tags`
const ERROR =
  '{"type":"urn:problem-type:waybill:operation-failed","title":"Failed","status":500,"code":"operation-failed"}'

/** One operation each two and a half seconds: those of the last hour are some of them. */
const STEP_MS = 2500

function idOf(number: number, now: number): string {
  const hex = (now - number * STEP_MS).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(number).padStart(12, '0')}`
}

async function onSqlite(bench: Bench, count: number, now: number): Promise<Waybill> {
  const path = bench.file('operations.db')
  const made = sqliteStore({ path })
  await made.open()
  await made.close()
  const database = new DatabaseSync(path)
  database.exec('BEGIN')
  database.exec(`
    INSERT INTO operations (${COLUMNS}, ended, cancel_requested, webhook_due)
    WITH RECURSIVE n (i) AS (SELECT ${count} UNION ALL SELECT i - 1 FROM n WHERE i > 1),
    made AS (SELECT i, ${now} - i * ${STEP_MS} AS at, CASE WHEN i % 100 = 0 THEN 3 ELSE 2 END AS status FROM n)
    SELECT substr(printf('%012x', at), 1, 8) || '-' || substr(printf('%012x', at), 9) || printf('-7000-8000-%012d', i),
      'orders', 'owner-' || (i % 1000), status, 3, 0, at, at + 900, at + 100, at + 900, 1, 0, 0, 3, 10, 2592000000, 0,
      CASE status WHEN 3 THEN '${ERROR}' END, '{"customer":"C' || (i % 5000) || '"}', status, 0, 0 FROM made`)
  database.exec(
    `INSERT INTO inputs (number, body) SELECT number, '{"customer":"Contoso","items":[{"name":"Apple"}]}' FROM operations`,
  )
  database.exec('COMMIT')
  database.close()
  return await start(bench, sqliteStore({ path }))
}

async function onPostgres(bench: Bench, count: number, now: number): Promise<Waybill> {
  const folder = bench.file('server')
  mkdirSync(folder)
  // As root, the server runs as another user.
  for (const path of [bench.file('.'), folder]) chmodSync(path, 0o777)
  const { url, stop } = await postgres(folder)
  bench.onEnd(stop)
  const pool = new pg.Pool({ connectionString: url })
  // Its connections are still on their way to their end when the server stops.
  pool.on('error', () => {})
  bench.onEnd(() => pool.end())
  const made = postgresStore(pool)
  await made.open()
  await made.close()
  await pool.query(`
    INSERT INTO waybill.operations (${COLUMNS})
    SELECT (lpad(to_hex(at), 12, '0') || '70008000' || lpad(i::text, 12, '0'))::uuid, 'orders', 'owner-' || (i % 1000),
      status, 3, 0, at, at + 900, at + 100, at + 900, 1, 0, 0, 3, 10, 2592000000, 0,
      CASE status WHEN 3 THEN '${ERROR}' END, '{"customer":"C' || (i % 5000) || '"}'
    FROM (SELECT i, ${now} - i::bigint * ${STEP_MS} AS at, CASE WHEN i % 100 = 0 THEN 3 ELSE 2 END AS status
      FROM generate_series(${count}, 1, -1) AS i) AS made`)
  await pool.query(`
    INSERT INTO waybill.payloads (id, kind, body)
    SELECT id, 0, '{"customer":"Contoso","items":[{"name":"Apple"}]}' FROM waybill.operations`)
  await pool.query('VACUUM ANALYZE waybill.operations, waybill.payloads')
  return await start(bench, postgresStore(pool))
}

async function start(bench: Bench, store: Parameters<typeof createWaybill>[0]['store']): Promise<Waybill> {
  const waybill = createWaybill({ operations: [orders, refunds], store, logger: SILENT })
  await waybill.start()
  bench.onEnd(() => waybill.stop())
  return waybill
}
