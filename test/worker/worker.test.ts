import { describe, expect, vi } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Hint, Store } from '../../src/stores/store.ts'
import {
  faultyStore,
  hasFinished,
  hasStatus,
  KeptLog,
  recordOf,
  resultOf,
  submit,
  test,
  until,
  when,
} from '../support/waybill.ts'

const apples = defineOperation({ name: 'apples', backoff: { initial: 10 } })
const pears = defineOperation({ name: 'pears' })

/** Ends when the attempt is told to stop, with the reason. */
function untilStopped(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

describe('claiming', () => {
  test('claims no more operations than it has slots', async ({ lab }) => {
    let [running, most] = [0, 0]
    const open = Promise.withResolvers<void>()
    const handlers = handler(apples, async () => {
      most = Math.max(most, ++running)
      await open.promise
      running--
    })
    const { store, operations } = await lab.waybill([apples], { worker: { handlers, concurrency: 3 } })
    const submitted = await Promise.all(Array.from({ length: 8 }, () => operations.submit(apples, { input: null })))
    await until(() => running === 3)
    const statuses = await Promise.all(
      submitted.map(async ({ operation }) => (await recordOf(store, operation.id)).status),
    )
    expect(statuses.filter(status => status === 'pending')).toHaveLength(5)
    open.resolve()
    for (const { operation } of submitted) await hasStatus(store, operation.id, 'completed')
    expect(most).toBe(3)
  })

  test('runs no more attempts at once than it has slots, even if it claims ahead', async ({ lab }) => {
    let [running, most] = [0, 0]
    const runs: string[] = []
    const handlers = handler(apples, async (_, { id }) => {
      most = Math.max(most, ++running)
      runs.push(id)
      await null
      running--
    })
    const store = await lab.store()
    const before = lab.composition([apples], { store })
    const ids = await Promise.all(Array.from({ length: 300 }, () => submit(before, apples)))
    await lab.waybill([apples], { store, worker: { handlers, concurrency: 3 } })
    for (const id of ids) await hasStatus(store, id, 'completed')
    expect(most).toBe(3)
    expect(runs.toSorted()).toEqual(ids.toSorted())
  })

  test('respects the concurrency of a type while others use the rest', async ({ lab }) => {
    const narrow = defineOperation({ name: 'narrow', concurrency: 1 })
    const running = { narrow: 0, pears: 0 }
    const open = Promise.withResolvers<void>()
    const handlers = [
      handler(narrow, async () => {
        expect(++running.narrow).toBe(1)
        await open.promise
        running.narrow--
      }),
      handler(pears, async () => {
        running.pears++
        await open.promise
      }),
    ]
    const waybill = await lab.waybill([narrow, pears], { worker: { handlers, concurrency: 4 } })
    const ids = [
      ...(await Promise.all([1, 2, 3].map(() => submit(waybill, narrow)))),
      ...(await Promise.all([1, 2, 3].map(() => submit(waybill, pears)))),
    ]
    await until(() => running.pears === 3)
    open.resolve()
    for (const id of ids) await hasStatus(waybill.store, id, 'completed')
  })

  test('lets no type starve behind the backlog of another', async ({ lab }) => {
    const order: string[] = []
    const handlers = [handler(apples, () => void order.push('apples')), handler(pears, () => void order.push('pears'))]
    const store = await lab.store()
    const before = lab.composition([apples, pears], { store })
    const ids: string[] = []
    for (let n = 0; n < 10; n++) ids.push(await submit(before, apples), await submit(before, pears))
    await lab.waybill([apples, pears], { store, worker: { handlers, concurrency: 1 } })
    for (const id of ids) await hasFinished(store, id)
    expect(new Set(order.slice(0, 4))).toEqual(new Set(['apples', 'pears']))
    // How many a claim takes ahead depends on how fast the machine is, so they need not be exactly half.
    const pearsFirst = order.slice(0, 10).filter(name => name === 'pears').length
    expect(pearsFirst).toBeGreaterThanOrEqual(3)
    expect(pearsFirst).toBeLessThanOrEqual(7)
  })

  test('claims a higher priority first, and equal ones in the order of their arrival', async ({ lab }) => {
    const urgent = defineOperation({ name: 'apples', priority: 5 })
    const order: unknown[] = []
    const handlers = handler(apples, input => void order.push(input))
    const store = await lab.store()
    const before = lab.composition([apples], { store })
    for (const input of ['first', 'second']) {
      await submit(before, apples, input)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    const last = await submit(lab.composition([urgent], { store }), urgent, 'urgent')
    await lab.waybill([apples], { store, worker: { handlers, concurrency: 1 } })
    await hasFinished(store, last)
    await until(() => order.length === 3)
    expect(order).toEqual(['urgent', 'first', 'second'])
  })

  test('several workers on one file never share an operation', async ({ lab }) => {
    const path = lab.file()
    const runs: string[] = []
    const handlers = handler(apples, async (_, job) => {
      runs.push(`${job.id} ${job.attempt}`)
      await new Promise(resolve => setTimeout(resolve, 1))
    })
    const workers = await Promise.all(
      [1, 2, 3].map(() =>
        lab.waybill([apples], {
          store: sqliteStore({ path, synchronous: 'NORMAL', writer: 'inline' }),
          worker: { handlers, concurrency: 4 },
        }),
      ),
    )
    const ids: string[] = []
    for (let n = 0; n < 20; n++) ids.push(...(await Promise.all(workers.map(worker => submit(worker, apples)))))
    const store = await lab.store(path)
    for (const id of ids) await hasStatus(store, id, 'completed')
    expect(runs.toSorted()).toEqual(ids.map(id => `${id} 1`).toSorted())
    const holders = await Promise.all(ids.map(async id => (await recordOf(store, id)).history[0]?.holder))
    expect(new Set(holders).size).toBeGreaterThan(1)
  })

  test('does not claim a delayed operation before its time', async ({ lab }) => {
    const waybill = await lab.waybill([apples], { worker: { handlers: handler(apples, () => {}) } })
    const id = await submit(waybill, apples, null, { delay: 300 })
    const { createdAt, startedAt } = await hasFinished(waybill.store, id)
    expect((startedAt ?? 0) - createdAt).toBeGreaterThanOrEqual(300)
  })

  test('does not claim again for its free slots once it has emptied the queue', async ({ lab }) => {
    const store = await lab.store()
    const claim = vi.spyOn(store, 'claim')
    let hints = 0
    const unwatch = store.watch(({ kind }) => void (kind === 'ready' && hints++))
    const worker = { handlers: handler(apples, () => 'apple'), concurrency: 2, pollInterval: '1h' } as const
    const waybill = await lab.waybill([apples], { store, worker })
    for (let n = 0; n < 3; n++) await hasStatus(store, await submit(waybill, apples), 'completed')
    unwatch()
    // One at the start, and one for each hint.
    const own = claim.mock.calls.filter(
      ([{ from }]) => 'types' in from && from.types.some(it => it.type === apples.name),
    )
    expect(own.length).toBeLessThanOrEqual(1 + hints)
    claim.mockRestore()
  })

  test('leaves a type that it has no handler for to other workers', async ({ lab }) => {
    const waybill = await lab.waybill([apples, pears], { worker: { handlers: handler(pears, () => 'pear') } })
    const apple = await submit(waybill, apples)
    expect(await resultOf(waybill.store, await submit(waybill, pears))).toBe('pear')
    expect(await recordOf(waybill.store, apple)).toMatchObject({ status: 'pending', attempt: 0 })
  })

  test('does not start without a handler for any of its types', async ({ lab }) => {
    const waybill = lab.composition([apples], { worker: { handlers: handler(pears, () => {}) } })
    await expect(waybill.start()).rejects.toThrow('a handler for none of its operation types (apples)')
  })

  test('continues when the store is reachable again', async ({ lab }) => {
    const { store, cut, calls } = faultyStore(await lab.store())
    const waybill = await lab.waybill([apples], { store, worker: { handlers: handler(apples, () => 'done') } })
    cut.add('claim').add('sweep').add('listActive')
    const before = calls.get('claim') ?? 0
    const id = await submit(waybill, apples)
    await until(() => (calls.get('claim') ?? 0) >= before + 3)
    cut.clear()
    expect(await resultOf(store, id)).toBe('done')
  })
})

describe.concurrent('leases', () => {
  const leaseDuration = 3000

  test('renewals at a third of the lease keep a long run alive', async ({ lab }) => {
    const { store, calls } = faultyStore(await lab.store())
    const handlers = handler(apples, async () => await new Promise(resolve => setTimeout(() => resolve('long'), 4000)))
    const waybill = await lab.waybill([apples], { store, worker: { handlers, leaseDuration } })
    const id = await submit(waybill, apples)
    const first = await hasStatus(store, id, 'running')
    await when(store, id, operation => (operation.leaseUntil ?? 0) > (first.leaseUntil ?? 0))
    const { status, attempt, lost } = await hasFinished(store, id)
    expect({ status, attempt, lost }).toEqual({ status: 'completed', attempt: 1, lost: 0 })
    expect(calls.get('renew')).toBeGreaterThanOrEqual(3)
  })

  test('a lost lease stops the handler, whose later writes do not count', async ({ lab }) => {
    const seen: string[] = []
    const late = Promise.withResolvers<unknown>()
    const handlers = handler(apples, async (_, job) => {
      if (job.attempt > 1) return 'second'
      await untilStopped(job.signal).catch((reason: Error) => seen.push(reason.name))
      job.progress(0.99, 'late')
      job.log('late')
      await job.step('late', () => 1).catch(late.resolve)
      return 'first'
    })
    const waybill = await lab.waybill([apples], {
      worker: { handlers, leaseDuration, concurrency: 2, gracePeriod: 2000 },
    })
    const id = await submit(waybill, apples)
    await hasStatus(waybill.store, id, 'running')
    await waybill.store.change(id, { kind: 'abandon', attempt: 1, reason: 'The test takes it away.' })
    expect(await resultOf(waybill.store, id)).toBe('second')
    expect(await late.promise).toMatchObject({ name: 'LeaseLostError' })
    expect(seen).toEqual(['LeaseLostError'])
    const { history, progress, lost } = await recordOf(waybill.store, id)
    expect(history.map(({ number, outcome }) => [number, outcome])).toEqual([
      [1, 'lost'],
      [2, 'completed'],
    ])
    expect({ progress, lost }).toEqual({ progress: null, lost: 1 })
    expect(await waybill.store.logs(id, 0)).toEqual([])
    expect((await waybill.store.steps(id)).size).toBe(0)
  })

  for (const trouble of ['cut', 'hung'] as const) {
    const how = trouble === 'cut' ? 'fail' : 'are never answered'
    test(`renewals that ${how} stop the handler before its lease expires`, async ({ lab }) => {
      const store = faultyStore(await lab.store())
      const stopped = Promise.withResolvers<{ name: string; leaseLeft: number }>()
      const handlers = handler(apples, async (_, job) => {
        if (job.attempt > 1) return 'second'
        const reason = (await untilStopped(job.signal).catch((error: unknown) => error)) as Error
        const stoppedAt = Date.now()
        const { leaseUntil } = await recordOf(store.store, job.id)
        stopped.resolve({ name: reason.name, leaseLeft: (leaseUntil ?? 0) - stoppedAt })
        throw reason
      })
      const waybill = await lab.waybill([apples], { store: store.store, worker: { handlers, leaseDuration } })
      store[trouble].add('renew')
      const id = await submit(waybill, apples)
      const { name, leaseLeft } = await stopped.promise
      store[trouble].clear()
      expect(name).toBe('LeaseLostError')
      expect(leaseLeft).toBeGreaterThan(0)
      expect(await resultOf(store.store, id)).toBe('second')
    })
  }

  test('a store that fails for less than the lease does not stop the handler', async ({ lab }) => {
    const { store, cut, calls } = faultyStore(await lab.store())
    const handlers = handler(apples, async (_, job) => {
      const done = new Promise(resolve => setTimeout(() => resolve('unharmed'), 3500))
      return await Promise.race([done, untilStopped(job.signal)])
    })
    const waybill = await lab.waybill([apples], { store, worker: { handlers, leaseDuration } })
    cut.add('renew')
    const id = await submit(waybill, apples)
    await until(() => (calls.get('renew') ?? 0) >= 2)
    cut.clear()
    expect(await resultOf(store, id)).toBe('unharmed')
    expect((await recordOf(store, id)).attempt).toBe(1)
  })

  test('a renewal of a busy record neither stops the handler nor counts', async ({ lab }) => {
    const real = await lab.store()
    const renew = vi.spyOn(real, 'renew').mockImplementation(async leases => leases.map(() => ({ kind: 'busy' })))
    const signals: AbortSignal[] = []
    const handlers = handler(apples, async (_, job) => {
      signals.push(job.signal)
      await untilStopped(job.signal)
    })
    const waybill = await lab.waybill([apples], { store: real, worker: { handlers, leaseDuration } })
    const id = await submit(waybill, apples)
    await hasStatus(real, id, 'running')
    renew.mockClear()
    await until(() => renew.mock.calls.length > 0)
    expect(signals[0]?.aborted).toBe(false)
    await until(() => signals[0]?.aborted)
    expect(signals[0]?.reason).toMatchObject({ name: 'LeaseLostError' })
    renew.mockRestore()
  })

  test('an outcome is recorded when the store is reachable again', async ({ lab }) => {
    const { store, cut, calls } = faultyStore(await lab.store())
    const handlers = handler(apples, () => {
      cut.add('change')
      return 'kept'
    })
    const logger = new KeptLog()
    const waybill = await lab.waybill([apples], { store, logger, worker: { handlers, leaseDuration } })
    const id = await submit(waybill, apples)
    await until(() => (calls.get('change') ?? 0) >= 3)
    expect((await recordOf(store, id)).status).toBe('running')
    cut.clear()
    expect(await resultOf(store, id)).toBe('kept')
    expect((await recordOf(store, id)).attempt).toBe(1)
    expect(logger.lines.map(({ message }) => message)).toContain('Could not record an outcome; will retry')
  })
})

describe('cancel and timeout', () => {
  test('a cancel reaches a running handler in the same process', async ({ lab }) => {
    const reasons: string[] = []
    const handlers = handler(apples, async (_, job) => {
      await untilStopped(job.signal).catch((reason: Error) => {
        reasons.push(reason.name)
        throw reason
      })
    })
    const waybill = await lab.waybill([apples], { worker: { handlers, leaseDuration: '1h', pollInterval: '1h' } })
    const id = await submit(waybill, apples)
    await hasStatus(waybill.store, id, 'running')
    expect(await waybill.operations.cancel(id, '')).toMatchObject({ status: 'running', cancelRequested: true })
    const { history, error } = await hasStatus(waybill.store, id, 'canceled')
    expect(reasons).toEqual(['CanceledError'])
    expect(error).toMatchObject({ code: 'operation-canceled', status: 410 })
    expect(history).toMatchObject([{ number: 1, outcome: 'canceled' }])
  })

  test('a cancel from another process reaches the handler, with the next renewal at the latest', async ({ lab }) => {
    const path = lab.file()
    const handlers = handler(apples, async (_, job) => await untilStopped(job.signal))
    const worker = await lab.waybill([apples], {
      store: sqliteStore({ path }),
      worker: { handlers, leaseDuration: 3000 },
    })
    const api = await lab.waybill([apples], { store: sqliteStore({ path }) })
    const id = await submit(api, apples)
    await hasStatus(worker.store, id, 'running')
    await api.operations.cancel(id, '')
    await hasStatus(api.store, id, 'canceled')
  })

  test('many unspecific hints cause few reads of the attempts', async ({ lab }) => {
    const { store, calls } = faultyStore(sqliteStore({ path: ':memory:' }))
    const listeners: ((hint: Hint) => void)[] = []
    const hinting = Object.create(store, {
      watch: {
        value: (listener: (hint: Hint) => void) => {
          listeners.push(listener)
          return store.watch(listener)
        },
      },
    }) as Store
    const handlers = handler(apples, async (_, job) => await untilStopped(job.signal))
    const waybill = await lab.waybill([apples], {
      store: hinting,
      worker: { handlers, concurrency: 5, leaseDuration: '1h' },
    })
    for (let count = 0; count < 5; count++) await hasStatus(store, await submit(waybill, apples), 'running')
    calls.clear()
    for (let count = 0; count < 1000; count++) for (const listener of listeners) listener({ kind: 'unknown' })
    await until(() => (calls.get('read') ?? 0) >= 10)
    expect(calls.get('read')).toBeLessThan(100)
  })

  test('a handler that completes after a request to cancel is completed', async ({ lab }) => {
    const handlers = handler(apples, async (_, job) => {
      await untilStopped(job.signal).catch(() => {})
      return 'too late to cancel'
    })
    const waybill = await lab.waybill([apples], { worker: { handlers } })
    const id = await submit(waybill, apples)
    await hasStatus(waybill.store, id, 'running')
    await waybill.operations.cancel(id, '')
    expect(await resultOf(waybill.store, id)).toBe('too late to cancel')
    await expect(waybill.operations.cancel(id, '')).rejects.toMatchObject({ problem: { code: 'operation-finished' } })
  })

  test('an inline handler that ignores a cancel is abandoned after the grace period', async ({ lab }) => {
    const handlers = handler(apples, async () => await new Promise<never>(() => {}))
    const waybill = await lab.waybill([apples], { worker: { handlers, gracePeriod: 50 } })
    const id = await submit(waybill, apples)
    await hasStatus(waybill.store, id, 'running')
    await waybill.operations.cancel(id, '')
    await hasStatus(waybill.store, id, 'canceled')
  })

  test('an attempt that times out is retried, and the operation fails with the last attempt', async ({ lab }) => {
    const hasty = defineOperation({ name: 'hasty', timeout: 50, attempts: 2, backoff: { initial: 10 } })
    const reasons: string[] = []
    const handlers = handler(hasty, async (_, job) => {
      await untilStopped(job.signal).catch((reason: Error) => {
        reasons.push(reason.name)
        throw reason
      })
    })
    const waybill = await lab.waybill([hasty], { worker: { handlers } })
    const id = await submit(waybill, hasty)
    const { status, error, history } = await hasFinished(waybill.store, id)
    expect(reasons).toEqual(['TimeoutError', 'TimeoutError'])
    expect({ status, code: error?.code, http: error?.status }).toEqual({
      status: 'failed',
      code: 'attempt-timeout',
      http: 504,
    })
    expect(history.map(({ outcome }) => outcome)).toEqual(['failed', 'failed'])
  })
})
