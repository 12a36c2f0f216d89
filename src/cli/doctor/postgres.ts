/** Looks at a database of PostgreSQL: settings, schema, bloat, transactions, connections, notifications. It changes nothing. */
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { migrationPlanFor } from '../../from-url/store-from-url.ts'
import { connectPostgres } from '../../from-url/urls.ts'
import { DEFAULT_SCHEMA } from '../../stores/postgres/schema.ts'
import { span } from '../output.ts'
import { bytes, type Findings } from './finding.ts'

type Row = Readonly<Record<string, unknown>>

const MINUTE_MS = 60_000
const OLD_TRANSACTION_MS = 5 * MINUTE_MS
const NOTIFY_MS = 3000
const CLOCKS_APART_MS = 5000
const MIN_VERSION = 15

export async function examinePostgres(url: string, findings: Findings): Promise<void> {
  const { pool, options } = await connectPostgres(new URL(url))
  const { schema = DEFAULT_SCHEMA } = options
  try {
    await examineServer(pool, findings)
    await findings.look('schema', () => examineSchema(url, findings))
    await findings.look('indexes', () => examineIndexes(pool, schema, findings))
    await findings.look('tables', () => examineTables(pool, schema, findings))
    await findings.look('transactions', () => examineTransactions(pool, findings))
    await findings.look('connections', () => examineConnections(pool, findings))
    await findings.look('notifications', () => examineNotifications(pool, findings))
  } finally {
    await pool.end()
  }
}

async function rows(pool: Pool, sql: string, values: unknown[] = []): Promise<readonly Row[]> {
  return (await pool.query(sql, values)).rows as Row[]
}

async function examineServer(pool: Pool, findings: Findings): Promise<void> {
  const before = Date.now()
  const [row = {}] = await rows(
    pool,
    `SELECT current_setting('server_version_num')::int / 10000 AS version, pg_is_in_recovery() AS replica,
       extract(epoch FROM clock_timestamp()) * 1000 AS now, current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('autovacuum') AS autovacuum`,
  )
  const version = Number(row.version)
  findings.judge(
    'server',
    version >= MIN_VERSION,
    `PostgreSQL ${version}`,
    `PostgreSQL ${version}: use ${MIN_VERSION} or newer`,
  )
  if (row.replica === true) findings.fail('server', 'a read-only replica: name the primary')
  const apart = Math.abs(Number(row.now) - (before + Date.now()) / 2)
  const says = `${span(apart)} from that of this machine`
  findings.judge(
    'clock',
    apart < CLOCKS_APART_MS,
    says,
    `${says}: synchronize both, since times in documents and signatures are theirs`,
  )
  for (const name of ['fsync', 'synchronous_commit']) {
    if (row[name] === 'off')
      findings.fail('durability', `${name} is off: accepted operations are lost when the server crashes`)
  }
  findings.judge('autovacuum', row.autovacuum === 'on', 'on', 'off: tables grow without end')
}

async function examineSchema(url: string, findings: Findings): Promise<void> {
  const plan = await migrationPlanFor(url)
  const cure = 'there is none, or one of an older version: waybill migrate brings it up to date, as does the next start'
  findings.judge('schema', plan === '', 'of this version', cure)
}

/** An index with more than 400 bytes for each entry is mostly empty. For a small index that does not matter. */
const BLOATED_INDEX =
  'pg_relation_size(c.oid) > 64 * 1024 * 1024 AND pg_relation_size(c.oid) > 400 * greatest(c.reltuples, 0)'

async function examineIndexes(pool: Pool, schema: string, findings: Findings): Promise<void> {
  const found = await rows(
    pool,
    `SELECT c.relname AS name, i.indisvalid AND i.indisready AS valid, pg_relation_size(c.oid)::float8 AS size,
       ${BLOATED_INDEX} AS bloated
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1`,
    [schema],
  )
  const named = (some: readonly Row[]) => some.map(({ name, size }) => `${name} (${bytes(Number(size))})`).join(', ')
  const [invalid, bloated] = [found.filter(({ valid }) => valid !== true), found.filter(it => it.bloated === true)]
  if (invalid.length > 0)
    findings.fail('indexes', `not valid: ${named(invalid)}. REINDEX INDEX CONCURRENTLY repairs them`)
  else findings.ok('indexes', `${found.length}, all valid`)
  if (bloated.length > 0) {
    findings.warn('indexes', `mostly empty: ${named(bloated)}. REINDEX INDEX CONCURRENTLY makes them small again`)
  }
}

async function examineTables(pool: Pool, schema: string, findings: Findings): Promise<void> {
  const found = await rows(
    pool,
    `SELECT relname AS name, n_live_tup::float8 AS live, n_dead_tup::float8 AS dead,
       coalesce(last_analyze, last_autoanalyze) IS NOT NULL AS analyzed, pg_total_relation_size(relid)::float8 AS size
     FROM pg_stat_user_tables WHERE schemaname = $1`,
    [schema],
  )
  const total = found.reduce((sum, { size }) => sum + Number(size), 0)
  findings.ok('tables', `${found.length}, ${bytes(total)} with their indexes`)
  for (const { name, live, dead, analyzed } of found) {
    if (Number(dead) > 100_000 && Number(dead) > Number(live) / 4) {
      findings.warn(
        'tables',
        `${name} has ${dead} dead rows beside ${live}: autovacuum does not keep up, or an old transaction holds it back`,
      )
    }
    if (Number(live) > 10_000 && analyzed !== true) {
      findings.warn('statistics', `${name} was never analyzed, so plans are guesses: ANALYZE ${schema}.${name}`)
    }
  }
}

async function examineTransactions(pool: Pool, findings: Findings): Promise<void> {
  const found = await rows(
    pool,
    `SELECT pid, application_name AS program, extract(epoch FROM now() - xact_start)::float8 * 1000 AS ms
     FROM pg_stat_activity
     WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
       AND backend_type = 'client backend'
     ORDER BY xact_start LIMIT 1`,
  )
  const prepared = await rows(pool, `SELECT gid FROM pg_prepared_xacts WHERE now() - prepared > interval '5 minutes'`)
  for (const { gid } of prepared)
    findings.warn('transactions', `"${gid}" was prepared and never ended: it keeps dead rows`)
  const [oldest] = found
  if (oldest === undefined) return findings.ok('transactions', 'none is open')
  const says = `the oldest has been open for ${span(Number(oldest.ms))} (process ${oldest.pid}, ${oldest.program || 'no name'})`
  findings.judge(
    'transactions',
    Number(oldest.ms) < OLD_TRANSACTION_MS,
    says,
    `${says}: dead rows cannot be removed while it is open`,
  )
}

const FEW_CONNECTIONS = 10

async function examineConnections(pool: Pool, findings: Findings): Promise<void> {
  const [row = {}] = await rows(
    pool,
    `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used`,
  )
  const free = Number(row.most) - Number(row.used)
  const says = `${free} of ${row.most} are free`
  const cure = `${says}: each process of Waybill takes up to ten. Raise max_connections, or put PgBouncer before it`
  findings.judge('connections', free >= FEW_CONNECTIONS, says, cure)
}

/** Listens on one connection and notifies on another. Behind a pooler in transaction mode, nothing arrives. */
async function examineNotifications(pool: Pool, findings: Findings): Promise<void> {
  const channel = `waybill_doctor_${randomUUID().replaceAll('-', '')}`
  const listener = await pool.connect()
  try {
    const arrived = new Promise<boolean>(resolve => {
      listener.on('notification', message => message.channel === channel && resolve(true))
      setTimeout(() => resolve(false), NOTIFY_MS).unref()
    })
    await listener.query(`LISTEN ${channel}`)
    await pool.query(`NOTIFY ${channel}`)
    const cure =
      'do not arrive, as behind a pooler in transaction mode: work is noticed by polls alone. Name a direct URL, or a pooler in session mode'
    findings.judge('notifications', await arrived, 'arrive', cure)
  } finally {
    listener.release(true)
  }
}
