/** What a write tells other processes: with its own statement, where few notifications are sent. */
import type { Pool, PoolClient } from 'pg'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import type { Claim, Hint, Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { testDatabase } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'

const database = testDatabase()
/** No poll tells what a notification should have told. */
const PATIENT = { pollInterval: 3_600_000, checkInterval: 3_600_000 }

let store: Store
let other: Store
let pool: Pool
/** The names of the statements that the store has sent. */
let sent: string[] = []
/** Makes the next statement of the name fail, before it is sent. */
let failing: string | undefined
/** Whether the one that failed last had hints with it. */
let hadHints = false
let received: Hint[] = []
let onHint = () => {}

beforeAll(async () => {
  const schema = database.nextSchema()
  pool = database.pool()
  pool.on('connect', client => watchStatements(client, schema))
  store = postgresStore(pool, { schema, ...PATIENT })
  other = postgresStore(database.pool(), { schema, ...PATIENT })
  await store.open()
  await other.open()
  other.watch(hint => {
    received.push(hint)
    onHint()
  })
})

afterAll(async () => {
  await store.close()
  await other.close()
})

beforeEach(() => {
  sent = []
  received = []
  failing = undefined
})

interface Sent {
  readonly name?: string
  readonly values?: readonly unknown[]
}

function watchStatements(client: PoolClient, schema: string): void {
  const query = client.query.bind(client) as (config: Sent) => Promise<unknown>
  const watched = async (config: Sent) => {
    const name = config.name?.slice(schema.length + 1)
    if (name !== undefined) sent.push(name)
    if (name !== undefined && name === failing) {
      hadHints = Array.isArray(config.values?.[1])
      throw new Error('The connection was lost.')
    }
    return await query(config)
  }
  Object.assign(client, { query: watched })
}

/** Resolves when the other process has received it. */
async function receives(expected: Hint): Promise<void> {
  const hasReceived = () => received.some(hint => JSON.stringify(hint) === JSON.stringify(expected))
  await new Promise<void>(resolve => {
    onHint = () => hasReceived() && resolve()
    onHint()
  })
}

let numbers = 0
const nextId = () => numberedId(++numbers)

async function claimNext(): Promise<Claim> {
  const from = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
  const [claim] = await store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from })
  if (claim === undefined) throw new Error('Nothing was claimed.')
  return claim
}

/** What may send a hint. The store also sends statements from timers. */
const TELLING = ['accept', 'acceptPlain', 'complete', 'notify']

/** Those of them that are sent from a statement of the name on. */
const sentFrom = (name: string) => sent.slice(sent.lastIndexOf(name)).filter(it => TELLING.includes(it))

it('a hint is sent by the statement that accepts or completes', async () => {
  const joined = new Set<string>()
  // Where a notification is under way already, the next one is sent apart: so several tries may be needed.
  while (joined.size < 2) {
    sent = []
    const id = nextId()
    await store.accept(submissionOf(id, { type: 'orders' }))
    await receives({ kind: 'ready', type: 'orders' })
    if (!sentFrom('acceptPlain').includes('notify')) joined.add('accept')
    const { operation } = await claimNext()
    await receives({ kind: 'changed', id })
    await store.change(id, { kind: 'finish', attempt: operation.attempt, outcome: { kind: 'completed', output: '1' } })
    await receives({ kind: 'ended', id })
    if (!sentFrom('complete').includes('notify')) joined.add('complete')
    received = []
  }
  expect(joined).toEqual(new Set(['accept', 'complete']))
})

it('a hint is sent after the write if it depends on the result', async () => {
  const keyed = { type: 'orders', idempotencyKey: 'once', fingerprint: 'same' }
  await store.accept(submissionOf(nextId(), keyed))
  await receives({ kind: 'ready', type: 'orders' })
  expect(sentFrom('accept')).toEqual(['accept', 'notify'])
  received = []
  expect(await store.accept(submissionOf(nextId(), keyed))).toMatchObject({ kind: 'known' })
  const last = nextId()
  await store.accept(submissionOf(last, { type: 'another' }))
  await receives({ kind: 'ready', type: 'another' })
  expect(received).toEqual([{ kind: 'ready', type: 'another' }])
})

it('hints are sent separately for some time after a write with a hint has failed', async () => {
  failing = 'acceptPlain'
  // One that comes soon after another write has no hints with it, and its failure says nothing of them.
  do await expect(store.accept(submissionOf(nextId(), { type: 'orders' }))).rejects.toThrow('The connection was lost.')
  while (!hadHints)
  failing = undefined
  sent = []
  await store.accept(submissionOf(nextId(), { type: 'orders' }))
  await receives({ kind: 'ready', type: 'orders' })
  expect(sentFrom('acceptPlain')).toEqual(['acceptPlain', 'notify'])
})
