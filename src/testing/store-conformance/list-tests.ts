import assert from 'node:assert/strict'
import { STATUSES } from '../../model/protocol.ts'
import type { ListQuery } from '../../stores/store.ts'
import { DAY, idsOf, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

const MINE: ListQuery = { type: TYPE, owner: '', limit: 1000 }

export const listTests: StoreTests = {
  name: 'list',
  tests: {
    'lists whole records, the newest first': async test => {
      const operations = [await test.submit(), await test.run(), await test.end(OUTCOMES.failed)]
      assert.deepEqual(await test.store.list(MINE), operations.reverse())
    },

    'lists one type of one owner, and no more than the limit': async test => {
      const mine = await test.submitMany(3, { owner: 'ann' })
      await test.submit({ owner: 'bob' })
      await test.submit({ owner: 'ann', type: 'refunds' })
      assert.deepEqual(
        idsOf(await test.store.list({ ...MINE, owner: 'ann', limit: 2 })),
        idsOf(mine).reverse().slice(0, 2),
      )
      assert.deepEqual(idsOf(await test.store.list({ ...MINE, owner: 'ann' })), idsOf(mine).reverse())
      assert.deepEqual(await test.store.list({ ...MINE, owner: 'eve' }), [])
    },

    'lists those of one status': async test => {
      const byStatus = {
        pending: await test.submit(),
        running: await test.run(),
        completed: await test.end(OUTCOMES.completed),
        failed: await test.end(OUTCOMES.failed),
        canceled: await test.end(OUTCOMES.canceled),
      }
      for (const status of STATUSES) {
        assert.deepEqual(await test.store.list({ ...MINE, status }), [byStatus[status]])
      }
    },

    'pages show each operation once': async test => {
      const operations = await test.submitMany(10)
      const seen = await pages(test, 3)
      assert.deepEqual(seen, idsOf(operations).reverse())
    },

    'pages stay right while operations come, change and go': async test => {
      const old = idsOf(await test.submitMany(4, { retention: 0 }))
      const kept = idsOf(await test.submitMany(6))
      const seen = await pages(test, 3, async page => {
        await test.submit()
        if (page === 1) for (const id of old.slice(0, 2)) await purge(test, id)
        const [first = ''] = kept
        if (page === 1) await test.claimOne(first)
      })
      assert.deepEqual(seen, [...kept.toReversed(), ...old.slice(2).reverse()])
    },

    'a page goes on after an id that is gone': async test => {
      const [first, second, third] = idsOf(await test.submitMany(3, { retention: 0 }))
      await purge(test, second ?? '')
      assert.deepEqual(idsOf(await test.store.list({ ...MINE, after: second ?? '' })), [first])
      assert.deepEqual(idsOf(await test.store.list({ ...MINE, after: first ?? '' })), [])
      assert.deepEqual(idsOf(await test.store.list(MINE)), [third, first])
    },
  },
}

/** All pages, one after the other. */
async function pages(test: StoreTest, limit: number, between?: (page: number) => Promise<void>): Promise<string[]> {
  const seen: string[] = []
  for (let page = 1; ; page++) {
    const after = seen.at(-1)
    const ids = idsOf(await test.store.list({ ...MINE, limit, after }))
    if (ids.length === 0) return seen
    seen.push(...ids)
    await between?.(page)
  }
}

/** Ends an operation and has it deleted, record and all. */
async function purge(test: StoreTest, id: string): Promise<void> {
  await test.change(id, { kind: 'cancel' })
  await test.store.sweep(1000)
  test.clock.advance(30 * DAY)
  await test.store.sweep(1000)
  assert.equal(await test.store.read(id), undefined)
}
