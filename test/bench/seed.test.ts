/** What benchmarks write into stores by hand is what a program would have left there, or they would measure something else. */
import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import type { Store } from 'waybill/adapters'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import { stamp } from '../../bench/comparison/queue.ts'
import { ORDER } from '../../bench/orders.ts'
import { idOf, type Seed, seedPostgres, seedSqlite } from '../../bench/seed.ts'
import { testDatabase } from '../support/postgres.ts'
import { hasStatus, submit, type TestContext, test } from '../support/waybill.ts'

const DAY = 86_400_000
const NOW = Date.now()
/** The last of a hundred has failed; of every second one that has expired, the record is left. */
const SEED: Seed = { now: NOW, finished: 100, delayed: 1, expired: 2 }
const TABLES = ['operations', 'payloads', 'inputs', 'outputs', 'errors']
const orders = defineOperation({ name: 'orders', retention: 30 * DAY, attempts: 1 })

type Row = Readonly<Record<string, unknown>>
/** All rows of a store, by their tables. */
type Rows = Readonly<Record<string, readonly Row[]>>

const database = testDatabase()

test('a file of SQLite', async ({ lab }) => {
  const [real, seeded] = [lab.file(), lab.file()]
  await run(lab, sqliteStore({ path: real }))
  await made(sqliteStore({ path: seeded }))
  seedSqlite(seeded, SEED)
  compare(rowsOfFile(real), rowsOfFile(seeded))
  await read(sqliteStore({ path: seeded }))
})

test('a schema of PostgreSQL', async ({ lab }) => {
  const pool = database.pool()
  await run(lab, postgresStore(pool))
  const real = await rowsOfSchema()
  await pool.query('TRUNCATE waybill.operations, waybill.payloads')
  await seedPostgres(pool, SEED)
  compare(real, await rowsOfSchema())
  await read(postgresStore(pool))

  async function rowsOfSchema(): Promise<Rows> {
    const tables = ['operations', 'payloads'].map(async table => {
      return [table, (await pool.query<Row>(`SELECT * FROM waybill.${table}`)).rows] as const
    })
    return Object.fromEntries(await Promise.all(tables))
  }
})

/** Runs one operation of each kind with the product. */
async function run(lab: TestContext, store: Store): Promise<void> {
  const work = handler(orders, order => {
    if (`${Object.values(order as object)}`.startsWith('Nobody')) throw new TypeError('no stock')
    return stamp(order as object as Row)
  })
  const waybill = await lab.waybill([orders], { store, worker: { handlers: work } })
  for (const _ of ['first', 'purged', 'kept']) await hasStatus(store, await submit(waybill, orders, ORDER), 'completed')
  await hasStatus(store, await submit(waybill, orders, { ...ORDER, customer: 'Nobody' }), 'failed')
  await submit(waybill, orders, ORDER, { delay: DAY })
  const [, oldest] = (await store.list({ type: 'orders', owner: '', limit: 5 })).toReversed()
  await store.purge(oldest?.id ?? '')
  await waybill.stop()
}

async function made(store: Store): Promise<void> {
  await store.open()
  await store.close()
}

/** Whatever can be told apart in a row that has ended, waits, failed or was purged, is the same. */
function compare(real: Rows, seeded: Rows): void {
  for (const [table, rows] of Object.entries(real)) {
    expect(shapesOf(seeded[table] ?? []), table).toEqual(shapesOf(rows))
  }
}

async function read(store: Store): Promise<void> {
  await store.open()
  const last = await store.read(idOf(1, NOW))
  expect(last).toMatchObject({ status: 'completed', createdAt: NOW - 2500, history: [{ outcome: 'completed' }] })
  expect(await store.read(idOf(100, NOW))).toMatchObject({ status: 'failed', history: [{ outcome: 'failed' }] })
  expect((await store.sweep(10)).purged).toHaveLength(2)
  await store.close()
}

function rowsOfFile(path: string): Rows {
  const file = new DatabaseSync(path)
  const known = file.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all() as { name: string }[]
  const tables = TABLES.filter(table => known.some(({ name }) => name === table))
  const rows = tables.map(table => [table, file.prepare(`SELECT * FROM ${table}`).all()])
  file.close()
  return Object.fromEntries(rows)
}

function shapesOf(rows: readonly Row[]): readonly string[] {
  return [...new Set(rows.map(row => JSON.stringify(shapeOf(row), null, 2)))].sort()
}

/** A value without what differs from operation to operation: numbers, names, and the order of members. */
function shapeOf(value: unknown): unknown {
  if (typeof value === 'string' && /^[[{]/.test(value)) return shapeOf(JSON.parse(value))
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .sort()
        .map(([name, inner]) => [name, shapeOf(inner)]),
    )
  }
  return value === null || typeof value === 'boolean' ? value : typeof value
}
