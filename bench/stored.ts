/** The store of a service, opened, with what writes very many operations into it. */
import { Pool } from 'pg'
import type { Store } from 'waybill/adapters'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Bench } from './bench.ts'
import type { Service } from './comparison/services.ts'
import { type Seed, seedPostgres, seedSqlite, type Written } from './seed.ts'

export interface OpenedStore {
  readonly store: Store
  seed(seed: Seed, written?: Written): Promise<void>
  close(): Promise<void>
}

/** What an operation takes on the disk at most, with the log of its writing. */
const BYTES_EACH = 2000
/** Milliseconds between two lines about the same. */
const SAID_EACH_MS = 10_000

/**
 * Fills a store with very many operations.
 *
 * @param name the store's, as it is printed
 * @throws if the disk has too little space for them
 */
export async function fillStore(bench: Bench, { seed }: OpenedStore, name: string): Promise<void> {
  const { finished, delayed } = bench.held
  const [total, free] = [finished + delayed, bench.freeBytes()]
  if (free < total * BYTES_EACH) {
    const [needed, has] = [total * BYTES_EACH, free].map(bytes => `${Math.ceil(bytes / 2 ** 30)} GiB`)
    throw new Error(`${total} operations in ${name} may take ${needed}, and the disk has ${has}. See --finished.`)
  }
  let said = performance.now()
  await seed({ now: Date.now(), finished, delayed }, count => {
    if (count < total && performance.now() - said < SAID_EACH_MS) return
    said = performance.now()
    bench.say(`${name}: wrote ${count.toLocaleString('en')} of ${total.toLocaleString('en')} operations`)
  })
}

export async function openStore({ url }: Pick<Service, 'url'>): Promise<OpenedStore> {
  const pool = url.startsWith('postgres') ? new Pool({ connectionString: url }) : undefined
  // Its connections may still be on their way to their end when the server stops.
  pool?.on('error', () => {})
  const store = pool === undefined ? sqliteStore({ path: url }) : postgresStore(pool)
  await store.open()
  return {
    store,
    seed: async (seed, written) =>
      pool === undefined ? seedSqlite(url, seed, written) : await seedPostgres(pool, seed, written),
    close: async () => {
      await store.close()
      await pool?.end()
    },
  }
}
