import type { Pool, PoolClient } from 'pg'
import { beforeAll, describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { postgresStore } from 'waybill/stores/postgres'
import type { Store } from '../../../src/stores/store.ts'
import { testDatabase } from '../../support/postgres.ts'
import { resultOf, type TestContext, test } from '../../support/waybill.ts'

const database = testDatabase()
let pool: Pool

beforeAll(async () => {
  pool = database.pool()
  await pool.query('CREATE TABLE carts (id integer PRIMARY KEY)')
})

const carts = defineOperation({ name: 'carts' })
const handlers = handler(carts, async () => 'packed')
/** No scan comes to the aid of a lost hint. */
const HINTS_ONLY = { scan: '1h', sweep: '1h' } as const

async function composed(lab: TestContext) {
  const store = postgresStore(pool, { schema: database.nextSchema(), pollInterval: 3_600_000 })
  const { operations } = await lab.waybill([carts], {
    store,
    worker: { handlers, pollInterval: HINTS_ONLY.scan },
    sweepInterval: HINTS_ONLY.sweep,
  })
  return { store, operations }
}

async function inTransaction<T>(
  work: (client: PoolClient) => Promise<T>,
  end: 'COMMIT' | 'ROLLBACK',
  from: Pool = pool,
): Promise<T> {
  const client = await from.connect()
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query(end)
    return result
  } finally {
    client.release()
  }
}

async function idsIn(store: Store): Promise<string[]> {
  return (await store.list({ type: 'carts', owner: '', limit: 10 })).map(({ id }) => id)
}

describe('a submit within a transaction of the caller', () => {
  test('takes effect with the commit of the transaction, which wakes the workers', async ({ lab }) => {
    const { store, operations } = await composed(lab)
    const id = await inTransaction(async client => {
      await client.query('INSERT INTO carts VALUES (1)')
      const { operation } = await operations.submit(carts, { input: { cart: 1 }, transaction: client })
      expect(operation.status).toBe('pending')
      expect(await store.read(operation.id)).toBeUndefined()
      return operation.id
    }, 'COMMIT')
    expect(await resultOf(store, id)).toBe('packed')
    expect((await pool.query('SELECT id FROM carts')).rows).toEqual([{ id: 1 }])
  })

  test('uses only the client of the transaction, whatever the limits, which count committed operations', async ({
    lab,
  }) => {
    // Whatever waits for a connection while the transaction has the only one fails in the end.
    const only = database.pool({ max: 1 })
    const store = postgresStore(only, { schema: database.nextSchema(), pollInterval: 3_600_000 })
    const limited = defineOperation({ name: 'carts', inFlightLimit: 2, backlogLimit: 3 })
    const { operations } = await lab.waybill([limited], { store })
    const submit = (client: PoolClient, idempotencyKey?: string) =>
      operations.submit(limited, { input: null, transaction: client, idempotencyKey })
    const submitTwice = async (client: PoolClient) => {
      await submit(client)
      const { operation } = await submit(client, 'k')
      // A known key comes before the limits, also a key of this very transaction.
      expect((await submit(client, 'k')).operation.id).toBe(operation.id)
      await expect(submit(client)).rejects.toMatchObject({ problem: { code: 'too-many-requests' } })
    }
    await inTransaction(submitTwice, 'COMMIT', only)
    await expect(inTransaction(client => submit(client), 'ROLLBACK', only)).rejects.toMatchObject({
      problem: { code: 'too-many-requests' },
    })
    expect(await idsIn(store)).toHaveLength(2)
  })

  test('is undone by a rollback, also its key', async ({ lab }) => {
    const { store, operations } = await composed(lab)
    const request = { input: null, idempotencyKey: 'k' }
    await inTransaction(client => operations.submit(carts, { ...request, transaction: client }), 'ROLLBACK')
    expect(await idsIn(store)).toEqual([])
    expect((await operations.submit(carts, request)).replayed).toBe(false)
  })

  test('finds the earlier operation of its key', async ({ lab }) => {
    const { store, operations } = await composed(lab)
    const request = { input: null, idempotencyKey: 'k' }
    const first = await operations.submit(carts, request)
    const second = await inTransaction(
      client => operations.submit(carts, { ...request, transaction: client }),
      'COMMIT',
    )
    expect(second.replayed).toBe(true)
    expect(await idsIn(store)).toEqual([first.operation.id])
  })

  test('does not change the settings of the transaction', async ({ lab }) => {
    const { operations } = await composed(lab)
    const settings = await inTransaction(async client => {
      await operations.submit(carts, { input: null, transaction: client })
      return await client.query('SHOW lock_timeout')
    }, 'COMMIT')
    expect(settings.rows).toEqual([{ lock_timeout: '0' }])
  })

  test('reports an invalid transaction', async ({ lab }) => {
    const { operations } = await composed(lab)
    const submit = (transaction: unknown) => operations.submit(carts, { input: null, transaction })
    await expect(submit({})).rejects.toThrow('"transaction" must be a client of the pg package')
    const broken = inTransaction(async client => {
      await client.query('SELECT 1 / 0').catch(() => {})
      return await submit(client)
    }, 'ROLLBACK')
    await expect(broken).rejects.toThrow('current transaction is aborted')
  })

  test('is refused by a store without transactions', async ({ lab }) => {
    const { operations } = await lab.waybill([carts])
    await expect(operations.submit(carts, { input: null, transaction: {} })).rejects.toThrow(
      'cannot join a transaction',
    )
  })
})
