import { readFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { manualClock } from 'waybill/testing'
import type { Store } from '../../../src/stores/store.ts'
import { inParallel } from '../../../src/util/in-parallel.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import { submissionOf } from '../../support/submission.ts'

const account = cosmosAccount()

afterEach(() => account.closeStores())

const ID = '01941f29-7c00-7000-8000-000000000001'
const LEASE = { id: ID, attempt: 1 }
const CLAIM_BY = { holder: 'host/1/abcdefgh', leaseMs: 30_000, execution: null }
const ONE = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
const ORDER = JSON.stringify({
  items: Array.from({ length: 5 }, (_, n) => ({ sku: `sku-${n}`, quantity: n, note: 'x'.repeat(60) })),
})

/** What is measured, in this order, on one container of one partition. */
const ACTS: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  accept: store => store.accept(submissionOf('01941f29-7c00-7000-8000-000000000000', { input: ORDER, priority: -1 })),
  'accept, with an idempotency key': store => store.accept(submissionOf(ID, { input: ORDER, idempotencyKey: 'k' })),
  'accept, with a key that is known': store => store.accept(submissionOf('x', { input: ORDER, idempotencyKey: 'k' })),
  'poll (one status read)': store => store.read(ID),
  'poll of an id that does not exist': store => store.read('01941f29-7c00-7000-8000-00000000ffff'),
  'claim, one operation': store => store.claim({ ...CLAIM_BY, from: ONE }),
  'renewal of a lease': store => store.renew([LEASE], 30_000),
  progress: store => store.change(ID, { kind: 'progress', attempt: 1, progress: { fraction: 0.5, message: 'Half' } }),
  'a step': store => store.appendNote(LEASE, { kind: 'step', name: 'charge', value: '{"id":"ch_1"}' }),
  'a log line': store => store.appendNote(LEASE, { kind: 'log', level: 'info', message: 'Charged the card' }),
  outcome: store => store.change(ID, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: ORDER } }),
  'result (one read)': store => store.readPayload(ID, 'output'),
  'a look at the queue for Retry-After': store => store.queueStats('orders'),
  'a claim that finds nothing': store =>
    store.claim({ ...CLAIM_BY, from: { types: [{ type: 'none', limit: 1 }], limit: 1 } }),
  'a sweep that finds nothing, with its look at the holders': async store => {
    await store.holders()
    await store.sweep(200)
  },
}

/** The most units of an act that is more than one query: three, or one beside a submission and a read. */
const MOST: Readonly<Record<string, number>> = {
  'the queue, in three queries': 3 * 3.2,
  'a submission that counts what is in flight': 3.2 + 12,
}

it('the cost of a query of clients, workers and dispatchers depends only on its result', async () => {
  const clock = manualClock()
  let sum = 0
  const container = account.container({ clock: clock.now, partitions: 1 })
  const onCharge = (charge: number) => {
    sum += charge
  }
  const store = await account.store(container, { clock: clock.now, pollInterval: 60_000, onCharge })
  const finish = { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } } as const
  const others = Array.from({ length: 120 }, (_, index) => ({ id: `o-${String(index).padStart(3, '0')}`, index }))
  await inParallel(others, async ({ id, index }) => {
    const type = index % 2 === 0 ? 'orders' : 'others'
    await store.accept(submissionOf(id, { type, owner: 'other' }))
    if (index % 4 < 2) return
    await store.claim({ ...CLAIM_BY, from: { id } })
    if (type === 'others') await store.change(id, finish)
  })
  for (const id of ['a', 'b']) await store.accept(submissionOf(id, { type: 'rare', owner: 'me' }))
  await store.claim({ ...CLAIM_BY, from: { id: 'b' } })
  await store.change('b', finish)
  const mine = { type: 'rare', owner: 'me', limit: 10 }
  const acts: Record<string, () => Promise<unknown>> = {
    list: () => store.list(mine),
    'list by status': () => store.list({ ...mine, status: 'completed' }),
    'a page of all': () => store.browse({ limit: 1 }),
    'a page of all by status': () => store.browse({ limit: 1, status: 'completed' }),
    'a claim': () => store.claim({ ...CLAIM_BY, from: { types: [{ type: 'none', limit: 5 }], limit: 5 } }),
    webhooks: () => store.webhooksDue(10),
    families: () => store.familyDue(10),
    'unfinished children': () => store.listChildren({ parent: 'a', state: 'unfinished', limit: 10 }),
    'failed children': () => store.listChildren({ parent: 'a', state: 'failed', limit: 10 }),
    'a page of what is held': () => store.listActive({ limit: 1 }),
    'a submission that counts what is in flight': () =>
      store.accept(submissionOf('c', { type: 'orders', owner: 'other', limits: { inFlight: 1000 } })),
    'the queue, in three queries': () => store.queueStats('rare'),
  }
  for (const [name, act] of Object.entries(acts)) {
    sum = 0
    await act()
    expect(sum, name).toBeLessThan(MOST[name] ?? 3.2)
  }
})

it('the table of request units in docs/deploy/cosmos.md agrees with the charges of the server', async () => {
  const clock = manualClock()
  let sum = 0
  const container = account.container({ id: 'operations', clock: clock.now, partitions: 1 })
  const store = await account.store(container, {
    clock: clock.now,
    pollInterval: 60_000,
    onCharge: charge => {
      sum += charge
    },
  })
  // The first sweep also looks for due times of a clock that was set back.
  await store.sweep(200)
  const rows: string[] = []
  for (const [name, act] of Object.entries(ACTS)) {
    sum = 0
    await act(store)
    rows.push(`| ${name} | ${sum.toFixed(1)} |`)
  }
  const page = readFileSync(new URL('../../../docs/deploy/cosmos.md', import.meta.url), 'utf8')
  expect(page).toContain(rows.join('\n'))
})
