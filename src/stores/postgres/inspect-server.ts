/** Finds out to what kind of server, and by what kind of connection, a pool leads. */
import type { Connections } from './connections.ts'
import type { PostgresClient } from './pool.ts'

/** The oldest version of PostgreSQL with which Waybill is tested. */
const OLDEST = 14

/** What {@link inspectServer} has found. */
export interface ServerFacts {
  /**
   * Whether a connection keeps its session. Behind a pooler it does not, since each transaction may run in another
   * server process.
   */
  readonly session: boolean
}

/**
 * Looks at the server.
 *
 * @throws if the server is too old
 */
export async function inspectServer(connections: Connections): Promise<ServerFacts> {
  const text = `SELECT current_setting('server_version_num')::int, pg_backend_pid(), current_setting('server_version')`
  const isDirect = await connections.use(async client => {
    const { rows } = await client.query({ text, values: [], rowMode: 'array' })
    const [number, pid, version] = rows[0] ?? []
    if (Number(number) < OLDEST * 10_000) {
      throw new Error(`The PostgreSQL server has version ${version}; Waybill needs ${OLDEST} or newer.`)
    }
    // A pooler invents a process id for each client.
    return client.processID === Number(pid)
  })
  return { session: isDirect || (await keepsSessions(connections)) }
}

/**
 * A pooler gives a server process to another client as soon as a transaction ends. This may not happen in a single try,
 * so it is tried several times.
 */
const ROUNDS = 3

async function keepsSessions(connections: Connections): Promise<boolean> {
  if (connections.max < 2) return false
  return await connections.use(first =>
    connections.use(async second => {
      for (let round = 0; round < ROUNDS; round++) if (await shareServers(first, second)) return false
      return true
    }),
  )
}

/**
 * Whether the second connection gets the server process that the first one had, or the first one has got another
 * process meanwhile.
 */
async function shareServers(first: PostgresClient, second: PostgresClient): Promise<boolean> {
  const pid = await pidOf(first)
  await second.query({ text: 'BEGIN', values: [], rowMode: 'array' })
  try {
    return (await pidOf(second)) === pid || (await pidOf(first)) !== pid
  } finally {
    await second.query({ text: 'COMMIT', values: [], rowMode: 'array' })
  }
}

async function pidOf(client: PostgresClient): Promise<unknown> {
  const { rows } = await client.query({ text: 'SELECT pg_backend_pid()', values: [], rowMode: 'array' })
  return rows[0]?.[0]
}
