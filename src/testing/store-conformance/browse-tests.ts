import assert from 'node:assert/strict'
import type { Operation } from '../../model/operation.ts'
import type { BrowseQuery } from '../../stores/store.ts'
import {
  CLAIM_BY,
  HOLDER,
  HOUR,
  idsOf,
  OUT_OF_STOCK,
  OUTCOMES,
  type StoreTest,
  type StoreTests,
  TYPE,
} from './context.ts'

export const browseTests: StoreTests = {
  name: 'browse',
  tests: {
    'operators see the operations of everyone, the newest first': async test => {
      const { ann, refund, running, failed } = await ofEveryone(test)
      const all = [ann, refund, running, failed].reverse()
      assert.deepEqual(await browseAll(test, {}), all)
      assert.deepEqual(await browseAll(test, { type: TYPE }), [failed, running, ann])
      assert.deepEqual(await browseAll(test, { owner: 'bob' }), [refund])
      assert.deepEqual(await browseAll(test, { owner: '' }), [failed, running])
      assert.deepEqual(await browseAll(test, { status: 'running' }), [running])
      assert.deepEqual(await browseAll(test, { type: 'refunds', owner: 'bob', status: 'pending' }), [refund])
      assert.deepEqual(await browseAll(test, { type: 'refunds', owner: 'ann' }), [])
    },

    'operators page through them, and are told where to go on': async test => {
      const ids = idsOf([...(await test.submitMany(5, { owner: 'ann' })), ...(await test.submitMany(5))])
      const first = await test.store.browse({ limit: 4 })
      assert.deepEqual(idsOf(first.operations), ids.toReversed().slice(0, 4))
      assert.equal(first.next, ids[6])
      const second = await test.store.browse({ limit: 4, owner: 'ann', after: first.next ?? '' })
      assert.deepEqual(idsOf(second.operations), ids.slice(1, 5).reverse())
      const third = await test.store.browse({ limit: 4, owner: 'ann', after: second.next ?? '' })
      assert.deepEqual({ ids: idsOf(third.operations), next: third.next }, { ids: [ids[0]], next: undefined })
    },

    'operators narrow them down by what they know of one': async test => {
      const keyed = await test.submit({ idempotencyKey: 'Order-7', owner: 'Ada "L" ü' })
      test.clock.advance(HOUR / 2)
      const failed = await test.end(OUTCOMES.failed)
      const running = await test.run({ owner: 'bob' })
      await test.store.change(running.id, {
        kind: 'progress',
        attempt: 1,
        progress: { fraction: 0.5, message: 'half' },
      })
      const executed = await test.claimOne((await test.submit()).id, { holder: 'host/2/b', execution: 'job-7' })
      const ids = async (query: Omit<BrowseQuery, 'limit'>) => idsOf(await browseAll(test, query))
      assert.deepEqual(await ids({ problem: OUT_OF_STOCK.code ?? '' }), [failed.id])
      assert.deepEqual(await ids({ problem: 'operation-failed"' }), [])
      assert.deepEqual(await ids({ createdBefore: failed.createdAt }), [keyed.id])
      assert.deepEqual(await ids({ createdAfter: failed.createdAt }), [executed.id, running.id, failed.id])
      assert.deepEqual(await ids({ createdAfter: failed.createdAt + 1 }), [])
      assert.deepEqual(await ids({ key: 'Order-7' }), [keyed.id])
      assert.deepEqual(await ids({ key: 'order-7' }), [])
      assert.deepEqual(await ids({ execution: 'job-7' }), [executed.id])
      assert.deepEqual(await ids({ holder: HOLDER }), [running.id])
      assert.deepEqual(await ids({ holder: HOLDER, status: 'failed' }), [])
    },

    'operators find nothing by a string that nothing has, whatever its characters': async test => {
      await test.submit({ owner: 'ann', idempotencyKey: 'a', tags: { region: 'EU' } })
      for (const text of ['a\0b', '\0', 'a\ud800b', '\u2028', "'", '%', '\\']) {
        const tag = { name: text, value: text }
        const queries = [
          ...[{ type: text }, { owner: text }, { type: TYPE, owner: text }, { key: text }, { execution: text }],
          ...[{ holder: text }, { problem: text }, { tag }, { search: text }, { search: text, searchInputOf: [TYPE] }],
        ]
        for (const query of queries) assert.deepEqual([query, await browseAll(test, query)], [query, []])
      }
    },

    'a string that is not an id is the id of nothing': async test => {
      const { store } = test
      await test.submit()
      for (const id of [
        '',
        '.',
        'a/b',
        '\\',
        '?',
        '#',
        '\0',
        '\ud800',
        "'",
        'x'.repeat(3000),
        test.nextId().toUpperCase(),
      ]) {
        const found = [
          await store.read(id),
          await store.readPayload(id, 'input'),
          await store.readWithOutput?.(id),
          await store.change(id, { kind: 'cancel' }),
          [...(await store.steps(id))],
          await store.logs(id, 0),
          await store.errors(id),
          await store.listChildren({ parent: id, state: 'unfinished', limit: 1 }),
          await store.claim({ ...CLAIM_BY, from: { id } }),
        ]
        assert.deepEqual([id, found], [id, [undefined, undefined, undefined, undefined, [], [], [], [], []]])
      }
    },

    'operators search in ids, keys and owners, in either case of letters': async test => {
      const keyed = await test.submit({ idempotencyKey: 'Order-7', owner: 'Ada "L" ü' })
      const other = await test.submit({ owner: 'bob', type: 'refunds' })
      const ids = async (search: string, query = {}) => idsOf(await browseAll(test, { search, ...query }))
      assert.deepEqual(await ids('oRDER'), [keyed.id])
      assert.deepEqual(await ids('ada "l" ü'), [keyed.id])
      assert.deepEqual(await ids(other.id.slice(-5).toUpperCase()), [other.id])
      assert.deepEqual(await ids('8000', { type: TYPE }), [keyed.id])
      assert.deepEqual(await ids('%'), [])
      assert.deepEqual(await ids('nothing'), [])
    },

    'operators find them by their tags, and search in the values': async test => {
      const ann = await test.submit({ tags: { customer: 'Ann "A"', region: 'EU' } })
      const odd = await test.submit({ tags: { customer: 'region', EU: 'ü\\' }, type: 'refunds' })
      await test.submit()
      const found = async (query: Omit<BrowseQuery, 'limit'>) => idsOf(await browseAll(test, query))
      assert.deepEqual(await found({ tag: { name: 'region', value: 'EU' } }), [ann.id])
      assert.deepEqual(await found({ tag: { name: 'customer', value: 'Ann "A"' } }), [ann.id])
      assert.deepEqual(await found({ tag: { name: 'customer', value: 'Ann' } }), [])
      assert.deepEqual(await found({ tag: { name: 'EU', value: 'ü\\' } }), [odd.id])
      assert.deepEqual(await found({ search: 'ann "a"' }), [ann.id])
      assert.deepEqual(await found({ search: 'eu' }), [ann.id])
      assert.deepEqual(await found({ search: 'ü\\' }), [odd.id])
      assert.deepEqual(await found({ search: 'customer' }), [])
    },

    'operators search in inputs, where they are asked to': async test => {
      const apple = await test.submit({ input: '{"item":"Apple ü"}' })
      const large = await test.submit({ input: JSON.stringify(`${'x'.repeat(10_000)} Pear`), type: 'refunds' })
      await test.submit({ input: '"apple"', type: 'others' })
      const found = async (search: string, searchInputOf: readonly string[]) =>
        idsOf(await browseAll(test, { search, searchInputOf }))
      assert.deepEqual(await found('aPPLE ü', [TYPE]), [apple.id])
      assert.deepEqual(await found('pear', [TYPE, 'refunds']), [large.id])
      assert.deepEqual(await found('apple', ['refunds']), [])
      assert.deepEqual(await found(large.id, ['refunds']), [large.id])
      assert.deepEqual(idsOf((await test.store.browse({ searchInputOf: [TYPE], limit: 1 })).operations).length, 1)
    },

    'a page says how many operations it has looked at': async test => {
      const ids = idsOf([...(await test.submitMany(3, { owner: 'ann' })), ...(await test.submitMany(4))])
      const all = await test.store.browse({ limit: 5 })
      assert.deepEqual({ scanned: all.scanned, next: all.next }, { scanned: 5, next: ids[2] })
      assert.equal((await test.store.browse({ limit: 10 })).scanned, 7)
      assert.equal((await test.store.browse({ limit: 2, owner: 'ann' })).scanned, 6)
      assert.equal((await test.store.browse({ limit: 4, owner: 'ann' })).scanned, 7)
      assert.equal((await test.store.browse({ limit: 4, owner: 'ann', after: ids[1] })).scanned, 1)
      // A store may have an index of these, or look at all.
      assert.ok([3, 7].includes((await test.store.browse({ limit: 4, type: TYPE, owner: 'ann' })).scanned))
    },
  },
}

/** Operations of several owners, types and statuses, in the order of their ids. */
async function ofEveryone(test: StoreTest) {
  return {
    ann: await test.submit({ owner: 'ann' }),
    refund: await test.submit({ owner: 'bob', type: 'refunds' }),
    running: await test.run(),
    failed: await test.end(OUTCOMES.failed),
  }
}

async function browseAll(test: StoreTest, query: Omit<BrowseQuery, 'limit'>): Promise<Operation[]> {
  const all: Operation[] = []
  let after: string | undefined
  do {
    const page = await test.store.browse({ ...query, limit: 100, after })
    all.push(...page.operations)
    after = page.next
  } while (after !== undefined)
  return all
}
