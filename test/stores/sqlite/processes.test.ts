import { symlinkSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { type SqliteStoreOptions, sqliteStore } from 'waybill/stores/sqlite'
import type { Hint, Store } from '../../../src/stores/store.ts'
import type { Command, Report } from '../../fixtures/sqlite-process.ts'
import { Child } from '../../support/child.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { atLength } from '../../support/length.ts'
import { submissionOf } from '../../support/submission.ts'
import { countUnfinished } from '../../support/unfinished.ts'

const files = temporaryFolder()
const open: { stores: Store[]; children: Child<Command, Report>[] } = { stores: [], children: [] }

afterEach(async () => {
  for (const child of open.children.splice(0)) await child.kill()
  for (const store of open.stores.splice(0)) await store.close()
})

async function openStore(path: string, options: Partial<SqliteStoreOptions> = {}): Promise<Store> {
  const store = sqliteStore({ path, ...options })
  open.stores.push(store)
  await store.open()
  return store
}

async function openChild(path: string): Promise<Child<Command, Report>> {
  const child = new Child<Command, Report>(new URL('../../fixtures/sqlite-process.ts', import.meta.url), path)
  open.children.push(child)
  await child.report(({ did }) => did === 'open')
  return child
}

/** Waits until a hint finds that it has come true; a hint that came too early is followed by another. */
async function afterHints(store: Store, found: () => Promise<boolean>): Promise<Hint[]> {
  const hints: Hint[] = []
  await new Promise<void>((resolve, reject) => {
    const unwatch = store.watch(hint => {
      hints.push(hint)
      found().then(it => {
        if (!it) return
        unwatch()
        resolve()
      }, reject)
    })
  })
  return hints
}

describe('two processes on one SQLite file', () => {
  it('see what the other has confirmed', async () => {
    const path = files.next()
    const [store, child] = [await openStore(path), await openChild(path)]
    child.tell({ do: 'accept', id: 'a' })
    await child.report(({ did }) => did === 'accept')
    expect((await store.read('a'))?.status).toBe('pending')
    await store.change('a', { kind: 'cancel' })
    child.tell({ do: 'read', id: 'a' })
    expect(await child.report(({ did }) => did === 'read')).toMatchObject({ status: 'canceled' })
  })

  it('are woken by what the other writes', async () => {
    const path = files.next()
    const [store, child] = [await openStore(path), await openChild(path)]
    const woken = afterHints(store, async () => (await store.read('a')) !== undefined)
    child.tell({ do: 'accept', id: 'a' })
    expect(await woken).toContainEqual({ kind: 'unknown' })

    child.tell({ do: 'serve' })
    await store.accept(submissionOf('b'))
    await child.report(it => it.did === 'claim' && it.id === 'b')
  })

  it('are woken if one has opened the file by a link', async () => {
    const path = files.next()
    const child = await openChild(path)
    symlinkSync(path, `${path}-link`)
    const store = await openStore(`${path}-link`)
    const woken = afterHints(store, async () => (await store.read('a')) !== undefined)
    child.tell({ do: 'accept', id: 'a' })
    expect(await woken).toContainEqual({ kind: 'unknown' })
  })

  it('do not read everything again because of their own writes', async () => {
    const path = files.next()
    const [store, child] = [await openStore(path), await openChild(path)]
    const hints: Hint[] = []
    store.watch(hint => hints.push(hint))
    for (let at = 0; at < 20; at++) {
      await store.accept(submissionOf(`own-${at}`))
      // Longer than a look waits for the end of a burst of file events.
      await new Promise(resolve => setTimeout(resolve, 15))
    }
    expect(new Set(hints.map(({ kind }) => kind))).toEqual(new Set(['ready']))

    child.tell({ do: 'accept', id: 'foreign' })
    const woken = afterHints(store, async () => (await store.read('foreign')) !== undefined)
    expect(await woken).toContainEqual({ kind: 'unknown' })
  })

  it('still wake each other after each of them has closed the file once', async () => {
    const path = files.next()
    const first = await openStore(path)
    await first.accept(submissionOf('a'))
    await first.close()
    const [store, child] = [await openStore(path), await openChild(path)]
    const woken = afterHints(store, async () => (await store.read('b')) !== undefined)
    child.tell({ do: 'accept', id: 'b' })
    await woken
  })

  it('open a new file at the same time, and one of them creates the tables', async () => {
    for (let round = 0; round < atLength(1, 3); round++) {
      const path = files.next()
      const stores = await Promise.all(Array.from({ length: 4 }, () => openStore(path)))
      await Promise.all(stores.map((store, index) => store.accept(submissionOf(`${index}`))))
      const [first] = stores
      expect(await first?.list({ type: 'orders', owner: '', limit: 10 })).toHaveLength(4)
    }
  })
})

it('holds limits exactly when several writers submit at once', async () => {
  const path = files.next()
  const stores = await Promise.all(Array.from({ length: 3 }, () => openStore(path)))
  const limits = { inFlight: 20, backlog: 30 }
  const submissions = (store: Store, place: number) =>
    Array.from({ length: 60 }, (_, index) =>
      store.accept(submissionOf(`${place}-${index}`, { owner: index % 2 === 0 ? 'ann' : 'bob', limits })),
    )
  const answers = await Promise.all(stores.flatMap(submissions))
  expect(answers.filter(({ kind }) => kind === 'accepted')).toHaveLength(30)
  for (const owner of ['ann', 'bob']) expect(await countUnfinished(stores[0], 'orders', owner)).toBeLessThanOrEqual(20)
})

describe('a process that is killed while it writes', () => {
  it.each(atLength([10], [1, 10, 35, 100]))(
    'has lost nothing that it had confirmed, killed after %i completions',
    async count => {
      const path = files.next()
      const child = await openChild(path)
      child.tell({ do: 'write' })
      await child.reported(count, ({ did }) => did === 'complete')
      await child.kill()

      const store = await openStore(path)
      const confirmed = (what: Report['did']) =>
        child.reports.flatMap(it => (it.did === what && 'id' in it ? [it.id] : []))
      expect(confirmed('complete').length).toBeGreaterThanOrEqual(count)
      for (const id of confirmed('accept')) {
        expect(await store.read(id)).toBeDefined()
        expect(await store.readPayload(id, 'input')).toBe(JSON.stringify(id))
      }
      for (const id of confirmed('complete')) {
        expect((await store.read(id))?.status).toBe('completed')
        expect(await store.readPayload(id, 'output')).toBe(JSON.stringify(id))
      }
      await assertWhole(store)
    },
  )

  it('does not keep others from writing', async () => {
    const path = files.next()
    const [store, child] = [await openStore(path), await openChild(path)]
    child.tell({ do: 'write' })
    const mine = Promise.all(Array.from({ length: 20 }, (_, index) => store.accept(submissionOf(`mine-${index}`))))
    await child.reported(10, ({ did }) => did === 'complete')
    await child.kill()
    await mine
    await store.accept(submissionOf('after'))
    expect(await store.read('mine-19')).toBeDefined()
  })
})

/** Nothing is half written: what is completed has its output and nothing else has, and each has its input. */
async function assertWhole(store: Store): Promise<void> {
  for (const { id, status, history } of await store.list({ type: 'orders', owner: '', limit: 1000 })) {
    expect(await store.readPayload(id, 'input')).toBe(JSON.stringify(id))
    expect((await store.readPayload(id, 'output')) !== undefined).toBe(status === 'completed')
    expect(history).toHaveLength(status === 'completed' ? 1 : 0)
  }
}
