/** Requests that are held until something watcher. */
import { once } from 'node:events'
import { Agent, get as httpGet, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, vi } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { OperationWatcher } from '../../src/service/operation-watcher.ts'
import { acceptedOperation, type Hint, type Store } from '../../src/stores/store.ts'
import { accepted, documentOf, post } from '../support/http.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { ANYONE, openOrderServer, orders } from '../support/order-server.ts'
import { type Api, idOf, postJson, SERVERS, serveFastify } from '../support/servers.ts'
import { submissionOf } from '../support/submission.ts'
import { faultyStore, hasStatus, type TestContext, test, until } from '../support/waybill.ts'

const NEVER = 2 ** 31 - 1
const nobody = { signal: new AbortController().signal }

afterEach(() => {
  vi.useRealTimers()
})

describe('Prefer', () => {
  /** What is applied of a preference by a POST whose order ends at once. */
  const cases: [prefer: string | string[], applied: string | undefined, code: number][] = [
    ['wait=60', 'wait=60', 200],
    ['Wait="60"', 'wait=60', 200],
    ['wait=60, wait=0', 'wait=60', 200],
    [['wait=60', 'wait=0'], 'wait=60', 200],
    ['respond-async, wait=60', 'respond-async, wait=60', 200],
    ['foo="a, wait=3, b", bar="\\", wait=4"; baz="wait=5,", wait=60', 'wait=60', 200],
    ['foo="not closed, wait=3', undefined, 202],
    ['wait="60" ; why="a, b"', 'wait=60', 200],
    ['wait=2147483648', 'wait=60', 200],
    [`wait=${'9'.repeat(400)}`, 'wait=60', 200],
    ['handling=lenient; strict, unknown, wait = 60 ; foo=bar', 'wait=60', 200],
    ['respond-async', 'respond-async', 202],
    ['wait', undefined, 202],
    ['wait=', undefined, 202],
    ['wait=-1', undefined, 202],
    ['wait=1.5', undefined, 202],
    ['wait=soon', undefined, 202],
    ['waiting=60', undefined, 202],
    ['return=minimal', undefined, 202],
  ]
  for (const [prefer, applied, code] of cases) {
    test(`${JSON.stringify(prefer)}: ${code}, Preference-Applied ${applied}`, async ({ lab }) => {
      const served = await openOrderServer(lab)
      const answer = await served.app.inject({
        method: 'POST',
        url: '/orders',
        payload: { wish: 'complete' },
        headers: { prefer },
      })
      expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([code, applied])
    })
  }

  test('with a very long wait is limited to the maximum of the server', async ({ lab }) => {
    const served = await openOrderServer(lab, { api: { maxWait: 1000 } })
    const answer = await post(served, '/orders', { wish: 'hold' }, { prefer: 'wait=999999999999' })
    expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([202, 'wait=1'])
    expect(served.waybill.operations.waiting).toBe(0)
  })

  test('that waits for a change receives each change, and 304 without one', async ({ lab }) => {
    const served = await openOrderServer(lab, { waybill: { worker: false }, api: { maxWait: 500 } })
    const id = await accepted(served, '/orders', { wish: 'complete' })
    const url = `/orders/status/${id}`
    let etag = String((await served.app.inject(url)).headers.etag)
    const next = async (change: () => Promise<unknown>) => {
      const held = served.app.inject({ url, headers: { prefer: 'wait=60', 'if-none-match': etag } })
      await until(() => served.waybill.operations.waiting === 1)
      await change()
      const answer = await held
      if (answer.statusCode === 200) etag = String(answer.headers.etag)
      return answer
    }
    const begun = await next(() => served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } }))
    expect([begun.statusCode, documentOf(begun).status]).toEqual([200, 'running'])
    const unchanged = await next(async () => {})
    expect([unchanged.statusCode, unchanged.headers['preference-applied']]).toEqual([304, 'wait=0'])
    expect(unchanged.headers.etag).toBe(etag)
    const outcome = { kind: 'completed', output: '1' } as const
    const ended = await next(() => served.store.change(id, { kind: 'finish', attempt: 1, outcome }))
    expect([ended.statusCode, ended.headers.location]).toEqual([303, `/orders/${id}`])
  })
})

describe('a client that disconnects', () => {
  for (const [name, door] of Object.entries(SERVERS)) {
    test(`over ${name} is no longer waited for`, async ({ lab }) => {
      const { waybill } = await openOrderServer(lab)
      const api = await door(lab, waybill)
      const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
      const gone = new AbortController()
      const asked = [
        api.ask(`/orders/status/${id}`, { headers: { prefer: 'wait=60' }, signal: gone.signal }),
        api.ask('/orders', { ...postJson({ wish: 'hold' }, { prefer: 'wait=60' }), signal: gone.signal }),
      ]
      await until(() => waybill.operations.waiting === 2)
      gone.abort()
      await Promise.allSettled(asked)
      await until(() => waybill.operations.waiting === 0)
    })
  }

  for (const name of ['Fastify', 'node:http']) {
    test(`over ${name} before its operation is read is not waited for`, async ({ lab }) => {
      const { store, gate, reads } = slowReads(await lab.store())
      const { waybill } = await openOrderServer(lab, { waybill: { store, worker: false } })
      const api = await SERVERS[name]?.(lab, waybill)
      if (api?.server === undefined) throw new Error(`There is no ${name}.`)
      const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
      const connected = once(api.server, 'connection') as Promise<[Socket]>
      const request = httpGet(`${api.url}/orders/status/${id}`, { headers: { prefer: 'wait=60' } })
      request.on('error', () => {})
      const [socket] = await connected
      await until(() => reads.length === 1)
      expect(waybill.operations.waiting).toBe(1)
      request.destroy()
      await once(socket, 'close')
      gate.resolve()
      // What was read for it says that it may wait; but there is nobody.
      await until(() => waybill.operations.waiting === 0)
      expect(reads).toEqual([id])
    })
  }

  /** A store whose reads are held back until the gate is open. */
  function slowReads(real: Store): { store: Store; gate: PromiseWithResolvers<void>; reads: string[] } {
    const gate = Promise.withResolvers<void>()
    const reads: string[] = []
    const read = async (id: string) => {
      reads.push(id)
      await gate.promise
      return await real.read(id)
    }
    const store = new Proxy(real, {
      get: (target, name: keyof Store) => {
        if (name === 'read') return read
        const method = target[name] as ((...given: unknown[]) => unknown) | undefined
        return method?.bind(target)
      },
    })
    return { store, gate, reads }
  }
})

test('above the limit of waiting requests, a request is answered at once', async ({ lab }) => {
  const served = await openOrderServer(lab, { waybill: { maxWaitingRequests: 2 } })
  const id = await accepted(served, '/orders', { wish: 'hold' })
  const ask = () => served.app.inject({ url: `/orders/status/${id}`, headers: { prefer: 'wait=60' } })
  const held = [ask(), ask()]
  await until(() => served.waybill.operations.waiting === 2)
  for (let n = 0; n < 20; n++) {
    const answer = await ask()
    expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([200, undefined])
  }
  expect((await post(served, '/orders', { wish: 'hold' }, { prefer: 'wait=60' })).statusCode).toBe(202)
  served.desk.letGo()
  expect((await Promise.all(held)).map(({ statusCode }) => statusCode)).toEqual([303, 303])
})

test('a service that shuts down answers all waiting requests', async ({ lab }) => {
  const served = await openOrderServer(lab)
  const ids = [await accepted(served, '/orders', { wish: 'hold' }), await accepted(served, '/orders', { wish: 'hold' })]
  const held = Array.from({ length: 50 }, (_, n) => {
    const url = `/orders/status/${ids[n % 2]}`
    return served.app.inject({ url, headers: { prefer: 'wait=60' } })
  })
  await until(() => served.waybill.operations.waiting === 50)
  served.waybill.operations.drain()
  expect(new Set((await Promise.all(held)).map(({ statusCode }) => statusCode))).toEqual(new Set([200]))
  expect(served.waybill.operations.waiting).toBe(0)
  const late = await served.app.inject({ url: `/orders/status/${ids[0]}`, headers: { prefer: 'wait=60' } })
  expect([late.statusCode, late.headers['preference-applied']]).toEqual([200, undefined])
})

test('a store that becomes unreachable ends the waits, and an accepted order stays accepted', async ({ lab }) => {
  const { store, cut } = faultyStore(await lab.store())
  const served = await openOrderServer(lab, { waybill: { store, worker: false } })
  cut.add('read').add('queueStats')
  const answer = await post(served, '/orders', { wish: 'hold' }, { prefer: 'wait=60' })
  expect([answer.statusCode, answer.headers['preference-applied']]).toEqual([202, undefined])
})

describe('no change is missed', () => {
  async function raceOf(store: Store, changing: Store, rounds: number): Promise<void> {
    // The slow look that stands under the hints never comes.
    vi.useFakeTimers({ toFake: ['setInterval'] })
    const watcher = new OperationWatcher({ store, maxWaiting: 10 })
    for (let round = 0; round < rounds; round++) {
      const operation = acceptedOperation(await store.accept(submissionOf(crypto.randomUUID())))
      const waited = watcher.waitUntil(operation.id, ({ status }) => status === 'canceled', { ms: NEVER, ...nobody })
      // The change falls into another moment of the subscription each time.
      for (let n = 0; n < round % 7; n++) await Promise.resolve()
      for (let n = 0; n < round % 3; n++) await turn()
      await changing.change(operation.id, { kind: 'cancel' })
      expect(await waited).toMatchObject({ status: 'canceled' })
      expect(watcher.waiting).toBe(0)
    }
    watcher.close()
  }

  test('in this process, directly after the subscription', async ({ lab }) => {
    const store = await lab.store()
    await raceOf(store, store, 400)
  })

  test('by a writer on a thread', async ({ lab }) => {
    const store = await lab.store(lab.file())
    await raceOf(store, store, 100)
  })

  test('by another process on the same file', async ({ lab }) => {
    const file = lab.file()
    await raceOf(await lab.store(file), await lab.store(file), 21)
  })

  test('before the subscription', async ({ lab }) => {
    const store = await lab.store()
    const operation = acceptedOperation(await store.accept(submissionOf(crypto.randomUUID())))
    await store.change(operation.id, { kind: 'cancel' })
    const watcher = new OperationWatcher({ store, maxWaiting: 1 })
    const found = await watcher.waitUntil(operation.id, ({ status }) => status === 'canceled', { ms: NEVER, ...nobody })
    expect(found?.status).toBe('canceled')
    expect(await watcher.waitUntil('none', () => false, { ms: NEVER, ...nobody })).toBeUndefined()
  })
})

describe('a wait with hints that', () => {
  /** A store with hints of the test's own, and an operation in it that is canceled without any. */
  async function hintless(lab: TestContext) {
    const store = await lab.store()
    const operation = acceptedOperation(await store.accept(submissionOf(crypto.randomUUID())))
    const listeners = new Set<(hint: Hint) => void>()
    const watch = (listener: (hint: Hint) => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    }
    const read = vi.fn((id: string) => store.read(id))
    const without = new Proxy(store, {
      get: (target, name) => {
        const own = { watch, read }[name as 'watch']
        return own ?? Reflect.get(target, name).bind(target)
      },
    })
    const tell = (hint: Hint = { kind: 'unknown' }) => {
      for (const listener of listeners) listener(hint)
    }
    return { store, without, read, id: operation.id, tell }
  }

  test('are all lost ends with the poll each 5 seconds', async ({ lab }) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const { store, without, id } = await hintless(lab)
    const watcher = new OperationWatcher({ store: without, maxWaiting: 1 })
    const waited = watcher.waitUntil(id, ({ status }) => status === 'canceled', { ms: NEVER, ...nobody })
    await turn()
    await store.change(id, { kind: 'cancel' })
    vi.advanceTimersByTime(5000)
    expect(await waited).toMatchObject({ status: 'canceled' })
    watcher.close()
  })

  test('contain the ended record is answered from it, without a read', async ({ lab }) => {
    const { store, without, read, id, tell } = await hintless(lab)
    const watcher = new OperationWatcher({ store: without, maxWaiting: 1 })
    const waited = watcher.waitUntil(id, ({ status }) => status === 'canceled', { ms: NEVER, ...nobody })
    await turn()
    read.mockClear()
    const operation = await store.change(id, { kind: 'cancel' })
    tell({ kind: 'ended', id, operation })
    expect(await waited).toEqual(operation)
    expect(read).not.toHaveBeenCalled()
    watcher.close()
  })

  test('name no operation reads again at the first one, and once for all hints of the next moment', async ({ lab }) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'] })
    const { store, without, read, id, tell } = await hintless(lab)
    const watcher = new OperationWatcher({ store: without, maxWaiting: 1 })
    const waited = watcher.waitUntil(id, ({ status }) => status === 'canceled', { ms: NEVER, ...nobody })
    await turn()
    read.mockClear()
    tell()
    vi.advanceTimersByTime(1)
    expect(read).toHaveBeenCalledTimes(1)
    // It came while the others were read again, so what was read may be older than it.
    tell()
    for (let n = 0; n < 3; n++) await turn()
    await store.change(id, { kind: 'cancel' })
    for (let n = 0; n < 10; n++) tell()
    vi.advanceTimersByTime(1)
    expect(read).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(10)
    expect(read).toHaveBeenCalledTimes(2)
    expect(await waited).toMatchObject({ status: 'canceled' })
    watcher.close()
  })
})

test('an API wakes for changes of another one on the same file', async ({ lab }) => {
  const file = lab.file()
  const here = await openOrderServer(lab, { waybill: { worker: false, store: sqliteStore({ path: file }) } })
  const there = await openOrderServer(lab, { waybill: { store: sqliteStore({ path: file }) } })
  const held = post(here, '/orders', { wish: 'complete' }, { prefer: 'wait=60' })
  const answer = await held
  expect([answer.statusCode, answer.json<{ status: string }>().status]).toEqual([200, 'completed'])
  expect(there.waybill.operations.waiting).toBe(0)
})

/** More than the connections that a server lets wait to be accepted: 511. */
const MANY = atLength(600, 2000)

describe(`${MANY} long polls`, () => {
  async function park(lab: TestContext, api: Api, id: string): Promise<Promise<number | undefined>[]> {
    const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY })
    lab.onEnd(() => agent.destroy())
    return Array.from({ length: MANY }, async () => {
      // Longer than a busy machine takes to park them all.
      const options = { agent, headers: { prefer: 'wait=200' } }
      const request = httpGet(`${api.url}/orders/status/${id}`, options)
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      response.resume()
      return response.statusCode
    })
  }

  test('of one order all receive its end', async ({ lab }) => {
    const { desk, waybill } = await openOrderServer(lab)
    const api = await serveFastify(lab, waybill, { maxWait: '200s' })
    const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
    const parked = await park(lab, api, id)
    await until(() => waybill.operations.waiting === MANY)
    desk.letGo()
    expect(new Set(await Promise.all(parked))).toEqual(new Set([303]))
    expect(waybill.operations.waiting).toBe(0)
  })

  onlyLong(() => {
    test('of as many orders each receive theirs', async ({ lab }) => {
      const served = await openOrderServer(lab, { waybill: { worker: false } })
      const submitted = Array.from({ length: MANY }, () =>
        served.waybill.operations.submit(orders, { input: { wish: 'hold' }, owner: ANYONE }),
      )
      const ids = (await Promise.all(submitted)).map(({ operation }) => operation.id)
      const parked = ids.map(id => served.app.inject({ url: `/orders/status/${id}`, headers: { prefer: 'wait=60' } }))
      await until(() => served.waybill.operations.waiting === MANY)
      await Promise.all(ids.map(id => served.store.change(id, { kind: 'cancel' })))
      const answers = await Promise.all(parked)
      expect(answers.map(({ headers }) => headers.location)).toEqual(ids.map(id => `/orders/${id}`))
      expect(served.waybill.operations.waiting).toBe(0)
      await hasStatus(served.store, ids[0] ?? '', 'canceled')
    })
  })()
})
