/** An empty PostgreSQL for a scenario that measures in its own process. */
import pg from 'pg'
import type { Bench } from './bench.ts'
import { postgres } from './comparison/services.ts'

/** Starts the server, and ends it with the scenario. */
export async function freshPostgres(bench: Bench): Promise<pg.Pool> {
  const { url, stop } = await postgres(bench.folder('server'))
  bench.onEnd(stop)
  const pool = new pg.Pool({ connectionString: url })
  // Its connections are still on their way to their end when the server stops.
  pool.on('error', () => {})
  bench.onEnd(() => pool.end())
  return pool
}
