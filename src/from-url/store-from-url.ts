/**
 * Stores by their URLs: what a command line, a container's environment or a short program names a store by.
 *
 * | URL | store |
 * |---|---|
 * | `sqlite:./orders.db` | a SQLite file, from the working directory |
 * | `postgres://user@host/database?schema=waybill&grantTo=role` | PostgreSQL, by the package `pg` |
 * | `cosmos:https://account.documents.azure.com/database/container` | Cosmos DB, by `@azure/cosmos` and `@azure/identity` |
 *
 * @example
 * const store = await storeFromUrl(process.env.WAYBILL_STORE ?? 'sqlite:./orders.db')
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { BlobStore } from '../blobs/blob-store.ts'
import { cosmosStore } from '../stores/cosmos/cosmos.ts'
import { grantPlan, pendingMigrations, postgresStore } from '../stores/postgres/postgres.ts'
import { DEFAULT_SCHEMA } from '../stores/postgres/schema.ts'
import { pendingSqliteMigrations, sqliteStore } from '../stores/sqlite/sqlite.ts'
import type { Store } from '../stores/store.ts'
import { explainOpenFailures } from './azure-credential.ts'
import { azureCredential, load } from './load-package.ts'
import { connectPostgres, redactUnreadable, UrlError, withClose } from './urls.ts'

/** Options of {@link storeFromUrl}. */
export interface StoreUrlOptions {
  /**
   * Refuses, before or at {@link Store.open}, a SQLite file that is not there, and a schema of PostgreSQL that has no
   * store or one of an older version, which would else be made or migrated. Default false.
   */
  readonly existing?: boolean | undefined
  /** Roles of PostgreSQL that may work with the tables, beside those that the URL names as `grantTo`. Default: none. */
  readonly grantTo?: readonly string[] | undefined
  /**
   * For an execution, which works on one operation: at most two connections to PostgreSQL, of which one is given back
   * when it is idle, and none that listens. Executions may be many, and connections are few. Default false.
   */
  readonly forExecution?: boolean | undefined
  /**
   * Keeps what is too large for an item of Cosmos DB; the other stores need none. The store opens it, and the code that made
   * it closes it.
   */
  readonly blobs?: BlobStore | undefined
}

interface Kind {
  readonly scheme: RegExp
  readonly store: (url: string, options: StoreUrlOptions) => Promise<Store>
  /** The SQL that opening the store would run. */
  readonly plan: (url: string, grantTo: readonly string[]) => Promise<string>
}

const KINDS: readonly Kind[] = [
  { scheme: /^sqlite:/, store: openSqlite, plan: url => pendingSqliteMigrations(sqlitePath(url)) },
  { scheme: /^postgres(ql)?:\/\//, store: openPostgres, plan: planPostgres },
  { scheme: /^cosmos:/, store: openCosmos, plan: planCosmos },
]

const FORMS =
  'sqlite:<file>, postgres://<user>@<host>/<database> or cosmos:https://<account>.documents.azure.com/<database>/<container>'

/**
 * Makes the store that a URL names, and the client it needs, which is closed with it. Nothing is sent before
 * {@link Store.open}.
 *
 * Cosmos DB, and Azure's PostgreSQL where the URL has no password, are entered with `DefaultAzureCredential`: a managed
 * identity in Azure, the user who is logged in elsewhere. Cosmos DB, where
 * `COSMOS_KEY` is set, as emulators want it, with that key.
 *
 * @throws {TypeError} when it is not such a URL; the message says what it may be, and never holds a password
 * @throws when the driver's package is not installed; the message says how to install it
 *
 * @example
 * const opened = await storeFromUrl(process.env.WAYBILL_STORE ?? 'sqlite:./orders.db')
 */
export async function storeFromUrl(url: string, options: StoreUrlOptions = {}): Promise<Store> {
  return await kindOf(url).store(url, options)
}

/** The SQL that opening the store would run; empty where there is nothing to do. The store is only looked at. */
export async function migrationPlanFor(url: string, grantTo: readonly string[] = []): Promise<string> {
  return await kindOf(url).plan(url, grantTo)
}

/** Whether a URL is of PostgreSQL, whose users need grants. */
export function hasRoles(url: string): boolean {
  return kindOf(url).store === openPostgres
}

function kindOf(url: string): Kind {
  const kind = KINDS.find(({ scheme }) => scheme.test(url))
  if (kind === undefined) throw wrongUrl(url)
  return kind
}

function wrongUrl(url: string): UrlError {
  return new UrlError(`"${redactUnreadable(url)}" is not the URL of a store: write ${FORMS}.`)
}

async function openSqlite(url: string, { existing = false }: StoreUrlOptions): Promise<Store> {
  const path = sqlitePath(url)
  if (existing && path !== ':memory:' && !existsSync(path)) {
    throw new Error(`There is no SQLite file ${resolve(path)}: check the path after "sqlite:".`)
  }
  return sqliteStore({ path })
}

/** The file that a URL of SQLite names. */
export function sqlitePath(url: string): string {
  const path = url.slice('sqlite:'.length)
  if (path === '') throw wrongUrl(url)
  return path
}

/** The pool of an execution. The first connection stays: another might not be had for the outcome. */
const EXECUTION_POOL = { max: 2, min: 1, idleTimeoutMillis: 1000 }

async function openPostgres(url: string, given: StoreUrlOptions): Promise<Store> {
  const { existing = false, forExecution = false, grantTo = [] } = given
  const {
    pool,
    options,
    grantTo: named,
    credential,
  } = await connectPostgres(postgresUrl(url), forExecution ? EXECUTION_POOL : {})
  const notifications = forExecution ? { notifications: 'send' as const } : {}
  // What only looks grants nothing.
  const roles = existing ? [] : [...named, ...grantTo]
  const store = postgresStore(pool, { ...options, ...notifications, migrate: !existing, grantTo: roles })
  return withClose(explainOpenFailures(store, credential, 'PostgreSQL'), () => pool.end())
}

async function planPostgres(url: string, grantTo: readonly string[]): Promise<string> {
  const { pool, options, grantTo: named } = await connectPostgres(postgresUrl(url))
  try {
    const migrations = await pendingMigrations(pool, options.schema)
    return `${migrations}${grantPlan(options.schema ?? DEFAULT_SCHEMA, [...named, ...grantTo])}`
  } finally {
    await pool.end()
  }
}

function postgresUrl(url: string): URL {
  const target = URL.parse(url)
  if (target === null) throw wrongUrl(url)
  return target
}

async function openCosmos(url: string, { blobs }: StoreUrlOptions): Promise<Store> {
  const { endpoint, database, container } = cosmosAddress(url)
  const packages = '@azure/cosmos @azure/identity'
  const { CosmosClient } = await load<typeof import('@azure/cosmos')>('@azure/cosmos', packages)
  const key = process.env.COSMOS_KEY
  const credential = key ? undefined : await azureCredential(packages)
  const client = credential
    ? new CosmosClient({ endpoint, aadCredentials: credential })
    : new CosmosClient({ endpoint, key: key ?? '' })
  const store = cosmosStore(client.database(database).container(container), blobs === undefined ? {} : { blobs })
  return withClose(explainOpenFailures(store, credential, 'Cosmos DB'), async () => client.dispose())
}

/** There is no schema. */
async function planCosmos(url: string): Promise<string> {
  cosmosAddress(url)
  return ''
}

function cosmosAddress(url: string): { endpoint: string; database: string; container: string } {
  const target = URL.parse(url.slice('cosmos:'.length))
  const [database, container, ...rest] = namesIn(target?.pathname ?? '')
  const isHttp = target?.protocol === 'https:' || target?.protocol === 'http:'
  if (!isHttp || database === undefined || container === undefined || rest.length > 0) throw wrongUrl(url)
  return { endpoint: target.origin, database, container }
}

/** None where the path is encoded wrongly. */
function namesIn(path: string): string[] {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent)
  } catch {
    return []
  }
}
