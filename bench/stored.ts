/** The store of a service, opened, with what writes very many operations into it. */
import { Pool } from 'pg'
import type { Store } from 'waybill/adapters'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Service } from './comparison/services.ts'
import { type Seed, seedPostgres, seedSqlite } from './seed.ts'

export interface OpenedStore {
  readonly store: Store
  seed(seed: Seed): Promise<void>
  close(): Promise<void>
}

export async function openStore({ url }: Pick<Service, 'url'>): Promise<OpenedStore> {
  const pool = url.startsWith('postgres') ? new Pool({ connectionString: url }) : undefined
  // Its connections may still be on their way to their end when the server stops.
  pool?.on('error', () => {})
  const store = pool === undefined ? sqliteStore({ path: url }) : postgresStore(pool)
  await store.open()
  return {
    store,
    seed: async seed => (pool === undefined ? seedSqlite(url, seed) : await seedPostgres(pool, seed)),
    close: async () => {
      await store.close()
      await pool?.end()
    },
  }
}
