import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Operation } from '../../src/model/operation.ts'
import { accepted, changed, claimed } from '../../src/model/state-machine.ts'
import { Estimator, QueueModel } from '../../src/service/estimator.ts'
import { acceptedOperation, QUEUE_COUNT_LIMIT, type QueueStats, type Store } from '../../src/stores/store.ts'
import { submissionOf } from '../support/submission.ts'

const NOW = 1_700_000_000_000
const EMPTY: QueueStats = { ready: [], depth: 0, running: 0, oldestAt: null, durations: [] }

function pending(id = 'a', delay = 0): Operation {
  return accepted(submissionOf(id, { delay }), NOW)
}

function running(progress?: { fraction: number; at: number }): Operation {
  const begun = claimed(pending(), { holder: 'h', leaseMs: 1000, execution: null }, NOW) ?? pending()
  if (progress === undefined) return begun
  const { fraction, at } = progress
  return changed(begun, { kind: 'progress', attempt: 1, progress: { fraction } }, NOW + at) ?? begun
}

/** Estimates for an operation, this many milliseconds after it was accepted. */
function estimate(operation: Operation, view: Partial<QueueStats> = {}, after = 0) {
  return new QueueModel({ ...EMPTY, ...view }, NOW + 1).estimate(operation, NOW + after)
}

const alike = (ms: number) => Array.from({ length: 20 }, () => ms)

describe('an estimate of a pending operation', () => {
  it('has no time if nothing has been observed', () => {
    expect(estimate(pending(), { ready: ['a'], depth: 1 })).toEqual({
      retryAfterMs: 1000,
      queuePosition: 1,
      unclaimedMs: 0,
    })
  })

  it('has its place in the queue', () => {
    const view = { ready: ['x', 'y', 'a'], depth: 3 }
    expect(estimate(pending(), view).queuePosition).toBe(3)
  })

  it('assumes that an operation that is not in the view is the last one', () => {
    expect(estimate(pending(), { ready: ['x', 'y'], depth: 5000 }).queuePosition).toBe(5001)
  })

  it('gives each operation after the view its own place, and keeps it', () => {
    const model = new QueueModel({ ...EMPTY, ready: ['x', 'y'], depth: 2 }, NOW)
    const places = ['a', 'b', 'a', 'c', 'b'].map(id => model.estimate(pending(id), NOW).queuePosition)
    expect(places).toEqual([3, 4, 3, 5, 4])
  })

  it('puts operations after a thousand new ones behind them, and keeps the places of these', () => {
    const model = new QueueModel({ ...EMPTY, ready: ['x'], depth: 1 }, NOW)
    const placeOf = (id: string) => model.estimate(pending(id), NOW).queuePosition
    const places = Array.from({ length: 1001 }, (_, at) => placeOf(`newcomer-${at}`))
    expect(places).toEqual(places.map((_, at) => at + 2))
    expect(placeOf('newcomer-999')).toBe(1001)
  })

  it('has no place if the operations before it were not all counted', () => {
    expect(estimate(pending(), { ready: ['x'], depth: QUEUE_COUNT_LIMIT })).not.toHaveProperty('queuePosition')
  })

  it('suggests longer poll intervals after a long wait if nothing has been observed', () => {
    const after = (ms: number) => estimate(pending(), { ready: ['a'], depth: 1 }, ms).retryAfterMs
    expect([0, 15_000, 150_000].map(after)).toEqual([1000, 2000, 20_000])
  })

  it('expects the end after the usual duration if it is next and nothing runs', () => {
    const { completionAt, retryAfterMs } = estimate(pending(), { ready: ['a'], depth: 1, durations: alike(30_000) })
    expect(completionAt).toBe(NOW + 30_000)
    expect(retryAfterMs).toBeLessThanOrEqual(31_000)
  })

  it('expects the same end until the queue is read again, and none in the past', () => {
    const view = { ready: ['x', 'a'], depth: 2, durations: alike(3000) }
    const model = new QueueModel({ ...EMPTY, ...view }, NOW)
    const [first, later, late] = [1, 400, 60_000].map(after => model.estimate(pending(), NOW + after).completionAt)
    expect(later).toBe(first)
    expect(late).toBe(NOW + 60_000)
  })

  it('expects a later end with more operations before it, and an earlier one with more concurrency', () => {
    const view = (ahead: number, slots: number) => ({
      ready: [...Array.from({ length: ahead }, (_, index) => `x${index}`), 'a'],
      depth: ahead + 1,
      running: slots,
      durations: alike(10_000),
    })
    const at = (ahead: number, slots: number) => estimate(pending(), view(ahead, slots)).completionAt ?? 0
    expect(at(10, 1)).toBeGreaterThan(at(5, 1))
    expect(at(10, 1)).toBeGreaterThan(at(10, 4))
    expect(at(10, 1)).toBeGreaterThanOrEqual(NOW + 110_000)
  })

  it('suggests short poll intervals while it waits for children, and longer ones over time', () => {
    const parent = changed(running(), { kind: 'has-children', attempt: 1 }, NOW) ?? running()
    const waits = [{ kind: 'children', name: 'all', withinMs: null, left: 0 } as const]
    const waiting = changed(parent, { kind: 'finish', attempt: 1, outcome: { kind: 'suspended', waits } }, NOW)
    const retryIn = (ms: number) => waiting && estimate(waiting, {}, ms).retryAfterMs
    expect(retryIn(0)).toBe(1000)
    expect(retryIn(60_000)).toBeGreaterThan(retryIn(30_000) ?? 0)
    expect(retryIn(60_000)).toBeLessThan(60_000)
  })

  it('expects a delayed operation not before its start time, and gives it no place', () => {
    const later = estimate(pending('a', 60_000), { durations: alike(2000), ready: ['x'], depth: 1 })
    expect(later.completionAt).toBe(NOW + 62_000)
    expect(later.retryAfterMs).toBeGreaterThanOrEqual(60_000)
    expect(later).not.toHaveProperty('queuePosition')
  })
})

describe('an estimate of a running operation', () => {
  it('uses the durations that are longer than its age', () => {
    const durations = [...alike(10_000), ...alike(60_000)]
    expect(estimate(running(), { durations }, 20_000).completionAt).toBe(NOW + 60_000)
  })

  it('uses the progress that its handler reports', () => {
    const operation = running({ fraction: 0.25, at: 10_000 })
    expect(estimate(operation, { durations: alike(1000) }, 15_000).completionAt).toBe(NOW + 40_000)
  })

  it('ignores a progress by which it should have ended already', () => {
    const operation = running({ fraction: 0.5, at: 1000 })
    expect(estimate(operation, { durations: alike(50_000) }, 10_000).completionAt).toBe(NOW + 50_000)
  })

  it('suggests growing poll intervals if it runs longer than all earlier ones, and has no time', () => {
    const waits = [100_000, 200_000, 400_000].map(after => estimate(running(), { durations: alike(1000) }, after))
    expect(waits.map(({ retryAfterMs }) => retryAfterMs)).toEqual(
      waits.map(({ retryAfterMs }) => retryAfterMs).toSorted((a, b) => a - b),
    )
    for (const it of waits) expect(it).not.toHaveProperty('completionAt')
  })

  it('has no place in the queue', () => {
    expect(estimate(running(), { durations: alike(1000) })).not.toHaveProperty('queuePosition')
  })
})

describe('every estimate', () => {
  it('is a whole number of milliseconds from one second to five minutes, and expects no end in the past', () => {
    const view = fc.record({
      ready: fc.uniqueArray(fc.constantFrom('a', 'b', 'c')),
      depth: fc.nat(10_000),
      running: fc.nat(10_000),
      oldestAt: fc.constant(null),
      durations: fc.array(fc.nat(10_000_000), { maxLength: 100 }),
    })
    const operation = fc.oneof(
      fc.nat(10_000_000).map(delay => pending('a', delay)),
      fc.record({ fraction: fc.double({ min: 0, max: 1, noNaN: true }), at: fc.nat(100_000) }).map(running),
    )
    fc.assert(
      // The clock of this process may be behind that of the store.
      fc.property(operation, view, fc.integer({ min: -100_000, max: 10_000_000 }), (it, of, after) => {
        const { retryAfterMs, queuePosition, completionAt } = new QueueModel(of, NOW + 1).estimate(it, NOW + after)
        expect(Number.isInteger(retryAfterMs)).toBe(true)
        expect(retryAfterMs).toBeGreaterThanOrEqual(1000)
        expect(retryAfterMs).toBeLessThanOrEqual(300_000)
        if (queuePosition !== undefined) expect(queuePosition).toBeGreaterThanOrEqual(1)
        if (completionAt !== undefined) expect(completionAt).toBeGreaterThanOrEqual(NOW + after)
      }),
    )
  })
})

describe('an estimator', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  /** A store that counts how often its queue is read. */
  async function counting(): Promise<{ store: Store; reads: () => number; fail: (it: boolean) => void }> {
    const store = sqliteStore({ path: ':memory:' })
    await store.open()
    const queue = store.queueStats.bind(store)
    let reads = 0
    let failing = false
    store.queueStats = async type => {
      reads++
      if (failing) throw new Error('The store is away.')
      return await queue(type)
    }
    return {
      store,
      reads: () => reads,
      fail: it => {
        failing = it
      },
    }
  }

  it('reads a queue once for all requests of a moment, and each type separately', async () => {
    const { store, reads } = await counting()
    const estimator = new Estimator(store)
    const operation = acceptedOperation(await store.accept(submissionOf('a')))
    const other = { ...operation, type: 'refunds' }
    await Promise.all([operation, operation, operation, other].map(it => estimator.estimate(it)))
    expect(reads()).toBe(2)
    await store.close()
  })

  it('reads a queue for a fiftieth of the time, but after 5 s at the latest', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const { store, reads } = await counting()
    const operation = acceptedOperation(await store.accept(submissionOf('a')))
    const queue = store.queueStats.bind(store)
    let takes = 40
    store.queueStats = async type => {
      vi.advanceTimersByTime(takes)
      return await queue(type)
    }
    const estimator = new Estimator(store)
    await estimator.estimate(operation)
    vi.advanceTimersByTime(1950)
    await estimator.estimate(operation)
    await estimator.readQueue(operation.type, 50)
    expect(reads()).toBe(1)
    vi.advanceTimersByTime(20)
    takes = 1000
    await estimator.estimate(operation)
    expect(reads()).toBe(2)
    vi.advanceTimersByTime(3990)
    await estimator.estimate(operation)
    expect(reads()).toBe(2)
    vi.advanceTimersByTime(20)
    await estimator.estimate(operation)
    expect(reads()).toBe(3)
    await store.close()
  })

  it('does not repeat an old failure', async () => {
    const { store, fail } = await counting()
    const estimator = new Estimator(store)
    const operation = acceptedOperation(await store.accept(submissionOf('a')))
    fail(true)
    await expect(estimator.estimate(operation)).rejects.toThrow('The store is away.')
    fail(false)
    expect(await estimator.estimate(operation)).toMatchObject({ queuePosition: 1 })
    await store.close()
  })
})
