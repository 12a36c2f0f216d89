import { CosmosClient } from '@azure/cosmos'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { cosmosStore } from 'waybill/stores/cosmos'
import { manualClock } from 'waybill/testing'
import { ServerClock } from '../../../src/stores/cosmos/clock.ts'
import { listAllActive } from '../../../src/stores/list-all-active.ts'
import type { Hint, Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import type { Collection } from '../../support/cosmos-server.ts'
import { onlyLong } from '../../support/length.ts'
import { submissionOf } from '../../support/submission.ts'

const account = cosmosAccount()
const CLAIM_BY = { holder: 'host/1/a', leaseMs: 30_000, execution: null }
const HOUR = 3_600_000
const DAY = 24 * HOUR

const frees: (() => unknown)[] = []

afterEach(async () => {
  account.server.faults.clear()
  await account.closeStores()
  for (const free of frees.splice(0).reverse()) await free()
})

function documentsOf(container: Collection): string[] {
  return container.partitions.flatMap(partition => container.all(partition).map(({ body }) => body.id as string))
}

async function complete(store: Store, id: string, output = '1'): Promise<void> {
  await store.claim({ ...CLAIM_BY, from: { id } })
  await store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } })
}

describe('retention by the TTL of the container', () => {
  it('deletes a finished operation one day late, even if nothing sweeps', async () => {
    const clock = manualClock()
    const store = await account.store(account.container({ clock: clock.now }), { clock: clock.now })
    await store.accept(submissionOf('a', { retention: 2 * DAY }))
    await complete(store, 'a')
    clock.advance(5 * DAY - 1000)
    expect((await store.read('a'))?.status).toBe('completed')
    clock.advance(2000)
    expect(await store.read('a')).toBeUndefined()
  })

  it('never deletes an unfinished operation, or one that a sweep must clean up', async () => {
    const clock = manualClock()
    const container = account.container({ clock: clock.now })
    const store = await account.store(container, { clock: clock.now })
    await store.accept(submissionOf('pending'))
    await store.accept(submissionOf('keyed', { idempotencyKey: 'k' }))
    await complete(store, 'keyed')
    await store.accept(submissionOf('large'))
    await complete(store, 'large', JSON.stringify('x'.repeat(5000)))
    clock.advance(400 * DAY)
    expect((await store.read('pending'))?.status).toBe('pending')
    const { expired, purged } = await store.sweep(10)
    expect({ expired, purged: [...purged].sort() }).toEqual({ expired: [], purged: ['keyed', 'large'] })
    expect(documentsOf(container).sort()).toEqual(['keyed', 'large', 'pending'])
    clock.advance(3 * DAY)
    expect(await store.read('keyed')).toBeUndefined()
    expect(await store.read('large')).toBeUndefined()
  })

  it('deletes an idempotency key whose operation was never created', async () => {
    const clock = manualClock()
    const container = account.container({ clock: clock.now })
    const store = await account.store(container, { clock: clock.now })
    const isOperation = ({ kind }: Record<string, unknown>) => kind === 'operation'
    account.server.faults.add({ on: ['create'], body: isOperation, times: 1000, how: { status: 403 } })
    await expect(store.accept(submissionOf('a', { idempotencyKey: 'k', retention: DAY }))).rejects.toThrow()
    account.server.faults.clear()
    expect(documentsOf(container)).toHaveLength(1)
    clock.advance(33 * DAY)
    expect(documentsOf(container)).toEqual([])
  })

  it('never deletes the key of an operation before it is purged, however long that takes', async () => {
    const clock = manualClock()
    const container = account.container({ clock: clock.now })
    const store = await account.store(container, { clock: clock.now })
    const keyed = (id: string) => submissionOf(id, { idempotencyKey: 'k', retention: DAY })
    await store.accept(keyed('a'))
    for (let day = 0; day < 100; day++) {
      clock.advance(DAY)
      await store.sweep(10)
    }
    await complete(store, 'a')
    clock.advance(DAY - HOUR)
    expect(await store.accept(keyed('b'))).toMatchObject({ kind: 'known', operation: { id: 'a' } })
  })

  it('gives the whole time to a key whose operation is created late', async () => {
    const clock = manualClock()
    const container = account.container({ clock: clock.now })
    const store = await account.store(container, { clock: clock.now })
    const keyed = (id: string) => submissionOf(id, { idempotencyKey: 'k', retention: DAY })
    const isOperation = ({ kind }: Record<string, unknown>) => kind === 'operation'
    account.server.faults.add({ on: ['create'], body: isOperation, times: 1000, how: { status: 403 } })
    await expect(store.accept(keyed('a'))).rejects.toThrow()
    account.server.faults.clear()
    clock.advance(31 * DAY)
    expect(await store.accept(keyed('b'))).toMatchObject({ kind: 'accepted', operation: { id: 'a' } })
    clock.advance(14 * DAY)
    expect(await store.accept(keyed('c'))).toMatchObject({ kind: 'known', operation: { id: 'a' } })
  })

  it('that the container does not have causes a warning', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    frees.push(() => warn.mockRestore())
    await account.store(account.container({ defaultTtl: undefined }))
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('no default TTL'), { code: 'WAYBILL_COSMOS_TTL' })
  })
})

describe('the change feed', () => {
  /** Waits for a hint that is as wanted. */
  async function hinted(store: Store, wanted: (hint: Hint) => boolean): Promise<void> {
    await new Promise<void>(resolve => {
      const unwatch = store.watch(hint => {
        if (!wanted(hint)) return
        unwatch()
        resolve()
      })
    })
  }

  it('sends the changes of another store, by type and id', async () => {
    const container = account.container()
    const [one, other] = [await account.store(container), await account.store(container)]
    const ready = hinted(other, hint => hint.kind === 'ready' && hint.type === 'orders')
    await one.accept(submissionOf('a'))
    await ready
    const ended = hinted(other, hint => hint.kind === 'ended' && hint.id === 'a')
    await one.change('a', { kind: 'cancel' })
    await ended
  })

  it('sends a hint that changes may have been missed after an interruption', async () => {
    const container = account.container()
    const store = await account.store(container)
    const gap = hinted(store, hint => hint.kind === 'unknown')
    account.server.faults.add({ on: ['feed'], times: 1, how: { status: 400 } })
    await gap
  })

  onlyLong(it)(
    'is read again at once by a process that is behind, with a hint that changes may have been missed',
    async () => {
      const container = account.container({ partitions: 1 })
      // The interval is so long that only turns which follow at once can read all of it.
      const store = await account.store(container, { pollInterval: 600_000 })
      const body = { kind: 'operation', record: { type: 'orders', status: 'completed' } }
      for (let index = 0; index < 9000; index++) container.create(`${index}`, { ...body, id: `${index}` })
      const counts = { ended: 0, unknown: 0 }
      await new Promise<void>(resolve => {
        const unwatch = store.watch(({ kind }) => {
          if (kind === 'unknown') counts.unknown++
          if (kind !== 'ended' || ++counts.ended < 9000) return
          unwatch()
          resolve()
        })
      })
      expect(counts).toEqual({ ended: 9000, unknown: 2 })
    },
  )

  describe('of a process in which nothing happens', () => {
    const HOUR_MS = 3_600_000

    async function quiet() {
      const container = account.container({ partitions: 1 })
      const clock = manualClock()
      const [idle, other] = [
        await account.store(container, { pollInterval: 1, monotonicClock: clock.monotonic }),
        await account.store(container),
      ]
      const hints: Hint[] = []
      const { promise: hinted, resolve } = Promise.withResolvers<void>()
      const unwatch = idle.watch(hint => {
        hints.push(hint)
        resolve()
      })
      frees.push(unwatch)
      clock.advance(HOUR_MS)
      const reads = () => account.server.answered.filter(({ kind }) => kind === 'feed').length
      return { idle, other, clock, hinted, reads }
    }

    it('is read each half minute', async () => {
      const { other, clock, hinted, reads } = await quiet()
      const before = reads()
      await new Promise(resolve => setTimeout(resolve, 100))
      // Some dozens, if it were read each millisecond.
      expect(reads() - before).toBeLessThanOrEqual(1)
      await other.accept(submissionOf('a'))
      clock.advance(30_000)
      await hinted
    })

    it('is read at once when the process does something', async () => {
      const { idle, other, hinted } = await quiet()
      await other.accept(submissionOf('a'))
      await idle.read('a')
      await hinted
    })
  })

  it('costs nothing without listeners', async () => {
    const container = account.container()
    const store = await account.store(container)
    const unwatch = store.watch(() => {})
    unwatch()
    await store.read('a')
    const before = account.server.answered.length
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(account.server.answered.slice(before).filter(({ kind }) => kind === 'feed')).toEqual([])
  })
})

describe('what is too large for an item', () => {
  const TOO_LARGE = JSON.stringify('x'.repeat(2_000_000))

  it('is refused as an input, with a problem that the client can fix', async () => {
    const store = await account.store(account.container())
    const refused = store.accept(submissionOf('a', { input: TOO_LARGE }))
    await expect(refused).rejects.toMatchObject({ problem: { code: 'body-too-large', status: 413 } })
  })

  it('fails the operation as a result, without retries', async () => {
    const store = await account.store(account.container())
    await store.accept(submissionOf('a'))
    await complete(store, 'a', TOO_LARGE)
    const operation = await store.read('a')
    expect(operation).toMatchObject({ status: 'failed', error: { code: 'output-too-large', status: 500 } })
  })

  it('is refused as the outcome of a step', async () => {
    const store = await account.store(account.container())
    await store.accept(submissionOf('a'))
    await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
    const note = store.appendNote({ id: 'a', attempt: 1 }, { kind: 'step', name: 'big', value: TOO_LARGE })
    await expect(note).rejects.toThrow('The outcome of step "big" is too large')
  })
})

describe('the setup', () => {
  it('refuses a container with another partition key, and says which one it needs', async () => {
    const store = account.store(account.container({ partitionKey: '/type' }))
    await expect(store).rejects.toThrow('has the partition key /type. Waybill needs one with the partition key /id.')
  })

  it('reports calls before it is open', async () => {
    const client = new CosmosClient({ endpoint: account.server.endpoint, key: 'a2V5' })
    frees.push(() => client.dispose())
    await expect(cosmosStore(client.database('a').container('b')).read('a')).rejects.toThrow('call open() first')
  })
})

describe('an item that an older version wrote', () => {
  /** Two operations, one that was launched and one that runs its second attempt, in items without any engine. */
  async function older(): Promise<Store> {
    const container = account.container()
    const store = await account.store(container)
    for (const id of ['a', 'b']) await store.accept(submissionOf(id))
    await store.reserveForLaunch({ types: ['orders'], limit: 1, holdMs: HOUR })
    await store.change('a', { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
    for (const attempt of [1, 2]) {
      await store.claim({ ...CLAIM_BY, execution: `job-${attempt + 1}`, engine: 'jobs', from: { id: 'b' } })
      if (attempt === 1) await store.change('b', { kind: 'finish', attempt, outcome: { kind: 'released' } })
    }
    await store.close()
    for (const id of ['a', 'b']) {
      const { body } = container.find(container.partitionOf(id), id, id) ?? {}
      const text = JSON.stringify(body).replaceAll(',"engine":"jobs"', '').replaceAll(',"engine":null', '')
      expect(text).not.toContain('engine')
      container.replace(id, id, JSON.parse(text), undefined)
    }
    return await account.store(container)
  }

  it('has no engine, by every read', async () => {
    const store = await older()
    const a = await store.read('a')
    const b = await store.read('b')
    expect(a).toMatchObject({ execution: 'job-1', engine: null })
    expect(b).toMatchObject({ execution: 'job-3', engine: null, history: [{ execution: 'job-2', engine: null }] })
    expect(await store.list({ type: 'orders', owner: '', limit: 9 })).toEqual([b, a])
    expect((await store.browse({ limit: 9 })).operations).toEqual([b, a])
    expect((await store.dump(undefined, 9)).map(({ operation }) => operation)).toEqual([a, b])
    const active = await listAllActive(store)
    expect(active.map(({ id, engine }) => [id, engine]).sort()).toEqual([
      ['a', null],
      ['b', null],
    ])
  })

  it('can be changed, and then has the engine', async () => {
    const store = await older()
    const [claim] = await store.claim({ ...CLAIM_BY, execution: 'job-1', engine: 'jobs', from: { id: 'a' } })
    expect(claim?.operation).toMatchObject({ execution: 'job-1', engine: 'jobs' })
    const outcome = { kind: 'completed', output: '1' } as const
    expect(await store.change('b', { kind: 'finish', attempt: 2, outcome })).toMatchObject({
      status: 'completed',
      history: [
        { number: 1, engine: null },
        { number: 2, execution: 'job-3', engine: null },
      ],
    })
  })
})

describe('the clock of the service', () => {
  /** Answers at these monotonic times, each asked 10 ms before, of a service whose clock is `offset` ahead. */
  function heard(offset: number, times: readonly number[]): { clock: ServerClock; error: () => number } {
    let monotonic = 0
    const clock = new ServerClock(() => monotonic)
    for (const time of times) {
      monotonic = time
      clock.heard(new Date(Math.floor((offset + time - 5) / 1000) * 1000).toUTCString(), time - 10)
    }
    return { clock, error: () => Math.abs(clock.now() - (offset + monotonic)) }
  }

  const OFFSET = Date.UTC(2026, 0, 1)

  it('is known to half a second from one answer, and to some milliseconds from many', () => {
    expect(heard(OFFSET, [123]).error()).toBeLessThanOrEqual(510)
    const times = Array.from({ length: 200 }, (_, index) => 137 * index)
    expect(heard(OFFSET, times).error()).toBeLessThan(25)
  })

  it('is followed when it changes, and a response without a date has no effect', () => {
    const { clock, error } = heard(OFFSET, [0, 300, 700])
    clock.heard(undefined, 0)
    clock.heard('soon', 0)
    expect(error()).toBeLessThanOrEqual(510)
    const jumped = OFFSET - 60_000
    clock.heard(new Date(Math.floor((jumped + 700) / 1000) * 1000).toUTCString(), 690)
    expect(Math.abs(clock.now() - (jumped + 700))).toBeLessThanOrEqual(1010)
  })
})
