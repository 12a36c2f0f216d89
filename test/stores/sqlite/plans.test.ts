/**
 * No statement that runs all the time may cost more as the file grows: each is checked against the
 * index it is meant to use, on a file full of finished and delayed operations.
 */
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Database } from '../../../src/stores/sqlite/database.ts'
import { prepareDumps } from '../../../src/stores/sqlite/dumps.ts'
import { prepareReads } from '../../../src/stores/sqlite/reads.ts'
import { Limits } from '../../../src/stores/sqlite/submission-limits.ts'
import { prepareWrites } from '../../../src/stores/sqlite/write-statements.ts'
import type { Store } from '../../../src/stores/store.ts'
import { submissionOf } from '../../support/submission.ts'

const DAY = 86_400_000

/** Statements, each known by a part of its text that no other one has, and the indexes they use. */
const EXPECTED: readonly { readonly text: RegExp; readonly indexes: readonly string[] }[] = [
  // claims, launches and keys
  {
    text: / WHERE type = \? AND status = 0 AND run_at IS NULL AND \(start_by IS NULL/,
    indexes: ['operations_ready'],
  },
  {
    text: /^SELECT 1 FROM operations WHERE type = \? AND status = 0 AND run_at <= \? LIMIT 1$/,
    indexes: ['operations_delayed'],
  },
  { text: /^UPDATE operations SET run_at = NULL/, indexes: ['operations_delayed'] },
  { text: / WHERE type = \? AND owner = \? AND idempotency_key = \?$/, indexes: ['operations_key'] },
  // sweeps
  { text: / WHERE status = 1 AND lease_until <= \?/, indexes: ['operations_leased'] },
  { text: / WHERE status = 0 AND \(start_by IS NOT NULL/, indexes: ['operations_ends_by'] },
  { text: / WHERE purge_at IS NOT NULL AND purge_at <= \?/, indexes: ['operations_purge'] },
  // lists
  { text: /^WITH asked /, indexes: Array.from({ length: 4 }, () => 'operations_listed') },
  { text: / AND ended = \? AND number < \? ORDER BY number DESC LIMIT \?$/, indexes: ['operations_listed'] },
  { text: / AND ended IS NULL AND number < \? AND status = 0 ORDER BY/, indexes: ['operations_listed'] },
  // Not by what is unfinished: any number of pending operations may come before those that run.
  { text: / AND number < \? AND status = 1 ORDER BY number DESC LIMIT \?$/, indexes: ['operations_leased'] },
  // the queue
  {
    text: / ORDER BY run_at LIMIT \?\)\) ORDER BY priority DESC, number LIMIT \?$/,
    indexes: ['operations_ready', 'operations_delayed'],
  },
  {
    text: / UNION ALL SELECT 1 FROM .* AND run_at <= \? LIMIT \?\)$/,
    indexes: ['operations_ready', 'operations_delayed'],
  },
  {
    text: / UNION ALL SELECT 1 FROM .* AND run_at <= \? LIMIT 1$/,
    indexes: ['operations_ready', 'operations_delayed'],
  },
  { text: / WHERE status = 1 AND type = \? LIMIT \?\)$/, indexes: ['operations_leased'] },
  { text: / WHERE type = \? AND owner = \? AND ended IS NULL LIMIT \?\)$/, indexes: ['operations_listed'] },
  // what is held, and what is to be told
  {
    text: / WHERE status = 0 AND execution IS NOT NULL AND uuid > \? ORDER BY uuid LIMIT \?$/,
    indexes: ['operations_leased', 'operations_launched'],
  },
  { text: /= \? AND uuid > \? ORDER BY uuid LIMIT \?$/, indexes: ['operations_leased'] },
  { text: / WHERE webhook_due = 1/, indexes: ['operations_webhook_due'] },
  { text: / WHERE family_due = 1/, indexes: ['operations_family_due'] },
]

const texts = everyStatement()
let database: DatabaseSync
let store: Store

beforeAll(async () => {
  database = new DatabaseSync(':memory:')
  store = sqliteStore({ path: ':memory:', database })
  await store.open()
  fill(database, { count: 100_000, status: 2, runAt: 'NULL', purgeAt: Date.now() + DAY })
  fill(database, { count: 10_000, status: 0, runAt: String(Date.now() + DAY), purgeAt: null })
})

afterAll(() => store.close())

/** Only at the first sweep of a process, and after its clock was set back. */
const READS_DELAYED = /INDEXED BY operations_delayed WHERE .* updated_after > \?/

describe('a file with 100,000 finished and 10,000 delayed operations', () => {
  it('answers every statement by an index, and none by reading all operations', () => {
    expect(texts.length).toBeGreaterThan(30)
    for (const text of texts)
      expect(
        plan(text).filter(step => isScan(step) && !READS_DELAYED.test(text)),
        text,
      ).toEqual([])
  })

  it.each(EXPECTED)('$text', ({ text, indexes }) => {
    expect(indexesOf(plan(only(text)))).toEqual(indexes)
  })

  it('merges the statuses of a list, so that it reads no more of them than its page', () => {
    const steps = plan(only(/^WITH asked /))
    expect(steps.filter(step => step === 'MERGE (UNION ALL)')).toHaveLength(3)
    // What is sorted or stored before it is merged is read to its end.
    expect(steps.filter(step => /TEMP B-TREE|CO-ROUTINE|MATERIALIZE (?!asked)/.test(step))).toEqual([])
  })

  it('does so as well when its owner has had SQLite analyze it', () => {
    database.exec('ANALYZE')
    for (const text of texts)
      expect(
        plan(text).filter(step => isScan(step) && !READS_DELAYED.test(text)),
        text,
      ).toEqual([])
    for (const { text, indexes } of EXPECTED) expect(indexesOf(plan(only(text))), String(text)).toEqual(indexes)
  })
})

/** The one statement with this text; the reader and the writer may each have prepared it. */
function only(text: RegExp): string {
  const found = [...new Set(texts.filter(it => text.test(it)))]
  expect(found, String(text)).toHaveLength(1)
  return found[0] ?? ''
}

/** Every statement of the reader and of the writer, with its white space made even. A statement is prepared when it is used. */
function everyStatement(): string[] {
  const found: string[] = []
  const statement = { run: () => ({ changes: 0, lastInsertRowid: 0 }), get: () => undefined, all: () => [] }
  const recorder: Database = {
    exec: () => undefined,
    prepare: sql => {
      found.push(sql.replace(/\s+/g, ' ').trim())
      return statement
    },
    close: () => undefined,
  }
  const { restore, deleteBeside, ...writes } = prepareWrites(recorder)
  for (const each of [...Object.values(prepareReads(recorder)), ...Object.values(writes)]) each.all()
  deleteBeside(1)
  prepareDumps(recorder).dump(undefined, 1)
  new Limits(recorder).reached(submissionOf('a', { limits: { inFlight: 1, backlog: 1 } }), 0)
  return found
}

function fill(
  into: DatabaseSync,
  { count, status, runAt, purgeAt }: { count: number; status: number; runAt: string; purgeAt: number | null },
): void {
  into.exec(`
    INSERT INTO operations (uuid, type, owner, status, version, priority, created_at, updated_after, run_at, attempt,
      released, lost, max_attempts, max_lost, retention, launches, cancel_requested, webhook_due, ended, purge_at)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    SELECT printf('${status}-%08d', i), 'orders', '', ${status}, 3, 0, i, 0, ${runAt}, 1, 0, 0, 3, 2, 1000, 0, 0, 0,
      ${status < 2 ? 'NULL' : status}, ${purgeAt ?? 'NULL'} FROM n`)
}

function plan(sql: string): string[] {
  const rows = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
  return rows.map(({ detail }) => detail)
}

/** Reading a partial index from end to end is not a scan of all operations: it holds those few that it is for. */
function isScan(step: string): boolean {
  return /^SCAN operations(?! USING (COVERING )?INDEX operations_(leased|launched|webhook_due|family_due))/.test(step)
}

function indexesOf(steps: readonly string[]): string[] {
  return steps.flatMap(step => /INDEX (operations_\w+)/.exec(step)?.[1] ?? [])
}
