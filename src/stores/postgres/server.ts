/** What kind of server, and what kind of connection to it, a pool leads to. */
import type { Connections } from './connections.ts'

/** The oldest PostgreSQL that this is tested with. */
const OLDEST = 14

/** What {@link inspectServer} has found. */
export interface ServerFacts {
  /** Whether a connection keeps its session: not behind a pooler, which may give each transaction to another server process. */
  readonly session: boolean
}

/**
 * Looks at the server.
 *
 * @throws when it is too old
 */
export async function inspectServer(connections: Connections): Promise<ServerFacts> {
  const text = `SELECT current_setting('server_version_num')::int, pg_backend_pid(), current_setting('server_version')`
  return await connections.use(async client => {
    const { rows } = await client.query({ text, values: [], rowMode: 'array' })
    const [number, pid, version] = rows[0] ?? []
    if (Number(number) < OLDEST * 10_000) {
      throw new Error(`The PostgreSQL server has version ${version}; Waybill needs ${OLDEST} or newer.`)
    }
    // A pooler makes up a process of its own for each client; what has no such number is not trusted either.
    return { session: client.processID === Number(pid) }
  })
}
