/**
 * How a file of an earlier version gets the schema of this program. What a migration makes is known by its text alone,
 * so the text of one that files have had does not change.
 */
import { KEY_OF_ID } from './keys.ts'

interface Migration {
  /** The oldest version of this program that can still work with the file afterwards. */
  readonly readableBy: number
  readonly sql: string
}

/** Migration n, from 1, leads from version n - 1 to version n. A new file has `SCHEMA` at once. */
export const MIGRATIONS: readonly Migration[] = [
  {
    readableBy: 1,
    sql: `
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Keyed by a number, which takes fewer bytes in each index than the id does. New rows are appended.
-- status: 0 pending, 1 running, 2 completed, 3 failed, 4 canceled. Times are milliseconds since the epoch.
-- ended: the status of what has ended, else null. The index of the lists has it, so that a claim leaves that alone.
CREATE TABLE operations (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  owner TEXT NOT NULL,
  status INTEGER NOT NULL,
  version INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  run_at INTEGER,
  start_by INTEGER,
  started_at INTEGER,
  finished_at INTEGER,
  expires_at INTEGER,
  attempt INTEGER NOT NULL,
  released INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  max_lost INTEGER NOT NULL,
  retention INTEGER NOT NULL,
  holder TEXT,
  lease_until INTEGER,
  attempt_started_at INTEGER,
  launches INTEGER NOT NULL,
  execution TEXT,
  cancel_requested INTEGER NOT NULL,
  progress TEXT,
  error TEXT,
  history TEXT,
  idempotency_key TEXT,
  fingerprint TEXT,
  traceparent TEXT,
  webhook_url TEXT,
  webhook_due INTEGER NOT NULL,
  purged INTEGER NOT NULL DEFAULT 0,
  ended INTEGER,
  purge_at INTEGER
);

-- The claim's order. Operations that wait for a time are apart, so that any number of them costs a claim nothing.
CREATE INDEX operations_ready ON operations (type, priority DESC, id) WHERE status = 0 AND run_at IS NULL;
CREATE INDEX operations_delayed ON operations (type, run_at) WHERE status = 0 AND run_at IS NOT NULL;
CREATE INDEX operations_start_by ON operations (start_by) WHERE status = 0 AND start_by IS NOT NULL;
CREATE INDEX operations_leased ON operations (lease_until, type) WHERE status = 1;
CREATE INDEX operations_launched ON operations (id) WHERE status = 0 AND execution IS NOT NULL;
CREATE INDEX operations_webhook_due ON operations (id) WHERE webhook_due = 1;
CREATE INDEX operations_purge ON operations (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX operations_listed ON operations (type, owner, ended);
CREATE UNIQUE INDEX operations_key ON operations (type, owner, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Apart, so that a status read and a claim do not carry them. By the numbers of their operations.
CREATE TABLE inputs (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE outputs (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
-- What attempts threw.
CREATE TABLE errors (id TEXT, attempt INTEGER, body TEXT NOT NULL, PRIMARY KEY (id, attempt)) WITHOUT ROWID;
CREATE TABLE steps (id TEXT, name TEXT, value TEXT NOT NULL, PRIMARY KEY (id, name)) WITHOUT ROWID;
CREATE TABLE logs (
  id TEXT, sequence INTEGER, at INTEGER NOT NULL, attempt INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY (id, sequence)
) WITHOUT ROWID;
-- How long the last completed attempts of each type ran, the newest first, as JSON: estimates never scan operations.
CREATE TABLE durations (type TEXT PRIMARY KEY, recent TEXT NOT NULL) WITHOUT ROWID;
`,
  },
  {
    // Programs of version 1 name the columns that they write, so they leave this one unchanged: see toOperation.
    readableBy: 1,
    sql: 'ALTER TABLE operations ADD COLUMN engine TEXT;',
  },
  {
    // Programs of version 2 would leave waits open that are over.
    readableBy: 3,
    sql: 'ALTER TABLE operations ADD COLUMN waits TEXT;',
  },
  {
    readableBy: 3,
    sql: `
ALTER TABLE operations ADD COLUMN retry_of TEXT;
ALTER TABLE operations ADD COLUMN retried_by TEXT;
-- A JSON object of strings.
ALTER TABLE operations ADD COLUMN tags TEXT;`,
  },
  {
    // Programs of version 4 would not notify the parent of a child.
    readableBy: 5,
    sql: `
ALTER TABLE operations ADD COLUMN parent TEXT;
ALTER TABLE operations ADD COLUMN family_due INTEGER NOT NULL DEFAULT 0;
CREATE INDEX operations_family_due ON operations (id) WHERE family_due = 1;
-- A claim leaves it alone: see ended.
CREATE INDEX operations_children ON operations (parent, ended, id) WHERE parent IS NOT NULL;`,
  },
  {
    // Programs of version 5 sweep without the index, and do not enforce deadlines; newer programs do.
    readableBy: 5,
    // This replaces the index on the start deadline, since each further index slows every write.
    sql: `
ALTER TABLE operations ADD COLUMN deadline INTEGER;
DROP INDEX operations_start_by;
CREATE INDEX operations_ends_by
  ON operations (min(coalesce(CASE WHEN attempt = 0 THEN start_by END, deadline), coalesce(deadline, start_by)))
  WHERE status = 0 AND (start_by IS NOT NULL OR deadline IS NOT NULL);`,
  },
  {
    // Programs of version 6 sort ready operations by id at each claim, and are slow if there are many.
    readableBy: 5,
    // Sorted by the row number, with which each index ends anyway, and not by the id: see the claim.
    sql: `
DROP INDEX operations_ready;
CREATE INDEX operations_ready ON operations (type, priority DESC) WHERE status = 0 AND run_at IS NULL;`,
  },
  {
    // Programs of version 7 find no operation by its id. Those that still run fail, since the columns have other names.
    readableBy: 8,
    sql: `
-- What repeats is not stored twice, see rows.ts:
-- uuid: the id as 16 bytes. An id that is not a UUID is text.
-- started_after, attempt_after, finished_after, updated_after, expires_after: times, relative to an earlier one.
-- holder: the worker of the attempt that runs or has completed: a number of the table holders, or a name.
CREATE TABLE compact (
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
INSERT INTO compact SELECT number, ${KEY_OF_ID}, type, owner, status, version, priority, created_at,
  updated_at - coalesce(finished_at, created_at), run_at, start_by, deadline, started_at - created_at,
  finished_at - coalesce(attempt_started_at, created_at),
  expires_at - coalesce(finished_at, created_at) - retention, attempt, released, lost, max_attempts, max_lost,
  retention, holder, lease_until, attempt_started_at - coalesce(started_at, created_at), launches, execution,
  CASE WHEN execution IS NOT NULL THEN engine END, cancel_requested, progress, error, history, waits, idempotency_key,
  fingerprint, traceparent, webhook_url, webhook_due, purged, ended, purge_at, retry_of, retried_by, tags, parent,
  family_due FROM operations ORDER BY number;

CREATE TABLE errors_of (
  number INTEGER, attempt INTEGER, body TEXT NOT NULL, PRIMARY KEY (number, attempt)
) WITHOUT ROWID;
CREATE TABLE steps_of (number INTEGER, name TEXT, value TEXT NOT NULL, PRIMARY KEY (number, name)) WITHOUT ROWID;
CREATE TABLE logs_of (
  number INTEGER, sequence INTEGER, at INTEGER NOT NULL, attempt INTEGER NOT NULL, level TEXT NOT NULL,
  message TEXT NOT NULL, PRIMARY KEY (number, sequence)
) WITHOUT ROWID;
INSERT INTO errors_of SELECT number, errors.attempt, body FROM errors JOIN operations USING (id);
INSERT INTO steps_of SELECT number, name, value FROM steps JOIN operations USING (id);
INSERT INTO logs_of SELECT number, sequence, at, logs.attempt, level, message FROM logs JOIN operations USING (id);
DROP TABLE errors;
DROP TABLE steps;
DROP TABLE logs;
DROP TABLE operations;
ALTER TABLE errors_of RENAME TO errors;
ALTER TABLE steps_of RENAME TO steps;
ALTER TABLE logs_of RENAME TO logs;
ALTER TABLE compact RENAME TO operations;

-- The names of workers that have claimed operations, kept until the time in milliseconds.
CREATE TABLE holders (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, until INTEGER NOT NULL);

CREATE INDEX operations_ready ON operations (type, priority DESC) WHERE status = 0 AND run_at IS NULL;
CREATE INDEX operations_delayed ON operations (type, run_at) WHERE status = 0 AND run_at IS NOT NULL;
CREATE INDEX operations_ends_by
  ON operations (min(coalesce(CASE WHEN attempt = 0 THEN start_by END, deadline), coalesce(deadline, start_by)))
  WHERE status = 0 AND (start_by IS NOT NULL OR deadline IS NOT NULL);
CREATE INDEX operations_leased ON operations (lease_until, type) WHERE status = 1;
CREATE INDEX operations_launched ON operations (uuid) WHERE status = 0 AND execution IS NOT NULL;
CREATE INDEX operations_webhook_due ON operations (uuid) WHERE webhook_due = 1;
CREATE INDEX operations_family_due ON operations (uuid) WHERE family_due = 1;
CREATE INDEX operations_children ON operations (parent, ended, uuid) WHERE parent IS NOT NULL;
CREATE INDEX operations_purge ON operations (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX operations_listed ON operations (type, owner, ended);
CREATE UNIQUE INDEX operations_key ON operations (type, owner, idempotency_key) WHERE idempotency_key IS NOT NULL;`,
  },
]
