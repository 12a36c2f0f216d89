/**
 * Stores by their URLs: what a command line, a container's environment or a short program names a store by.
 *
 * | URL | store |
 * |---|---|
 * | `sqlite:./orders.db` | a SQLite file, from the working directory |
 * | `postgres://user@host/database?schema=waybill` | PostgreSQL, by the package `pg` |
 * | `cosmos:https://account.documents.azure.com/database/container` | Cosmos DB, by `@azure/cosmos` and `@azure/identity` |
 *
 * @example
 * const store = await storeFromUrl(process.env.WAYBILL_STORE ?? 'sqlite:./orders.db')
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Store } from '../store.ts'
import { cosmosStore } from '../stores/cosmos.ts'
import { pendingMigrations, postgresStore } from '../stores/postgres.ts'
import { pendingSqliteMigrations, sqliteStore } from '../stores/sqlite.ts'
import { entersByIdentity, identityConfig } from './azure-postgres.ts'
import { azureCredential, load } from './packages.ts'

/** Options of {@link storeFromUrl}. */
export interface StoreUrlOptions {
  /** Refuses a SQLite file that is not there, which would else be made. Default false. */
  readonly existing?: boolean
}

interface Kind {
  readonly scheme: RegExp
  readonly store: (url: string, options: StoreUrlOptions) => Promise<Store>
  /** The SQL that opening the store would run. */
  readonly plan: (url: string) => Promise<string>
}

const KINDS: readonly Kind[] = [
  { scheme: /^sqlite:/, store: openSqlite, plan: url => pendingSqliteMigrations(sqlitePath(url)) },
  { scheme: /^postgres(ql)?:\/\//, store: openPostgres, plan: planPostgres },
  { scheme: /^cosmos:/, store: openCosmos, plan: async () => '' },
]

const FORMS =
  'sqlite:<file>, postgres://<user>@<host>/<database> or cosmos:https://<account>.documents.azure.com/<database>/<container>'

/**
 * Makes the store that a URL names, and the client it needs, which is closed with it. Nothing is sent before
 * {@link Store.open}.
 *
 * Cosmos DB, and Azure's PostgreSQL where the URL has no password, are entered with `DefaultAzureCredential`: a managed
 * identity in Azure, whoever is logged in elsewhere. Cosmos DB, where
 * `COSMOS_KEY` is set, as emulators want it, with that key.
 *
 * @throws {TypeError} when it is no such URL; the message says what it may be, and never holds a password
 * @throws when the driver's package is not installed; the message says how to install it
 */
export async function storeFromUrl(url: string, options: StoreUrlOptions = {}): Promise<Store> {
  return await kindOf(url).store(url, options)
}

/** The SQL that opening the store would run; empty where there is nothing to do. The store is only looked at. */
export async function migrationPlanFor(url: string): Promise<string> {
  return await kindOf(url).plan(url)
}

/** The URL for people and logs: without the password. */
export function shownUrl(url: string): string {
  return url.replace(/(:\/\/[^/:]*):[^/]*@/, '$1:***@').replace(/([?&]password=)[^&]*/i, '$1***')
}

function kindOf(url: string): Kind {
  const kind = KINDS.find(({ scheme }) => scheme.test(url))
  if (kind === undefined) throw wrongUrl(url)
  return kind
}

function wrongUrl(url: string): TypeError {
  // What cannot be read may hold a password anywhere.
  const shown = url.includes('@') ? url.replace(/:.*/s, ':…') : url
  return new TypeError(`"${shown}" names no store: write ${FORMS}.`)
}

async function openSqlite(url: string, { existing = false }: StoreUrlOptions): Promise<Store> {
  const path = sqlitePath(url)
  if (existing && path !== ':memory:' && !existsSync(path)) {
    throw new Error(`There is no SQLite file ${resolve(path)}: check the path after "sqlite:".`)
  }
  return sqliteStore({ path })
}

function sqlitePath(url: string): string {
  const path = url.slice('sqlite:'.length)
  if (path === '') throw wrongUrl(url)
  return path
}

async function openPostgres(url: string): Promise<Store> {
  const { pool, schema } = await connectPostgres(url)
  return closingWith(postgresStore(pool, schema === undefined ? {} : { schema }), () => pool.end())
}

async function planPostgres(url: string): Promise<string> {
  const { pool, schema } = await connectPostgres(url)
  try {
    return await pendingMigrations(pool, schema)
  } finally {
    await pool.end()
  }
}

async function connectPostgres(url: string) {
  const target = URL.parse(url)
  if (target === null) throw wrongUrl(url)
  const { Pool } = await load<typeof import('pg')>('pg', 'pg')
  const schema = target.searchParams.get('schema') ?? undefined
  target.searchParams.delete('schema')
  const config = entersByIdentity(target)
    ? identityConfig(target, await azureCredential('@azure/identity'))
    : { connectionString: target.href }
  return { pool: new Pool({ ...config, application_name: 'waybill', keepAlive: true }), schema }
}

async function openCosmos(url: string): Promise<Store> {
  const target = URL.parse(url.slice('cosmos:'.length))
  const [database, container, ...rest] = (target?.pathname ?? '').split('/').filter(Boolean).map(decodeURIComponent)
  const isHttp = target?.protocol === 'https:' || target?.protocol === 'http:'
  if (!isHttp || database === undefined || container === undefined || rest.length > 0) throw wrongUrl(url)
  const packages = '@azure/cosmos @azure/identity'
  const { CosmosClient } = await load<typeof import('@azure/cosmos')>('@azure/cosmos', packages)
  const endpoint = target.origin
  const key = process.env.COSMOS_KEY
  const client = key
    ? new CosmosClient({ endpoint, key })
    : new CosmosClient({ endpoint, aadCredentials: await azureCredential(packages) })
  return closingWith(cosmosStore(client.database(database).container(container)), async () => client.dispose())
}

/** The store, whose close also frees what was made for it. */
function closingWith(store: Store, free: () => Promise<void>): Store {
  const close = store.close.bind(store)
  let freed: Promise<void> | undefined
  return Object.assign(store, {
    close: async () => {
      await close()
      freed ??= free()
      await freed
    },
  })
}
