/**
 * Opens stores by their URLs, as command lines, environments of containers and short programs name them.
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
   * Fails, at the latest in {@link Store.open}, if the SQLite file does not exist, or if the schema of PostgreSQL has
   * no store or one of an older version, instead of making or migrating it. Default false.
   */
  readonly existing?: boolean | undefined
  /** Roles of PostgreSQL that may work with the tables, beside those that the URL names as `grantTo`. Default: none. */
  readonly grantTo?: readonly string[] | undefined
  /**
   * For an execution, which runs one operation: at most two connections to PostgreSQL, one of which is closed when
   * idle, and none for notifications. There may be many executions, and connections are few. Default false.
   */
  readonly forExecution?: boolean | undefined
  /**
   * Keeps data that is too large for an item of Cosmos DB; the other stores do not need it. The store opens it, and the
   * code that made it closes it.
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
 * Cosmos DB, and Azure's PostgreSQL if the URL has no password, are accessed with `DefaultAzureCredential`: a managed
 * identity in Azure, elsewhere the user who is logged in. If `COSMOS_KEY` is set, as for emulators, Cosmos DB is
 * accessed with that key.
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

/** The SQL that opening the store would run; empty if there is nothing to do. The store is only read. */
export async function migrationPlanFor(url: string, grantTo: readonly string[] = []): Promise<string> {
  return await kindOf(url).plan(url, grantTo)
}

/** Whether a URL names PostgreSQL, whose users need grants. */
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

/** The file that a SQLite URL names. */
export function sqlitePath(url: string): string {
  const path = url.slice('sqlite:'.length)
  if (path === '') throw wrongUrl(url)
  return path
}

/**
 * The pool of an execution. The first connection stays open: a new one might not be available when the outcome is
 * recorded.
 */
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
  // A store that is only read grants nothing.
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

/** None if the path is wrongly encoded. */
function namesIn(path: string): string[] {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent)
  } catch {
    return []
  }
}
