import { afterEach, expect, it } from 'vitest'
import type { Claim, Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import { atLength } from '../../support/length.ts'
import { submissionOf } from '../../support/submission.ts'

const account = cosmosAccount()

afterEach(async () => {
  account.server.faults.clear()
  await account.closeStores()
})

function claim(store: Store, limit: number, holder = 'host/1/a'): Promise<Claim[]> {
  const from = { types: [{ type: 'orders', limit }], limit }
  return store.claim({ holder, leaseMs: 30_000, execution: null, from })
}

function numbered(index: number): string {
  return `op-${String(index).padStart(4, '0')}`
}

const PROCESSES = atLength(8, 20)
const COUNT = atLength(60, 200)

it(`${PROCESSES} processes on one queue claim every operation once`, async () => {
  const container = account.container({ partitions: 3 })
  const stores = await Promise.all(
    Array.from({ length: PROCESSES }, () => account.store(container, { pollInterval: 60_000 })),
  )
  await Promise.all(
    Array.from({ length: COUNT }, (_, index) => stores[index % PROCESSES]?.accept(submissionOf(numbered(index)))),
  )
  const before = account.server.answered.length
  const claimed: string[] = []
  await Promise.all(
    stores.map(async (store, index) => {
      for (let more = true; more; ) {
        const claims = await claim(store, 2, `host/${index}/a`)
        claimed.push(...claims.map(({ operation }) => operation.id))
        more = claims.length > 0
      }
    }),
  )
  expect(claimed.toSorted()).toEqual(Array.from({ length: COUNT }, (_, index) => numbered(index)))
  for (const id of claimed) expect((await stores[0]?.read(id))?.attempt).toBe(1)
  const writes = account.server.answered.slice(before).filter(({ kind }) => kind === 'replace')
  // Without the spread, twenty claimers lose some nineteen races for each that one of them wins; with it, less than one.
  expect(writes.filter(({ status }) => status === 412).length).toBeLessThan(1.5 * COUNT)
})

it('operations that were claimed before a failure of the service are returned', async () => {
  const store = await account.store(account.container())
  for (let index = 0; index < 4; index++) await store.accept(submissionOf(numbered(index)))
  account.server.faults.add({ on: ['replace'], id: id => id === numbered(2), times: 1000, how: { status: 403 } })
  const ids = (await claim(store, 4)).map(({ operation }) => operation.id)
  expect(ids).toEqual([numbered(0), numbered(1), numbered(3)])
})

it('a process that is alone claims with one query, and one write for each operation', async () => {
  const store = await account.store(account.container(), { pollInterval: 60_000 })
  for (let index = 0; index < 5; index++) await store.accept(submissionOf(numbered(index)))
  const before = account.server.answered.length
  expect(await claim(store, 3)).toHaveLength(3)
  const kinds = account.server.answered.slice(before).map(({ kind }) => kind)
  // One query for each of the two partitions.
  expect(kinds).toEqual(['plan', 'query', 'query', 'replace', 'replace', 'replace'])
})

it('an attempt with a lease is renewed and finished without a read', async () => {
  const store = await account.store(account.container(), { pollInterval: 60_000 })
  await store.accept(submissionOf('a'))
  await claim(store, 1)
  const before = account.server.answered.length
  await store.renew([{ id: 'a', attempt: 1 }], 30_000)
  await store.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
  expect(account.server.answered.slice(before).map(({ kind }) => kind)).toEqual(['replace', 'replace'])
})
