/** What each process can rely on to read, where replicas lag and partitions split. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { CosmosStoreOptions } from 'waybill/stores/cosmos'
import { acceptedOperation, type Hint, type Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import type { Collection } from '../../support/cosmos-server.ts'
import { submissionOf } from '../../support/submission.ts'

const account = cosmosAccount()
const CLAIM_BY = { holder: 'host/1/a', leaseMs: 30_000, execution: null }
const FIRST_OF = { types: [{ type: 'orders', limit: 10 }], limit: 10 }
const ALL = { type: 'orders', owner: '', limit: 100 }

beforeEach(() => {
  account.server.consistency = 'Session'
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
})

afterEach(async () => {
  account.server.consistency = 'Strong'
  account.server.multipleWriteLocations = false
  vi.restoreAllMocks()
  await account.closeStores()
})

/** Two stores on one container, as two processes have them, whose background reads stay out of the way. */
async function two(options: CosmosStoreOptions = {}): Promise<{ container: Collection; one: Store; other: Store }> {
  const container = account.container({ partitions: 1 })
  const quiet = { pollInterval: 60_000, ...options }
  return { container, one: await account.store(container, quiet), other: await account.store(container, quiet) }
}

describe('where replicas lag', () => {
  it('a process reads its own writes, by id, by key and in lists', async () => {
    const { container, one } = await two()
    await one.accept(submissionOf('a', { idempotencyKey: 'k' }))
    container.lag()
    const canceled = await one.change('a', { kind: 'cancel' })
    expect(canceled?.status).toBe('canceled')
    expect(await one.read('a')).toEqual(canceled)
    expect(await one.findByKey('orders', '', 'k')).toEqual(canceled)
    expect(await one.list(ALL)).toEqual([canceled])
    expect((await one.queueStats('orders')).ready).toEqual([])
  })

  it('another process, which has no session, finds what one process has accepted', async () => {
    const { container, one, other } = await two()
    container.lag()
    const accepted = acceptedOperation(await one.accept(submissionOf('a', { idempotencyKey: 'k' })))
    expect(await other.read('a')).toEqual(accepted)
    expect((await other.accept(submissionOf('b', { idempotencyKey: 'k' }))).kind).toBe('known')
  })

  it('a process reads the end that it has recorded', async () => {
    const { container, one } = await two({ clock: () => Date.now() + 40 * 86_400_000 })
    await one.accept(submissionOf('a', { retention: 1 }))
    await one.claim({ ...CLAIM_BY, from: { id: 'a' } })
    container.lag()
    await one.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
    expect((await one.read('a'))?.status).toBe('completed')
  })

  it('a change is made on the latest state', async () => {
    const { container, one, other } = await two()
    await one.accept(submissionOf('a'))
    container.lag()
    await one.claim({ ...CLAIM_BY, from: { id: 'a' } })
    const asked = await other.change('a', { kind: 'cancel' })
    expect(asked).toMatchObject({ status: 'running', attempt: 1, cancelRequested: true })
  })

  it('a change is refused only by the latest state', async () => {
    const { container, one, other } = await two()
    await one.accept(submissionOf('a'))
    container.lag()
    await one.claim({ ...CLAIM_BY, from: { id: 'a' } })
    // The lagging replicas show an operation that no attempt has begun.
    expect(await other.renew([{ id: 'a', attempt: 1 }], 30_000)).toEqual([{ kind: 'held', cancelRequested: false }])
    await one.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'released' } })
    expect(await other.claim({ ...CLAIM_BY, from: { id: 'a' } })).toHaveLength(1)
  })

  it('a read that no replica can answer fails instead of returning old data', async () => {
    const { container, one } = await two({ timeout: 2000 })
    await one.accept(submissionOf('a'))
    container.lag({ stale: 1, of: 1 })
    await one.change('a', { kind: 'cancel' })
    await expect(one.read('a')).rejects.toMatchObject({ code: 503 })
    await expect(one.list(ALL)).rejects.toMatchObject({ code: 503 })
  })
})

describe('where a partition splits', () => {
  it('items are found, claimed and changed', async () => {
    const { container, one, other } = await two({ timeout: 3000 })
    const ids = Array.from({ length: 12 }, (_, index) => `op-${String(index).padStart(2, '0')}`)
    for (const id of ids) await one.accept(submissionOf(id))
    expect(await other.list(ALL)).toHaveLength(12)
    container.split('0')
    expect((await one.list(ALL)).map(({ id }) => id).sort()).toEqual(ids)
    const claims = await other.claim({ ...CLAIM_BY, from: FIRST_OF })
    expect(claims.map(({ operation }) => operation.id)).toEqual(ids.slice(0, 10))
    container.split('1')
    expect((await one.queueStats('orders')).ready).toEqual(ids.slice(10))
    expect((await one.read('op-00'))?.status).toBe('running')
  })

  it('a process never reads data older than it had read before the split', async () => {
    const { container, one } = await two()
    await one.accept(submissionOf('a'))
    container.lag()
    const canceled = await one.change('a', { kind: 'cancel' })
    container.split('0')
    expect(await one.read('a')).toEqual(canceled)
    expect(await one.list(ALL)).toEqual([canceled])
  })

  it('a process that only queries continues', async () => {
    const { container, one, other } = await two({ timeout: 3000 })
    await one.accept(submissionOf('a'))
    expect(await other.list(ALL)).toHaveLength(1)
    container.split('0')
    expect(await other.list(ALL)).toHaveLength(1)
  })

  it('the change feed continues', async () => {
    const { container, one, other } = await two({ pollInterval: 20 })
    await one.accept(submissionOf('a'))
    const { promise: hinted, resolve } = Promise.withResolvers<Hint>()
    const unwatch = other.watch(hint => {
      if (hint.kind === 'ended') resolve(hint)
    })
    container.split('0')
    await one.change('a', { kind: 'cancel' })
    expect(await hinted).toMatchObject({ kind: 'ended', id: 'a' })
    unwatch()
  })
})

describe('the opening of a store', () => {
  it('warns about an account with the consistency Session', async () => {
    await account.store(account.container())
    expect(process.emitWarning).toHaveBeenCalledWith(expect.stringContaining('is Session'), {
      code: 'WAYBILL_COSMOS_CONSISTENCY',
    })
  })

  it.each(['Strong', 'BoundedStaleness'] as const)(
    'does not warn about an account with the consistency %s',
    async consistency => {
      account.server.consistency = consistency
      await account.store(account.container())
      expect(process.emitWarning).not.toHaveBeenCalled()
    },
  )

  it.each(['ConsistentPrefix', 'Eventual'] as const)(
    'refuses an account with the consistency %s',
    async consistency => {
      account.server.consistency = consistency
      await expect(account.store(account.container())).rejects.toThrow(`is ${consistency}`)
    },
  )

  it('refuses an account with several write regions', async () => {
    account.server.multipleWriteLocations = true
    await expect(account.store(account.container())).rejects.toThrow('several write regions')
  })
})
