/**
 * The tables and their migrations. Migrations only go forward. Each runs in one transaction under SQLite's write lock,
 * so that only one of several processes migrates.
 */
import { APPLICATION_ID, checkOurs, type Database, explained, fileOf, pragma, prepare } from './database.ts'
import { MIGRATIONS } from './migrations.ts'
import { BUSY_MS, waitForTurn } from './turns.ts'

/** The same as endsBy() of the model, as an expression for an index. */
export const ENDS_BY = 'min(coalesce(CASE WHEN attempt = 0 THEN start_by END, deadline), coalesce(deadline, start_by))'
/** The condition of that index: the operations that have a deadline. */
export const ENDS = 'status = 0 AND (start_by IS NOT NULL OR deadline IS NOT NULL)'

/** What a new file gets, and all migrations lead to. */
const SCHEMA = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Keyed by a number, which takes fewer bytes in each index than the id does. New rows are appended.
-- What repeats is not stored twice, see rows.ts:
-- uuid: the id as 16 bytes. An id that is not a UUID is text.
-- status: 0 pending, 1 running, 2 completed, 3 failed, 4 canceled. Times are milliseconds since the epoch.
-- started_after, attempt_after, finished_after, updated_after, expires_after: times, relative to an earlier one.
-- holder: the worker of the attempt that runs or has completed: a number of the table holders, or a name.
-- ended: the status of what has ended, else null. The index of the lists has it, so that a claim leaves that alone.
-- tags: a JSON object of strings.
CREATE TABLE operations (
  number INTEGER PRIMARY KEY,
  uuid BLOB NOT NULL UNIQUE,
  type TEXT NOT NULL,
  owner TEXT NOT NULL,
  status INTEGER NOT NULL,
  version INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_after INTEGER NOT NULL,
  run_at INTEGER,
  start_by INTEGER,
  deadline INTEGER,
  started_after INTEGER,
  finished_after INTEGER,
  expires_after INTEGER,
  attempt INTEGER NOT NULL,
  released INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  max_lost INTEGER NOT NULL,
  retention INTEGER NOT NULL,
  holder BLOB,
  lease_until INTEGER,
  attempt_after INTEGER,
  launches INTEGER NOT NULL,
  execution TEXT,
  engine TEXT,
  cancel_requested INTEGER NOT NULL,
  progress TEXT,
  error TEXT,
  history TEXT,
  waits TEXT,
  idempotency_key TEXT,
  fingerprint TEXT,
  traceparent TEXT,
  webhook_url TEXT,
  webhook_due INTEGER NOT NULL,
  purged INTEGER NOT NULL DEFAULT 0,
  ended INTEGER,
  purge_at INTEGER,
  retry_of TEXT,
  retried_by TEXT,
  tags TEXT,
  parent TEXT,
  family_due INTEGER NOT NULL DEFAULT 0
);

-- The claim's order. Operations that wait for a time are apart, so that any number of them costs a claim nothing.
-- An index ends with the number of the row, in the order of which operations were accepted.
CREATE INDEX operations_ready ON operations (type, priority DESC) WHERE status = 0 AND run_at IS NULL;
CREATE INDEX operations_delayed ON operations (type, run_at) WHERE status = 0 AND run_at IS NOT NULL;
CREATE INDEX operations_ends_by ON operations (${ENDS_BY}) WHERE ${ENDS};
CREATE INDEX operations_leased ON operations (lease_until, type) WHERE status = 1;
CREATE INDEX operations_launched ON operations (uuid) WHERE status = 0 AND execution IS NOT NULL;
CREATE INDEX operations_webhook_due ON operations (uuid) WHERE webhook_due = 1;
CREATE INDEX operations_family_due ON operations (uuid) WHERE family_due = 1;
-- A claim leaves it alone: see ended.
CREATE INDEX operations_children ON operations (parent, ended, uuid) WHERE parent IS NOT NULL;
CREATE INDEX operations_purge ON operations (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX operations_listed ON operations (type, owner, ended);
CREATE UNIQUE INDEX operations_key ON operations (type, owner, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Apart, so that a status read and a claim do not carry them. By the numbers of their operations.
CREATE TABLE inputs (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE outputs (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
-- What attempts threw.
CREATE TABLE errors (
  number INTEGER, attempt INTEGER, body TEXT NOT NULL, PRIMARY KEY (number, attempt)
) WITHOUT ROWID;
CREATE TABLE steps (number INTEGER, name TEXT, value TEXT NOT NULL, PRIMARY KEY (number, name)) WITHOUT ROWID;
CREATE TABLE logs (
  number INTEGER, sequence INTEGER, at INTEGER NOT NULL, attempt INTEGER NOT NULL, level TEXT NOT NULL,
  message TEXT NOT NULL, PRIMARY KEY (number, sequence)
) WITHOUT ROWID;

-- The names of workers that have claimed operations, kept until the time in milliseconds.
CREATE TABLE holders (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, until INTEGER NOT NULL);
-- How long the last completed attempts of each type ran, the newest first, as JSON: estimates never scan operations.
CREATE TABLE durations (type TEXT PRIMARY KEY, recent TEXT NOT NULL) WITHOUT ROWID;`

/** The version of the schema that this program writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length

/** How long a process waits for another one that migrates the file, in milliseconds. */
const MIGRATION_MS = 600_000

/**
 * Brings a file to this program's schema. A file that a newer program has migrated is used as it is, if its
 * `readableBy` allows this version.
 *
 * @param patient whether it waits for another process that migrates a large file; false for a connection that the user
 * has opened, since the user configures how it waits
 * @throws if the file belongs to another program, needs a newer Waybill, or cannot be written
 */
export function migrate(database: Database, { patient }: { readonly patient: boolean }): void {
  explained(fileOf(database), () => {
    const begin = () => void database.exec('BEGIN IMMEDIATE')
    if (patient) waitForTurn(begin, isOutdated(database) ? MIGRATION_MS : BUSY_MS)
    else begin()
    migrateAlone(database)
  })
}

function isOutdated(database: Database): boolean {
  return pragma(database, 'user_version') < SCHEMA_VERSION
}

/** Within a transaction that has the write lock. */
function migrateAlone(database: Database): void {
  try {
    const version = pragma(database, 'user_version')
    checkOurs(database)
    for (const sql of stepsFrom(version)) database.exec(sql)
    if (version > SCHEMA_VERSION) checkReadable(database, version)
    database.exec('COMMIT')
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}

/**
 * The SQL that migrates a file from a version to the schema of this program, in one transaction for each version.
 *
 * @returns the empty string where there is nothing to do
 */
export function migrationPlan(from: number): string {
  return stepsFrom(from)
    .map(sql => ['BEGIN IMMEDIATE;', sql, 'COMMIT;', ''].join('\n'))
    .join('\n')
}

/** A new file gets the schema at once, and a file of an earlier version each migration that it lacks. */
function stepsFrom(version: number): string[] {
  if (version === 0) return [withVersion(SCHEMA_VERSION, SCHEMA)]
  return MIGRATIONS.slice(version).map((_, index) => migrationTo(version + index + 1))
}

/** The SQL of one migration, to a version from the one before it. */
export function migrationTo(version: number): string {
  return withVersion(version, MIGRATIONS[version - 1]?.sql ?? '')
}

function withVersion(version: number, sql: string): string {
  return [
    sql,
    `INSERT OR REPLACE INTO meta (key, value) VALUES ('readable_by', ${MIGRATIONS[version - 1]?.readableBy});`,
    `PRAGMA user_version = ${version};`,
    `PRAGMA application_id = ${APPLICATION_ID};`,
  ].join('\n')
}

function checkReadable(database: Database, version: number): void {
  const row = prepare(database, "SELECT value FROM meta WHERE key = 'readable_by'").get() as { value: number }
  if (row.value <= SCHEMA_VERSION) return
  throw new Error(
    `The SQLite file "${fileOf(database)}" has schema version ${version}, and this Waybill knows version ${SCHEMA_VERSION}. ` +
      'Run the newer Waybill that migrated the file.',
  )
}
