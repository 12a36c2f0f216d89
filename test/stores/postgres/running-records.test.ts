/** The answer of a completion is the record as it is stored, though its statement does not return the record. */
import type { PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import type { Lease, Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { testDatabase } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'

const database = testDatabase()
const COMPLETED = { kind: 'completed', output: '"done"' } as const

/** The process that runs the attempts, and another one. */
let store: Store
let other: Store
/** The names of the statements that the first one has sent. */
let sent: string[] = []
let ids = 0

beforeAll(async () => {
  const schema = database.nextSchema()
  const pool = database.pool()
  pool.on('connect', client => watchStatements(client, schema))
  store = postgresStore(pool, { schema, notifications: false })
  other = postgresStore(database.pool(), { schema, notifications: false })
  await store.open()
  await other.open()
})

afterAll(async () => {
  await other.close()
  await store.close()
})

function watchStatements(client: PoolClient, schema: string): void {
  const query = client.query.bind(client) as (config: { readonly name?: string }) => Promise<unknown>
  Object.assign(client, {
    query: async (config: { readonly name?: string }) => {
      if (config.name !== undefined) sent.push(config.name.slice(schema.length + 1))
      return await query(config)
    },
  })
}

/** Begins an attempt of a new operation. */
async function begin(by: Store): Promise<Lease> {
  const type = `type-${++ids}`
  const given = { type, webhookUrl: 'https://example.com/', parent: numberedId(9999), tags: { order: '1' } }
  await by.accept(submissionOf(numberedId(ids), given))
  const from = { types: [{ type, limit: 1 }], limit: 1 }
  const [claim] = await by.claim({ holder: 'h', leaseMs: 60_000, execution: null, from })
  if (claim === undefined) throw new Error('Nothing was claimed.')
  sent = []
  return claim.operation
}

/** Completes an attempt: the answer, and the statements that were sent for it. */
async function complete(by: Store, { id, attempt }: Lease) {
  const answer = await by.change(id, { kind: 'finish', attempt, outcome: COMPLETED })
  const statements = [...sent]
  return { answer, statements, stored: await by.read(id) }
}

describe('the answer of a completion', () => {
  it('is the stored record, without a read', async () => {
    const { answer, statements, stored } = await complete(store, await begin(store))
    expect(answer).toEqual(stored)
    expect(answer).toMatchObject({ status: 'completed', webhookDue: true, familyDue: true, tags: { order: '1' } })
    expect(statements).toEqual(['complete'])
  })

  it('is the stored record, without a read, after this process has changed it', async () => {
    const lease = await begin(store)
    const { id, attempt } = lease
    await store.change(id, { kind: 'progress', attempt, progress: { fraction: 0.5, message: 'Half of it' } })
    await store.change(id, { kind: 'has-children', attempt })
    sent = []
    const { answer, statements, stored } = await complete(store, lease)
    expect(answer).toEqual(stored)
    expect(answer).toMatchObject({ progress: { fraction: 1, message: 'Half of it' }, version: 4 })
    expect(statements).toEqual(['complete'])
  })

  it('is the stored record after another process has changed it', async () => {
    const lease = await begin(store)
    await other.change(lease.id, { kind: 'cancel' })
    const { answer, statements, stored } = await complete(store, lease)
    expect(answer).toEqual(stored)
    expect(answer).toMatchObject({ status: 'completed', cancelRequested: true })
    expect(statements).toEqual(['complete', 'read'])
  })

  it('is the stored record after another process has noted that the operation has children', async () => {
    const lease = await begin(store)
    await other.change(lease.id, { kind: 'has-children', attempt: lease.attempt })
    const { answer, stored } = await complete(store, lease)
    expect(answer).toEqual(stored)
    expect(answer).toMatchObject({ status: 'completed', waits: { children: {} } })
  })

  it('is the stored record where another process has begun the attempt', async () => {
    const { answer, stored } = await complete(store, await begin(other))
    expect(answer).toEqual(stored)
    expect(answer).toMatchObject({ status: 'completed' })
  })

  it('is undefined where the attempt was lost', async () => {
    const lease = await begin(store)
    const abandoned = { kind: 'abandon', attempt: lease.attempt, reason: 'Its process is gone.' } as const
    await other.change(lease.id, abandoned)
    const { answer, stored } = await complete(store, lease)
    expect([answer, stored?.status]).toEqual([undefined, 'pending'])
  })
})
