import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SqliteStoreOptions, sqliteStore } from 'waybill/sqlite'
import { type ManualClock, storeConformance } from 'waybill/testing'
import type { Store } from '../src/store.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-sqlite-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const files: string[] = []

/** A fresh file for each test. */
function nextFile(): string {
  files.push(join(folder, `${files.length}.db`))
  return lastFile()
}

function lastFile(): string {
  return files.at(-1) ?? ''
}

async function open(clock: ManualClock, options: SqliteStoreOptions): Promise<Store> {
  const store = sqliteStore({ ...options, clock: clock.now })
  await store.open()
  return store
}

storeConformance({ name: 'SQLite in memory', open: clock => open(clock, { path: ':memory:' }) }, { describe, it })

// A sync is what a test of the contract does not see, and what a thousand of them would wait for.
const VARIANTS: Record<string, Omit<SqliteStoreOptions, 'path'>> = {
  'SQLite on a file, writing inline': { writer: 'inline', synchronous: 'NORMAL' },
  'SQLite on a file, writing in a thread': { synchronous: 'NORMAL' },
  'SQLite by better-sqlite3': { driver: 'better-sqlite3', writer: 'inline', synchronous: 'NORMAL' },
  'SQLite by better-sqlite3, writing in a thread': { driver: 'better-sqlite3', synchronous: 'NORMAL' },
}

for (const [name, options] of Object.entries(VARIANTS)) {
  storeConformance(
    {
      name,
      open: clock => open(clock, { path: nextFile(), ...options }),
      reopen: clock => open(clock, { path: lastFile(), ...options }),
    },
    { describe, it },
  )
}

storeConformance(
  {
    name: 'SQLite in memory by better-sqlite3',
    open: clock => open(clock, { path: ':memory:', driver: 'better-sqlite3' }),
  },
  { describe, it },
)

describe('the suite itself', () => {
  it('refuses to skip a test that it does not have, so that no deviation outlives its test', () => {
    const options = { name: '', open: (clock: ManualClock) => open(clock, { path: ':memory:' }) }
    const skip = [{ test: 'no such test', reason: 'none' }]
    expect(() => storeConformance({ ...options, skip }, { describe: () => {}, it: () => {} })).toThrow('no such test')
  })

  it('leaves out what is skipped, and gives every test a name of its own', () => {
    const names = namesWith([])
    expect(new Set(names).size).toBe(names.length)
    const [first = ''] = names
    expect(namesWith([{ test: first, reason: 'It deviates.' }])).toEqual(names.slice(1))
  })
})

function namesWith(skip: { test: string; reason: string }[]): string[] {
  const names: string[] = []
  storeConformance(
    { name: '', open: clock => open(clock, { path: ':memory:' }), skip },
    { describe: (_, body) => body(), it: name => names.push(name) },
  )
  return names
}
