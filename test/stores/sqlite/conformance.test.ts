import { describe, expect, it } from 'vitest'
import { type SqliteStoreOptions, sqliteStore } from 'waybill/stores/sqlite'
import { type ManualClock, storeConformance } from 'waybill/testing'
import { openWriter } from '../../../src/stores/sqlite/database.ts'
import { keyOf } from '../../../src/stores/sqlite/keys.ts'
import type { Store } from '../../../src/stores/store.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { atLength, longIf } from '../../support/length.ts'

const files = temporaryFolder()

async function open(clock: ManualClock, options: SqliteStoreOptions): Promise<Store> {
  const store = sqliteStore({ ...options, clock: clock.now, monotonicClock: clock.monotonic })
  await store.open()
  return store
}

storeConformance({ name: 'SQLite in memory', open: clock => open(clock, { path: ':memory:' }) }, { describe, it })

// Each driver, each writer, in memory and on a file: together, since no two of these know of each other.
// A sync is what a test of the contract does not see, and what a thousand of them would wait for.
const INLINE: Record<string, Omit<SqliteStoreOptions, 'path'>> = {
  'SQLite on a file by better-sqlite3, writing inline': {
    driver: 'better-sqlite3',
    writer: 'inline',
    synchronous: 'NORMAL',
  },
}
/** Each test starts a thread, which takes most of its time. */
const IN_A_THREAD: typeof INLINE = { 'SQLite on a file, writing in a thread': { synchronous: 'NORMAL' } }

/** Groups whose statements are the same as in memory, and of whose values the drivers have no special kinds. */
const SAME_ON_A_FILE =
  /^(changes|queue|a clock that is set|sweep|launch|browse|purge on demand|webhooks|parents and children)/

for (const [name, options] of Object.entries(atLength(INLINE, { ...INLINE, ...IN_A_THREAD }))) {
  storeConformance(
    {
      name,
      open: clock => open(clock, { path: files.next(), ...options }),
      reopen: clock => open(clock, { path: files.last(), ...options }),
      loseInput: async id => {
        // By the same driver: two copies of SQLite in one process undo each other's locks.
        const database = await openWriter({
          path: files.last(),
          driver: options.driver ?? 'node:sqlite',
          synchronous: options.synchronous ?? 'FULL',
        })
        database
          .prepare('DELETE FROM inputs WHERE number = (SELECT number FROM operations WHERE uuid = ?)')
          .run(keyOf(id))
        database.close()
      },
    },
    { describe: longIf(SAME_ON_A_FILE, describe), it },
  )
}

describe('the suite itself', () => {
  it('refuses to skip an unknown test', () => {
    const options = { name: '', open: (clock: ManualClock) => open(clock, { path: ':memory:' }) }
    const skip = [{ test: 'no such test', reason: 'none' }]
    expect(() => storeConformance({ ...options, skip }, { describe: () => {}, it: () => {} })).toThrow('no such test')
  })

  it('leaves out the skipped tests, and gives each test a unique name', () => {
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
