/** Outcomes and the claim that follows them: one statement, where both are asked for in one turn of the event loop. */
import type { Pool, PoolClient } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import type { Operation } from '../../../src/model/operation.ts'
import { problem } from '../../../src/model/problem.ts'
import type { Claim, Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { testDatabase } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'

const database = testDatabase()
const JOINED = 'finishAndClaim'

let pool: Pool
let store: Store
/** The names of the statements that the store has sent. */
let sent: string[] = []
/** Makes the next such statement fail, before it is sent. */
let failure: Error | undefined

beforeAll(async () => {
  pool = database.pool()
  const schema = database.nextSchema()
  const own = database.pool()
  own.on('connect', client => watchStatements(client, schema))
  store = postgresStore(own, { schema, notifications: false })
  await store.open()
})

afterAll(() => store.close())

beforeEach(() => {
  sent = []
  failure = undefined
})

function watchStatements(client: PoolClient, schema: string): void {
  const query = client.query.bind(client) as (config: { readonly name?: string }) => Promise<unknown>
  const watched = async (config: { readonly name?: string }) => {
    const name = config.name?.slice(schema.length + 1)
    if (name !== undefined) sent.push(name)
    if (name === JOINED && failure !== undefined) throw failure
    return await query(config)
  }
  Object.assign(client, { query: watched })
}

function claim(limit: number, type: string): Promise<Claim[]> {
  const from = { types: [{ type, limit }], limit }
  return store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from })
}

function complete({ operation: { id, attempt } }: Claim): Promise<Operation | undefined> {
  return store.change(id, { kind: 'finish', attempt, outcome: { kind: 'completed', output: '"done"' } })
}

let numbers = 0

/** Operations of a type of their own, of which two are claimed. */
async function claimTwo(count: number): Promise<{ type: string; ids: string[]; first: Claim; second: Claim }> {
  const type = `type-${++numbers}`
  const ids = Array.from({ length: count }, (_, at) => numberedId(100 * numbers + at))
  for (const id of ids) await store.accept(submissionOf(id, { type }))
  const [first, second] = await claim(2, type)
  if (first === undefined || second === undefined) throw new Error('Nothing was claimed.')
  sent = []
  return { type, ids, first, second }
}

/** Asks for both in one turn, as a worker does whose attempts have ended: the claim, and then the outcomes. */
async function both(
  claims: readonly Claim[],
  limit: number,
  type: string,
): Promise<[PromiseSettledResult<Claim[]>, ...PromiseSettledResult<Operation | undefined>[]]> {
  const completing = claims.map(complete)
  return await Promise.allSettled([claim(limit, type), ...completing])
}

describe('outcomes and a claim of one turn', () => {
  it('are one statement with both results', async () => {
    const { type, ids, first, second } = await claimTwo(5)
    const [claimed, ...completed] = await both([first, second], 2, type)
    expect(sent).toEqual([JOINED])
    expect(claimed).toMatchObject({
      value: [
        { operation: { id: ids[2], status: 'running', attempt: 1 }, input: JSON.stringify(ids[2]) },
        { operation: { id: ids[3], status: 'running', attempt: 1 }, input: JSON.stringify(ids[3]) },
      ],
    })
    expect(completed).toMatchObject(
      [first, second].map(({ operation: { id } }) => ({ value: { id, status: 'completed' } })),
    )
    for (const id of ids.slice(0, 2)) expect(await store.readPayload(id, 'output')).toBe('"done"')
  })

  it('both have results if the queue is empty and an attempt was lost', async () => {
    const { type, first, second } = await claimTwo(2)
    const late = { ...second, operation: { ...second.operation, attempt: 7 } }
    const [claimed, completed, lost] = await both([first, late], 2, type)
    expect(sent[0]).toBe(JOINED)
    expect(claimed).toEqual({ status: 'fulfilled', value: [] })
    expect(completed).toMatchObject({ value: { status: 'completed' } })
    expect(lost).toEqual({ status: 'fulfilled', value: undefined })
  })

  it('do not wait for a row that another transaction holds', async () => {
    const { type, ids, first, second } = await claimTwo(4)
    const other = await pool.connect()
    await other.query('BEGIN')
    const table = `${database.lastSchema()}.operations`
    await other.query(`SELECT 1 FROM ${table} WHERE id = ANY ($1) FOR UPDATE`, [[first.operation.id, ids[2]]])
    const held = complete(first)
    const [claimed, completed] = await both([second], 2, type)
    expect(claimed).toMatchObject({ value: [{ operation: { id: ids[3] } }] })
    expect(completed).toMatchObject({ value: { status: 'completed' } })
    await other.query('COMMIT')
    other.release()
    expect(await held).toMatchObject({ status: 'completed' })
  })

  it('are two statements if one of the outcomes is of another kind', async () => {
    const { type, ids, first, second } = await claimTwo(3)
    const { id, attempt } = second.operation
    const outcome = { kind: 'failed', problem: problem('operation-failed') } as const
    const failed = store.change(id, { kind: 'finish', attempt, outcome })
    const [claimed] = await both([first], 1, type)
    expect(sent).not.toContain(JOINED)
    expect(claimed).toMatchObject({ status: 'fulfilled', value: [{ operation: { id: ids[2] } }] })
    expect(await failed).toMatchObject({ status: 'failed' })
  })

  it('both fail with the connection, and can be repeated', async () => {
    const { type, ids, first } = await claimTwo(3)
    failure = new Error('The connection was lost.')
    const [claimed, completed] = await both([first], 1, type)
    expect([claimed.status, completed?.status]).toEqual(['rejected', 'rejected'])
    failure = undefined
    // What the failed claim may have claimed is given back first: here all that the holder has.
    await complete(first)
    expect((await claim(1, type))[0]?.operation.id).toBe(ids[2])
  })
})

describe('submissions of one turn', () => {
  /** Enough for a batch of several. */
  const newIds = () => Array.from({ length: 20 }, (_, at) => numberedId(100 * ++numbers + at))

  it('are sent with their common values once, and keep their different values', async () => {
    const ids = newIds()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const given = ids.map((id, at) => submissionOf(id, { owner: `owner-${at}`, ...(at % 2 === 0 && { traceparent }) }))
    const accepted = await Promise.all(given.map(submission => store.accept(submission)))
    expect(new Set(sent)).toEqual(new Set(['acceptPlain']))
    for (const [at, acceptance] of accepted.entries()) {
      const read = await store.read(ids[at] ?? '')
      expect(acceptance).toEqual({ kind: 'accepted', operation: read })
      expect(read).toMatchObject({ owner: `owner-${at}`, traceparent: at % 2 === 0 ? traceparent : null })
      expect(await store.readPayload(ids[at] ?? '', 'input')).toBe(JSON.stringify(ids[at]))
    }
  })

  it('are accepted together if they have less in common', async () => {
    const ids = newIds()
    await Promise.all(ids.map((id, at) => store.accept(submissionOf(id, { priority: at, delay: 1000 * at }))))
    expect(new Set(sent)).toEqual(new Set(['accept']))
    for (const [at, id] of ids.entries()) {
      const { priority, runAt, createdAt } = (await store.read(id)) ?? {}
      expect([priority, (runAt ?? createdAt ?? 0) - (createdAt ?? 0)]).toEqual([at, 1000 * at])
    }
  })

  it('are accepted if other ids among them are already known', async () => {
    const ids = newIds()
    const known = await store.accept(submissionOf(ids[3] ?? '', { owner: 'first' }))
    const accepted = await Promise.all(ids.map(id => store.accept(submissionOf(id, { owner: 'second' }))))
    expect(accepted[3]).toEqual(known)
    const others = accepted.toSpliced(3, 1)
    expect(others.map(it => it.kind === 'accepted' && it.operation.owner)).toEqual(others.map(() => 'second'))
  })
})
