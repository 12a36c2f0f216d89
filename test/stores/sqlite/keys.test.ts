/** How the file keeps ids, and the names of workers. */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { keyOf } from '../../../src/stores/sqlite/keys.ts'
import type { BrowseQuery, Store } from '../../../src/stores/store.ts'
import { submissionOf } from '../../support/submission.ts'
import { test } from '../../support/waybill.ts'

const DAY = 86_400_000
const UUID = '01941f29-7c00-7abc-8def-0123456789ab'
/** Ids that are not UUIDs in lower case. Each has a trait of one. */
const OTHERS = [
  '',
  '=',
  UUID.toUpperCase(),
  UUID.replaceAll('-', ''),
  `${UUID.slice(0, -1)}g`,
  UUID.replaceAll('-', 'a'),
]

describe('ids', () => {
  test('a UUID takes 16 bytes, and every other id is kept as it is', () => {
    expect(keyOf(UUID)).toEqual(Uint8Array.from(Buffer.from(UUID.replaceAll('-', ''), 'hex')))
    expect(OTHERS.map(keyOf)).toEqual(OTHERS)
  })

  test('are read as they were written, whatever they look like', async ({ lab }) => {
    const store = await lab.store(lab.file())
    const ids = [...OTHERS, UUID]
    for (const id of ids) await store.accept(submissionOf(id))
    for (const id of ids) expect((await store.read(id))?.id).toBe(id)
    const dumped = await store.dump(undefined, 10)
    expect(dumped.map(({ operation }) => operation.id).sort()).toEqual(ids.filter(id => id !== '').sort())
    expect((await store.queueStats('orders')).ready).toEqual(ids)
    expect((await store.browse({ limit: 10, search: '7abc-8DEF' })).operations.map(({ id }) => id)).toContain(UUID)
  })

  test('are paged through to the end, whatever they look like', async ({ lab }) => {
    const store = await lab.store(lab.file())
    const ids = [...OTHERS.filter(id => id !== ''), UUID]
    for (const id of ids) await store.accept(submissionOf(id))
    for (const createdBefore of [undefined, Date.now() + DAY]) {
      expect((await browsed(store, { createdBefore, limit: 2 })).sort()).toEqual(ids.toSorted())
    }
  })
})

describe('the name of a worker', () => {
  test('is stored once, from its second operation on', async ({ lab }) => {
    const path = lab.file()
    const store = await lab.store(path)
    const ids = await complete(store, ['a', 'b', 'c'], 'host/1')
    await complete(store, ['d'], 'host/2')
    for (const id of ids) expect((await store.read(id))?.history[0]?.holder).toBe('host/1')
    expect((await store.read('d'))?.history[0]?.holder).toBe('host/2')
    expect(rows(path, 'SELECT number, name FROM holders')).toEqual([{ number: 1, name: 'host/1' }])
    // A number that is not an integer would take eight bytes.
    expect(rows(path, 'SELECT holder, typeof(holder) AS kind FROM operations ORDER BY number')).toEqual([
      { holder: 'host/1', kind: 'text' },
      { holder: 1, kind: 'integer' },
      { holder: 1, kind: 'integer' },
      { holder: 'host/2', kind: 'text' },
    ])
  })

  test('is found by its running operations, whether they have the name or a number', async ({ lab }) => {
    const store = await lab.store(lab.file())
    for (const id of ['a', 'b']) {
      await store.accept(submissionOf(id))
      await store.claim({ holder: 'host/1', leaseMs: 60_000, execution: null, engine: null, from: { id } })
    }
    expect(await store.holders()).toEqual(['host/1'])
    const held = [
      expect.objectContaining({ id: 'a', holder: 'host/1' }),
      expect.objectContaining({ id: 'b', holder: 'host/1' }),
    ]
    expect(await store.listActive({ limit: 10 })).toEqual(held)
    expect(await store.listActive({ holder: 'host/1', limit: 10 })).toEqual(held)
    expect((await store.browse({ holder: 'host/1', limit: 10 })).operations.map(({ id }) => id)).toEqual(['b', 'a'])
    expect((await store.read('b'))?.holder).toBe('host/1')
  })

  test('is kept as long as an operation may refer to it, and then deleted', async ({ lab }) => {
    const path = lab.file()
    let now = 0
    const store = sqliteStore({ path, writer: 'inline', clock: () => now, monotonicClock: () => now })
    await store.open()
    lab.onEnd(() => store.close())
    const holderOf = async (id: string) => (await store.read(id))?.history[0]?.holder
    await complete(store, ['a', 'b'], 'host/1')
    now = 60 * DAY
    await store.sweep(100)
    expect(await holderOf('b')).toBe('host/1')
    await complete(store, ['c'], 'host/1')
    now = 120 * DAY
    await store.sweep(100)
    expect(await holderOf('c')).toBe('host/1')
    now = 160 * DAY
    await store.sweep(100)
    expect(rows(path, 'SELECT count(*) AS count FROM holders')).toEqual([{ count: 0 }])
    await complete(store, ['d'], 'host/1')
    expect(await holderOf('d')).toBe('host/1')
    expect(rows(path, 'SELECT number, name FROM holders')).toEqual([{ number: 2, name: 'host/1' }])
  })

  test('is empty where it was deleted too soon, and such an operation is swept like any other', async ({ lab }) => {
    const path = lab.file()
    let now = 0
    const store = sqliteStore({ path, writer: 'inline', clock: () => now, monotonicClock: () => now })
    await store.open()
    lab.onEnd(() => store.close())
    await complete(store, ['a', 'b'], 'host/1')
    now = 160 * DAY
    await store.sweep(100)
    now = 1000
    await store.accept(submissionOf('c'))
    await store.claim({ holder: 'host/1', leaseMs: 1000, execution: null, engine: null, from: { id: 'c' } })
    expect(await store.holders()).toEqual([''])
    expect(await store.listActive({ limit: 10 })).toMatchObject([{ id: 'c', holder: '' }])
    expect((await store.read('c'))?.holder).toBe('')
    now = 3000
    expect((await store.sweep(100)).expired).toMatchObject([{ id: 'c', status: 'pending' }])
  })
})

/** All pages of a query. */
async function browsed(store: Store, query: Omit<BrowseQuery, 'after'>): Promise<string[]> {
  const found: string[] = []
  let after: string | undefined
  do {
    const { operations, next } = await store.browse({ ...query, after })
    found.push(...operations.map(({ id }) => id))
    after = next
  } while (after !== undefined && found.length < 100)
  return found
}

async function complete(store: Store, ids: readonly string[], holder: string): Promise<readonly string[]> {
  for (const id of ids) {
    await store.accept(submissionOf(id, { retention: 10 * DAY }))
    await store.claim({ holder, leaseMs: 1000, execution: null, engine: null, from: { id } })
    await store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
  }
  return ids
}

function rows(path: string, sql: string): unknown[] {
  const file = new DatabaseSync(path)
  const found = file.prepare(sql).all()
  file.close()
  return found
}
