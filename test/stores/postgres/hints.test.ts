/** Any role that can connect to the database may notify on the store's channel, with anything. */
import fc from 'fast-check'
import type { Pool } from 'pg'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import type { Hint, Store } from '../../../src/stores/store.ts'
import { testDatabase } from '../../support/postgres.ts'

const database = testDatabase()
const ID = '01985c00-0000-7000-8000-000000000001'
/** What the listener must still understand after everything else. */
const LAST = { kind: 'ready', type: 'the last one' } as const

let pool: Pool
let store: Store
let hints: Hint[]

beforeAll(async () => {
  pool = database.pool()
  store = postgresStore(pool, { schema: database.nextSchema(), pollInterval: 3_600_000 })
  await store.open()
  return () => store.close()
})

let unwatch = () => {}
afterEach(() => unwatch())

/** Sends payloads from outside, in one transaction, and resolves when all of them have arrived. */
async function notify(payloads: readonly string[]): Promise<void> {
  hints = []
  unwatch()
  const arrived = new Promise<void>(resolve => {
    unwatch = store.watch(hint => {
      hints.push(hint)
      if (hint.kind === 'ready' && hint.type === LAST.type) resolve()
    })
  })
  const text = 'SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload'
  const last = JSON.stringify({ from: 'outside', ready: [LAST.type] })
  await pool.query(text, [`waybill/${database.lastSchema()}`, [...new Set(payloads), last]])
  await arrived
}

const MEMBERS = [
  'from',
  'ready',
  'changed',
  'cancel',
  'ended',
  'idle',
  'much',
  'echo',
  '__proto__',
  'constructor',
  'more',
]
const value = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.array(fc.string()), fc.constant([ID]), fc.constant('a'))
const message = fc
  .array(fc.tuple(fc.constantFrom(...MEMBERS), value), { maxLength: 6 })
  .map(members => `{${members.map(([name, it]) => `"${name}":${JSON.stringify(it)}`).join(',')}}`)
const payload = fc
  .oneof({ weight: 3, arbitrary: message }, fc.json(), fc.string())
  .filter(text => !text.includes('\0') && Buffer.byteLength(text) < 7999)

function isHint(hint: Hint): boolean {
  switch (hint.kind) {
    case 'unknown':
      return true
    case 'ready':
      return typeof hint.type === 'string'
    case 'idle':
      return typeof hint.look === 'string'
    default:
      return typeof hint.id === 'string'
  }
}

describe('a notification from outside', () => {
  it('is at most a hint, whatever it contains', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 20 }), async payloads => {
        await notify(payloads)
        expect(hints.filter(hint => !isHint(hint))).toEqual([])
        expect(hints).toContainEqual(LAST)
      }),
      { numRuns: 200 },
    )
  })

  it.each([
    '',
    'not JSON',
    'null',
    '[]',
    '{"from":"a","ready":1}',
    '{"from":"a","ready":[1]}',
    '{"from":"a","ended":["no id"]}',
    '{"from":"a","much":"yes"}',
    '{"from":1}',
    '{"from":"a","of a newer program":1}',
  ])('only means that something changed if it is %j', async text => {
    const heard = async () => {
      await notify([text])
      return hints
    }
    // Each look waits until the pace of the one before is over.
    await expect.poll(heard, { timeout: 240_000, interval: 250 }).toEqual([{ kind: 'unknown' }, LAST])
  })

  it('wakes no one more often than the pace allows, however many arrive', async () => {
    const began = performance.now()
    for (let round = 0; round < 5; round++) await notify(Array.from({ length: 2000 }, (_, n) => `flood ${round}/${n}`))
    const most = 2 + (performance.now() - began) / 100
    expect(hints.filter(({ kind }) => kind === 'unknown').length).toBeLessThanOrEqual(most)
  })

  it('carries each kind of hint', async () => {
    await notify([JSON.stringify({ from: 'a', ready: ['t'], changed: [ID], cancel: [ID], ended: [ID] })])
    // One of the flood before may still come, and what is ready comes later where there are many senders.
    const arrived = () => hints.filter(({ kind }) => kind !== 'unknown').map(hint => JSON.stringify(hint))
    const sent = [
      { kind: 'ready', type: 't' },
      { kind: 'changed', id: ID },
      { kind: 'cancel', id: ID },
      { kind: 'ended', id: ID },
      LAST,
    ]
    await expect
      .poll(() => arrived().sort(), { timeout: 240_000 })
      .toEqual(sent.map(hint => JSON.stringify(hint)).sort())
  })
})
