import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresStoreOptions, postgresStore } from 'waybill/stores/postgres'
import { storeConformance } from 'waybill/testing'
import type { Store } from '../../../src/stores/store.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { PgBouncer } from './pgbouncer.ts'

const ID = '00000000-0000-7000-8000-000000000001'

describe.each(['session', 'transaction'] as const)('behind PgBouncer in %s mode', mode => {
  let server: PostgresServer
  let bouncer: PgBouncer
  let pool: Pool
  let schemas = 0
  const warnings: string[] = []

  beforeAll(async () => {
    server = await PostgresServer.start()
    bouncer = await PgBouncer.start(server, mode)
    pool = newPool(20)
  })
  afterAll(async () => {
    await pool.end()
    await bouncer.stop()
    await server.remove()
  })

  function newPool(max: number): Pool {
    const made = new Pool({ connectionString: bouncer.url, max })
    made.on('error', () => {})
    return made
  }

  async function open(options: PostgresStoreOptions, from = pool): Promise<Store> {
    const warn = (message: string) => void warnings.push(message)
    const store = postgresStore(from, { pollInterval: 20, warn, ...options })
    await store.open()
    return store
  }

  storeConformance(
    {
      name: `PostgreSQL behind PgBouncer in ${mode} mode`,
      open: clock => open({ schema: `test_${++schemas}`, clock: clock.now, monotonicClock: clock.monotonic }),
      reopen: clock => open({ schema: `test_${schemas}`, clock: clock.now, monotonicClock: clock.monotonic }),
    },
    { describe, it },
  )

  it(`uses ${mode === 'session' ? 'all' : 'no'} prepared statements and notifications`, async () => {
    // The listener has one of the two connections, where there is one.
    const small = newPool(2)
    warnings.length = 0
    const schema = `test_${++schemas}`
    const store = await open({ schema, pollInterval: 3_600_000 }, small)
    await store.read(ID)
    await store.read(ID)
    const kept = mode === 'session'
    const prepared = `SELECT count(*)::int > 0 AS found FROM pg_prepared_statements WHERE name LIKE '${schema}/%'`
    expect((await small.query(prepared)).rows).toEqual([{ found: kept }])
    expect(warnings.length).toBe(kept ? 0 : 1)
    await store.close()
    await small.end()
  })

  it('leaves no server connection that listens', async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => pool.connect()))
    // In transactions, so that each has a server connection of its own at the same moment.
    await Promise.all(clients.map(client => client.query('BEGIN')))
    const listening = await Promise.all(clients.map(client => client.query('SELECT pg_listening_channels()')))
    await Promise.all(clients.map(client => client.query('COMMIT')))
    for (const client of clients) client.release()
    expect(listening.flatMap(({ rows }) => rows)).toEqual([])
  })
})
