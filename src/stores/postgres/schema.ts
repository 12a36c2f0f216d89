/**
 * The tables and their migrations. Migrations only go forward. Each runs in one transaction under an advisory lock, so
 * that only one of several processes migrates. `readableBy` says which older programs can still use the migrated tables.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { retry } from '../../util/retry-call.ts'
import { BEGIN, Connections, sqlState } from './connections.ts'
import { quoteName, quoteText } from './names.ts'
import type { PostgresClient, PostgresPool, Row } from './pool.ts'

/**
 * A transaction that waits for the lock of a whole table delays all later ones. So it waits only briefly, and then lets
 * them run.
 */
const LOCK_BRIEFLY = `SET LOCAL lock_timeout = '2s';`
/** The pause before the lock is tried again, in milliseconds. */
const LOCK_PAUSE_MS = 1000
/** How many times the lock is tried. */
const LOCK_TRIES = 100
const LOCK_NOT_AVAILABLE = '55P03'

interface Migration {
  /** The oldest version of the schema whose programs can still work with the tables afterwards. */
  readonly readableBy: number
  readonly sql: (schema: string) => string
}

/** Migration n, from 1, leads from version n - 1 to version n. */
const MIGRATIONS: readonly Migration[] = [
  {
    readableBy: 1,
    sql: schema => `${operationsTable(schema)}\n${tablesBeside(schema)}`,
  },
  {
    // Programs of version 1 name the columns that they write, so they leave this one unchanged: see toOperation.
    readableBy: 1,
    sql: schema => `${LOCK_BRIEFLY}\nALTER TABLE ${schema}.operations ADD COLUMN engine text COLLATE "C";`,
  },
  {
    // Programs of version 2 would leave waits open that are over.
    readableBy: 3,
    sql: schema => `${LOCK_BRIEFLY}\nALTER TABLE ${schema}.operations ADD COLUMN waits text COLLATE "C";`,
  },
  {
    readableBy: 3,
    // The tags are a JSON object of strings.
    sql: schema => `${LOCK_BRIEFLY}
ALTER TABLE ${schema}.operations ADD COLUMN retry_of uuid, ADD COLUMN retried_by uuid, ADD COLUMN tags text COLLATE "C";`,
  },
  {
    // Programs of version 4 would not notify the parent of a child.
    readableBy: 5,
    sql: schema => `${LOCK_BRIEFLY}
ALTER TABLE ${schema}.operations ADD COLUMN parent uuid, ADD COLUMN family_due boolean NOT NULL DEFAULT false;
CREATE INDEX operations_family_due ON ${schema}.operations (id) WHERE family_due;
CREATE INDEX operations_children ON ${schema}.operations (parent, status, id) WHERE parent IS NOT NULL;`,
  },
  {
    // Programs of version 5 sweep without the index, and do not enforce deadlines; newer programs do.
    readableBy: 5,
    // This replaces the index on the start deadline, since each further index slows every write.
    sql: schema => `${LOCK_BRIEFLY}
ALTER TABLE ${schema}.operations ADD COLUMN deadline bigint;
DROP INDEX ${schema}.operations_start_by;
CREATE INDEX operations_ends_by ON ${schema}.operations (${endsBySql('')}) WHERE ${endsSql('')};`,
  },
  {
    readableBy: 5,
    // A claim passes all entries of its index that earlier claims have left there since the last vacuum, so their number
    // must not grow with the operations that have ended. By itself, a vacuum leaves indexes alone while few pages of the
    // table have dead rows.
    sql: schema => `${LOCK_BRIEFLY}
ALTER TABLE ${schema}.operations SET (autovacuum_vacuum_scale_factor = 0.002, vacuum_index_cleanup = on);`,
  },
  {
    // Programs of version 7 would not find the outputs that newer ones write. Outputs that they have written stay where
    // they are: see outputOf.
    readableBy: 8,
    // Lists have an index for each kind of status: an entry of what has ended is never written again, and those of what
    // waits or runs need few pages, which are used again. No owner is null: with that condition, only statements that name
    // an owner take the index of what waits. Others, such as the sweep, would read all of it where the planner believes
    // old statistics.
    sql: schema => `${LOCK_BRIEFLY}
ALTER TABLE ${schema}.operations ADD COLUMN output text COLLATE "C";
DROP INDEX ${schema}.operations_listed, ${schema}.operations_running;
CREATE INDEX operations_waiting ON ${schema}.operations (type, owner, id) WHERE status = 0 AND owner IS NOT NULL;
CREATE INDEX operations_running ON ${schema}.operations (type, owner, id) WHERE status = 1;
CREATE INDEX operations_ended ON ${schema}.operations (type, owner, status, id) WHERE status >= 2;`,
  },
  {
    readableBy: 8,
    // Each statement that writes a row reads and plans the text of a check again, which took longer than the row.
    sql: schema => `${LOCK_BRIEFLY}\nALTER TABLE ${schema}.operations DROP CONSTRAINT operations_status_check;`,
  },
  {
    readableBy: 8,
    // PostgreSQL analyzes a queue each minute, and takes 300 rows for each unit of the highest target: with the default
    // of 100, that took a second of CPU among a million operations. Plans do not depend on it: statistics of a queue are
    // nearly always old.
    sql: schema => `${LOCK_BRIEFLY}
ALTER TABLE ${schema}.operations
  ${ANALYZED.map(column => `ALTER COLUMN ${column} SET STATISTICS 10`).join(',\n  ')};
ALTER INDEX ${schema}.operations_ends_by ALTER COLUMN 1 SET STATISTICS 10;`,
  },
]

/** The columns of the operations in version 10. A later one needs a target of its own. */
const ANALYZED = [
  ...['id', 'created_at', 'updated_at', 'run_at', 'start_by', 'started_at', 'finished_at', 'expires_at', 'purge_at'],
  ...['lease_until', 'attempt_started_at', 'retention', 'priority', 'version', 'attempt', 'released', 'lost'],
  ...['launches', 'max_attempts', 'max_lost', 'status', 'cancel_requested', 'webhook_due', 'purged', 'type', 'owner'],
  ...['idempotency_key', 'fingerprint', 'traceparent', 'webhook_url', 'holder', 'execution', 'progress', 'error'],
  ...['history', 'engine', 'waits', 'retry_of', 'retried_by', 'tags', 'parent', 'family_due', 'deadline', 'output'],
]

/**
 * The same as endsBy() of the model, as an expression for an index.
 *
 * @param of what comes before each column, such as `o.`
 */
export function endsBySql(of: string): string {
  return `least(CASE WHEN ${of}attempt = 0 THEN ${of}start_by END, ${of}deadline)`
}

/** The condition of that index: the operations that have a deadline. */
export function endsSql(of: string): string {
  return `${of}status = 0 AND (${of}start_by IS NOT NULL OR ${of}deadline IS NOT NULL)`
}

function operationsTable(schema: string): string {
  return `CREATE TABLE ${schema}.migrations (
  version integer PRIMARY KEY,
  readable_by integer NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);

-- Narrow: a claim, a renewal or an end rewrites few bytes. Fixed widths come first, so that nothing is padded.
-- status: 0 pending, 1 running, 2 completed, 3 failed, 4 canceled. Times are milliseconds since the epoch.
-- Collation "C": byte order, the fastest there is, and the same after every upgrade of the operating system.
CREATE TABLE ${schema}.operations (
  id uuid PRIMARY KEY,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  run_at bigint,
  start_by bigint,
  started_at bigint,
  finished_at bigint,
  expires_at bigint,
  purge_at bigint,
  lease_until bigint,
  attempt_started_at bigint,
  retention bigint NOT NULL,
  priority integer NOT NULL,
  version integer NOT NULL DEFAULT 1,
  attempt integer NOT NULL DEFAULT 0,
  released integer NOT NULL DEFAULT 0,
  lost integer NOT NULL DEFAULT 0,
  launches integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL,
  max_lost integer NOT NULL,
  status smallint NOT NULL DEFAULT 0 CHECK (status BETWEEN 0 AND 4),
  cancel_requested boolean NOT NULL DEFAULT false,
  webhook_due boolean NOT NULL DEFAULT false,
  purged boolean NOT NULL DEFAULT false,
  type text COLLATE "C" NOT NULL,
  owner text COLLATE "C" NOT NULL,
  idempotency_key text COLLATE "C",
  fingerprint text COLLATE "C",
  traceparent text COLLATE "C",
  webhook_url text COLLATE "C",
  holder text COLLATE "C",
  execution text COLLATE "C",
  progress text COLLATE "C",
  error text COLLATE "C",
  history text COLLATE "C"
) WITH (
  fillfactor = 85,
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_limit = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);

-- The claim's order. Operations that wait for a time are apart, so that any number of them costs a claim nothing.
CREATE INDEX operations_ready ON ${schema}.operations (type, priority DESC, id) WHERE status = 0 AND run_at IS NULL;
CREATE INDEX operations_delayed ON ${schema}.operations (type, run_at) WHERE status = 0 AND run_at IS NOT NULL;
CREATE INDEX operations_start_by ON ${schema}.operations (start_by) WHERE status = 0 AND start_by IS NOT NULL;
CREATE INDEX operations_launched ON ${schema}.operations (id) WHERE status = 0 AND execution IS NOT NULL;
-- No index holds the end of a lease: then renewals and progress rewrite the row in its page, and no index at all.
CREATE INDEX operations_running ON ${schema}.operations (type, id) WHERE status = 1;
CREATE INDEX operations_webhook_due ON ${schema}.operations (id) WHERE webhook_due;
CREATE INDEX operations_purge ON ${schema}.operations (purge_at) WHERE purge_at IS NOT NULL;
-- For lists of each status, and for those of all, which are merged of them: an index without the status would be one more to write.
CREATE INDEX operations_listed ON ${schema}.operations (type, owner, status, id);
CREATE UNIQUE INDEX operations_key ON ${schema}.operations (type, owner, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
`
}

function tablesBeside(schema: string): string {
  return `-- kind: 0 input, 1 output (before version 8), 1 + n what the attempt n threw. Apart, so that a change of the record does not carry them. Text, to the letter as it came.
CREATE TABLE ${schema}.payloads (
  id uuid,
  kind smallint,
  body text COLLATE "C" NOT NULL,
  PRIMARY KEY (id, kind)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);
CREATE TABLE ${schema}.steps (
  id uuid,
  name text COLLATE "C",
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY (id, name)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE TABLE ${schema}.logs (
  id uuid,
  sequence integer,
  attempt integer NOT NULL,
  at bigint NOT NULL,
  level text COLLATE "C" NOT NULL,
  message text COLLATE "C" NOT NULL,
  PRIMARY KEY (id, sequence)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
-- How long completed attempts ran, a row for each batch of them: about the last 100 of each type, so that estimates never scan operations.
CREATE TABLE ${schema}.durations (
  slot bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ms bigint[] NOT NULL,
  type text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500);
CREATE INDEX durations_type ON ${schema}.durations (type, slot);`
}

/** The version of the schema that this program writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length

/** The default schema. */
export const DEFAULT_SCHEMA = 'waybill'

/** Names in PostgreSQL have 63 bytes; the rest is for suffixes that are added to this one. */
const LONGEST_SCHEMA = 48

/** How long a look at the version may take, in milliseconds. */
const PLAN_MS = 10_000

/** How long a migration may take, in milliseconds. */
const MIGRATION_MS = 600_000

/**
 * The name of a schema, quoted.
 *
 * @throws {TypeError} when it cannot be one
 */
export function quoteSchema(schema: string): string {
  const bytes = Buffer.byteLength(schema)
  if (bytes === 0 || bytes > LONGEST_SCHEMA || schema.includes('\0')) {
    throw new TypeError(`schema must have 1 to ${LONGEST_SCHEMA} bytes and no NUL, not ${JSON.stringify(schema)}.`)
  }
  return quoteName(schema)
}

/** Options of {@link migrationPlan}. */
export interface MigrationPlanOptions {
  /** Default `waybill`. */
  readonly schema?: string
  /** The version that the database has; 0 for none. Default 0. */
  readonly from?: number
}

/**
 * The SQL that migrates a database to the schema of this version, for a review, or for a user who has the rights to run
 * it. It has one transaction for each version, under the lock that stores take too.
 *
 * @returns the empty string where there is nothing to do
 *
 * @example
 * writeFileSync('waybill.sql', migrationPlan({ schema: 'orders' }))
 */
export function migrationPlan({ schema = DEFAULT_SCHEMA, from = 0 }: MigrationPlanOptions = {}): string {
  return MIGRATIONS.slice(from)
    .map((_, index) => ['BEGIN;', LOCK(schema), ...stepTo(from + index + 1, schema), 'COMMIT;', ''].join('\n'))
    .join('\n')
}

/**
 * The SQL that a database still needs, as {@link migrationPlan} writes it. The database is only read.
 *
 * @returns the empty string where there is nothing to do
 *
 * @example
 * const sql = await pendingMigrations(pool)
 * if (sql !== '') throw new Error(`Run this first:\n${sql}`)
 */
export async function pendingMigrations(pool: PostgresPool, schema: string = DEFAULT_SCHEMA): Promise<string> {
  const connections = new Connections(pool, PLAN_MS)
  const { version } = await connections.use(client => versionOf(client, schema))
  return migrationPlan({ schema, from: version })
}

const LOCK = (schema: string) => `SELECT pg_advisory_xact_lock(hashtextextended(${quoteText(`waybill/${schema}`)}, 0));`

function stepTo(version: number, schema: string): string[] {
  const migration = MIGRATIONS[version - 1]
  if (migration === undefined) throw new RangeError(`There is no migration to version ${version}.`)
  const quoted = quoteSchema(schema)
  const create = version === 1 ? [`CREATE SCHEMA IF NOT EXISTS ${quoted};`] : []
  const note = `INSERT INTO ${quoted}.migrations (version, readable_by) VALUES (${version}, ${migration.readableBy});`
  return [...create, migration.sql(quoted), note]
}

/**
 * Brings a database to this program's schema. A database that a newer program has migrated is used as it is, if its
 * `readableBy` allows this version.
 *
 * @throws when the database needs a newer program, or the user may not migrate it
 */
export async function migrate(connections: Connections, schema: string, allowed: boolean): Promise<void> {
  const found = await connections.use(client => versionOf(client, schema))
  if (found.version === 0 && !allowed) throw new Error(noStore(schema))
  if (found.version < SCHEMA_VERSION && !allowed) {
    throw new Error(notMigrated(schema, found.version, 'this store is configured not to migrate it'))
  }
  if (found.version < SCHEMA_VERSION) {
    await connections.use(client => migrateAll(client, schema, found.version), performance.now() + MIGRATION_MS)
  }
  checkReadable(found)
}

interface Found {
  readonly version: number
  readonly readableBy: number
}

async function versionOf(client: PostgresClient, schema: string): Promise<Found> {
  const table = `${quoteSchema(schema)}.migrations`
  // Not to_regclass(): within a transaction its answer may be older than the lock.
  const named = `schemaname = ${quoteText(schema)} AND tablename = 'migrations'`
  const [exists] = await rows(client, `SELECT 1 FROM pg_catalog.pg_tables WHERE ${named}`)
  if (exists === undefined) return { version: 0, readableBy: 0 }
  const [latest] = await rows(client, `SELECT version, readable_by FROM ${table} ORDER BY version DESC LIMIT 1`)
  return { version: Number(latest?.[0] ?? 0), readableBy: Number(latest?.[1] ?? 0) }
}

async function migrateAll(client: PostgresClient, schema: string, from: number): Promise<void> {
  for (let to = from + 1; to <= SCHEMA_VERSION; to++) await migrateTo(client, schema, to)
}

async function migrateTo(client: PostgresClient, schema: string, to: number): Promise<void> {
  await retry(
    () => tryToMigrate(client, schema, to),
    async (error, failures) => {
      if (sqlState(error) === '42501') {
        throw new Error(notMigrated(schema, to - 1, 'this user may not migrate it'), { cause: error })
      }
      if (sqlState(error) !== LOCK_NOT_AVAILABLE || failures === LOCK_TRIES) throw error
      await sleep(LOCK_PAUSE_MS)
    },
  )
}

async function tryToMigrate(client: PostgresClient, schema: string, to: number): Promise<void> {
  await rows(client, BEGIN.text)
  try {
    await rows(client, LOCK(schema))
    // The process that had the lock before may have migrated, perhaps to a version that this program cannot read.
    const found = await versionOf(client, schema)
    checkReadable(found)
    if (found.version < to) await rows(client, stepTo(to, schema).join('\n'))
    await rows(client, 'COMMIT')
  } catch (error) {
    await rows(client, 'ROLLBACK').catch(() => {})
    throw error
  }
}

/** Without parameters several statements can be sent as one. */
async function rows(client: PostgresClient, text: string): Promise<Row[]> {
  return (await client.query({ text, values: [], rowMode: 'array' })).rows
}

function noStore(schema: string): string {
  return (
    `There is no Waybill store in the schema "${schema}" of the PostgreSQL database, and this store is configured not to ` +
    'migrate it: check the name of the schema, "?schema=" in a URL, or run "waybill migrate" to make one there.'
  )
}

function notMigrated(schema: string, version: number, why: string): string {
  return (
    `The schema "${schema}" of the PostgreSQL database has version ${version}, this Waybill needs version ` +
    `${SCHEMA_VERSION}, and ${why}. Have a user who may create tables there run "waybill migrate", ` +
    'or the SQL that "waybill migrate --plan" prints.'
  )
}

function checkReadable({ version, readableBy }: Found): void {
  if (readableBy <= SCHEMA_VERSION) return
  throw new Error(
    `The PostgreSQL database has schema version ${version}, and this Waybill knows version ${SCHEMA_VERSION}. ` +
      'Run the newer Waybill that migrated it.',
  )
}
