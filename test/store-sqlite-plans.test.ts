/**
 * No statement that runs all the time may cost more as the file grows: each is held against the
 * index it is meant to use, on a file full of finished and delayed operations.
 */
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sqliteStore } from 'waybill/sqlite'
import type { Store } from '../src/store.ts'
import type { Database } from '../src/stores/sqlite/database.ts'

const DAY = 86_400_000

/** A part of a statement's text, by which it is known, and the indexes that it uses. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  // claims and launches
  'SELECT * FROM operations WHERE type = ? AND status = 0 AND run_at IS NULL ORDER BY': ['operations_ready'],
  'SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1': ['operations_delayed'],
  'UPDATE operations SET run_at = NULL': ['operations_delayed'],
  'SELECT * FROM operations WHERE type = ? AND owner = ? AND idempotency_key = ?': ['operations_key'],
  // sweeps
  'WHERE status = 1 AND lease_until <= ?': ['operations_leased'],
  'WHERE status = 0 AND start_by IS NOT NULL': ['operations_start_by'],
  'WHERE purge_at IS NOT NULL AND purge_at <= ?': ['operations_purge'],
  // lists
  'AND id < ? ORDER BY id DESC': ['operations_listed'],
  'AND id < ? AND status = ? ORDER BY id DESC': ['operations_listed'],
  // the queue
  'ORDER BY run_at LIMIT ?)) ORDER BY priority DESC, id LIMIT ?': ['operations_ready', 'operations_delayed'],
  'AND run_at IS NULL UNION ALL SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT ?)': [
    'operations_ready',
    'operations_delayed',
  ],
  'AND run_at IS NULL UNION ALL SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1': [
    'operations_ready',
    'operations_delayed',
  ],
  'FROM operations WHERE status = 1 AND type = ? LIMIT ?': ['operations_leased'],
  'UNION ALL SELECT * FROM operations WHERE status = 0 AND execution IS NOT NULL': [
    'operations_leased',
    'operations_launched',
  ],
  'WHERE type = ? AND owner = ? AND status < 2': ['operations_unfinished'],
  'WHERE webhook_due = 1': ['operations_webhook_due'],
}

const texts: string[] = []
let database: DatabaseSync
let store: Store

beforeAll(async () => {
  database = new DatabaseSync(':memory:')
  store = sqliteStore({ path: ':memory:', database: recording(database, texts) })
  await store.open()
  fill(database, { count: 100_000, status: 2, runAt: 'NULL', purgeAt: Date.now() + DAY })
  fill(database, { count: 10_000, status: 0, runAt: String(Date.now() + DAY), purgeAt: null })
})

afterAll(() => store.close())

describe('a file with 100,000 finished and 10,000 delayed operations', () => {
  it('answers every statement by an index, and none by reading all operations', () => {
    expect(texts.length).toBeGreaterThan(30)
    for (const text of texts) expect(plan(text).filter(isScan), text).toEqual([])
  })

  it.each(Object.entries(EXPECTED))('%s', (part, indexes) => {
    const found = texts.filter(text => text.includes(part))
    expect(found).toHaveLength(1)
    expect(indexesOf(plan(found[0] ?? ''))).toEqual(indexes)
  })

  it('does so as well when its owner has had SQLite analyze it', () => {
    database.exec('ANALYZE')
    for (const text of texts) expect(plan(text).filter(isScan), text).toEqual([])
    for (const [part, indexes] of Object.entries(EXPECTED)) {
      const text = texts.find(it => it.includes(part)) ?? ''
      expect(indexesOf(plan(text)), text).toEqual(indexes)
    }
  })
})

/** The connection, with every statement that is prepared on it written down, white space made even. */
function recording(inner: DatabaseSync, into: string[]): Database {
  return {
    exec: sql => inner.exec(sql),
    prepare: sql => {
      into.push(sql.replace(/\s+/g, ' ').trim())
      return inner.prepare(sql)
    },
    close: () => inner.close(),
  }
}

function fill(
  into: DatabaseSync,
  { count, status, runAt, purgeAt }: { count: number; status: number; runAt: string; purgeAt: number | null },
): void {
  into.exec(`
    INSERT INTO operations (id, type, owner, status, version, priority, created_at, updated_at, run_at, attempt,
      released, lost, max_attempts, max_lost, retention, launches, cancel_requested, webhook_due, purge_at)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    SELECT printf('${status}-%08d', i), 'orders', '', ${status}, 3, 0, i, i, ${runAt}, 1, 0, 0, 3, 2, 1000, 0, 0, 0,
      ${purgeAt ?? 'NULL'} FROM n`)
}

function plan(sql: string): string[] {
  const rows = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
  return rows.map(({ detail }) => detail)
}

/** Reading a partial index from end to end is no scan of all operations: it holds those few that it is for. */
function isScan(step: string): boolean {
  return /^SCAN operations(?! USING (COVERING )?INDEX operations_(leased|launched|webhook_due))/.test(step)
}

function indexesOf(steps: readonly string[]): string[] {
  return steps.flatMap(step => /INDEX (operations_\w+)/.exec(step)?.[1] ?? [])
}
