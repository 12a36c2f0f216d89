import { describe, expect, vi } from 'vitest'
import type { RateLimit } from '../../src/model/operation-type.ts'
import type { ProblemError } from '../../src/model/problem.ts'
import { Admission } from '../../src/service/admission.ts'
import { Estimator } from '../../src/service/estimator.ts'
import type { Store } from '../../src/stores/store.ts'
import { accepted, countOf, documentOf, post, problemOf } from '../support/http.ts'
import { ANYONE, type OpenOrderServer, openOrderServer, ordersWith } from '../support/order-server.ts'
import { faultyStore, hasStatus, type TestContext, test, until } from '../support/waybill.ts'

const ALL = 50

/** This many orders of a caller at once; gives the answers that refuse. */
async function atOnce(served: OpenOrderServer, count: number, headers: Record<string, string> = {}) {
  const order = { wish: 'hold' }
  const all = await Promise.all(Array.from({ length: count }, () => post(served, '/orders', order, headers)))
  return all.filter(({ statusCode }) => statusCode !== 202)
}

function open(lab: TestContext, policy: Parameters<typeof ordersWith>[0], worker?: false): Promise<OpenOrderServer> {
  return openOrderServer(lab, { type: ordersWith(policy), ...(worker === false && { waybill: { worker } }) })
}

describe('a limit of unfinished operations', () => {
  test('applies to concurrent requests, and to each caller separately', async ({ lab }) => {
    const served = await open(lab, { inFlightLimit: 5 })
    for (const user of ['ann', 'bob']) {
      const refused = await atOnce(served, ALL, { 'x-user': user })
      expect(new Set(refused.map(({ statusCode }) => statusCode))).toEqual(new Set([429]))
      expect(ALL - refused.length).toBe(5)
      // What was refused has left nothing.
      expect(await countOf(served.store, ordersWith(), user)).toBe(5)
    }
  })

  test('accepts another operation when one has finished', async ({ lab }) => {
    const served = await open(lab, { inFlightLimit: 1 })
    const id = await accepted(served, '/orders', { wish: 'hold' })
    const refused = await post(served, '/orders', { wish: 'hold' })
    expect(problemOf(refused).detail).toContain('You have 1 unfinished operations')
    await hasStatus(served.store, id, 'running')
    await served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })
    await hasStatus(served.store, id, 'canceled')
    await accepted(served, '/orders', { wish: 'complete' })
  })

  test('estimates when the next one finishes from the usual duration', async ({ lab }) => {
    const served = await open(lab, { inFlightLimit: 1 }, false)
    for (let n = 0; n < 3; n++) {
      const id = await accepted(served, '/orders', { wish: 'complete' })
      await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
      await served.store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
    }
    const view = { ...(await served.store.queueStats('orders')), durations: [30_000, 30_000, 30_000], running: 2 }
    const slow = new Proxy(served.store, {
      get: (target, name: keyof Store) => (name === 'queueStats' ? async () => view : target[name]),
    })
    const refusal = new Admission(new Estimator(slow)).describeRefusal(
      ordersWith({ inFlightLimit: 1 }),
      'inFlight',
      true,
    )
    expect((await refusal).retryAfterMs).toBe(15_000)
  })

  test('is not reached by equal concurrent requests, which are one operation', async ({ lab }) => {
    const served = await open(lab, { inFlightLimit: 1 }, false)
    const headers = { 'idempotency-key': '"one"' }
    const answers = await Promise.all([1, 2, 3].map(() => post(served, '/orders', { wish: 'hold' }, headers)))
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([202, 202, 202])
    expect(new Set(answers.map(answer => documentOf(answer).id)).size).toBe(1)
    expect((await post(served, '/orders', { wish: 'hold' })).statusCode).toBe(429)
  })
})

describe('a limit of the backlog', () => {
  test('applies to concurrent and sequential requests of all callers', async ({ lab }) => {
    const served = await open(lab, { backlogLimit: 5 }, false)
    const refused = await atOnce(served, ALL, { 'x-user': 'ann' })
    expect(ALL - refused.length).toBe(5)
    for (const answer of refused) {
      expect([answer.statusCode, problemOf(answer).code]).toEqual([503, 'unavailable'])
      expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    }
    expect(await atOnce(served, 3, { 'x-user': 'bob' })).toHaveLength(3)
    expect(await countOf(served.store, ordersWith(), 'bob')).toBe(0)

    const slower = await open(lab, { backlogLimit: 2 }, false)
    const statuses: number[] = []
    for (let n = 0; n < 4; n++) statuses.push((await post(slower, '/orders', { wish: 'hold' })).statusCode)
    expect(statuses).toEqual([202, 202, 503, 503])
  })

  test('does not count running and ended operations, so that a shrinking queue accepts more', async ({ lab }) => {
    const served = await open(lab, { backlogLimit: 2 })
    for (let n = 0; n < 10; n++) {
      let answer = await post(served, '/orders', { wish: 'complete' })
      // A queue that was seen full is looked at again soon, and not for every request.
      await until(async () => {
        if (answer.statusCode === 503) answer = await post(served, '/orders', { wish: 'complete' })
        return answer.statusCode === 202
      })
      await hasStatus(served.store, documentOf(answer).id, 'completed')
    }
  })
})

test('a client that repeats one key uses no place of the backlog', async ({ lab }) => {
  const served = await open(lab, { backlogLimit: 5 }, false)
  const headers = { 'x-user': 'ann', 'idempotency-key': '"one"' }
  for (let n = 0; n < 3; n++) await accepted(served, '/orders', { wish: 'hold' })
  await accepted(served, '/orders', { wish: 'hold' }, headers)
  const [other, ...repeats] = await Promise.all([
    post(served, '/orders', { wish: 'hold' }, { 'x-user': 'bob' }),
    ...Array.from({ length: ALL }, () => post(served, '/orders', { wish: 'hold' }, headers)),
  ])
  expect(other?.statusCode).toBe(202)
  expect(new Set(repeats.map(({ statusCode }) => statusCode))).toEqual(new Set([202]))
})

describe('a limit of the rate', () => {
  test('applies to concurrent requests of each caller and each type, and its Retry-After suffices', async ({ lab }) => {
    vi.useFakeTimers({ toFake: ['performance'] })
    lab.onEnd(() => vi.useRealTimers())
    const served = await open(lab, { rateLimit: { requests: 2, per: '2s' } }, false)
    const refused = await atOnce(served, ALL, { 'x-user': 'ann' })
    expect(ALL - refused.length).toBe(2)
    expect(await countOf(served.store, ordersWith(), 'ann')).toBe(2)
    expect(await atOnce(served, 2, { 'x-user': 'bob' })).toEqual([])
    const last = refused.at(-1)
    if (last === undefined) throw new Error('None was refused.')
    expect(problemOf(last)).toMatchObject({ status: 429, code: 'too-many-requests' })
    const seconds = Number(last.headers['retry-after'])
    expect(seconds).toBe(1)
    vi.advanceTimersByTime(seconds * 1000)
    expect(await atOnce(served, 1, { 'x-user': 'ann' })).toEqual([])
    expect(await atOnce(served, 1, { 'x-user': 'ann' })).toHaveLength(1)
  })

  test('counts every request, whatever its result', async ({ lab }) => {
    const served = await open(lab, { rateLimit: { requests: 4, per: '1h' } }, false)
    const headers = { 'idempotency-key': '"one"', 'content-type': 'application/json' }
    const send = (payload: string) => served.app.inject({ method: 'POST', url: '/orders', payload, headers })
    const statuses: number[] = []
    for (const body of ['{}', '{"wish":', '{"wish":"hold"}', '{"wish":"hold"}', '{"wish":"hold"}']) {
      statuses.push((await send(body)).statusCode)
    }
    // The last but one repeats an accepted request: it counts too, and is answered as long as the limit allows.
    expect(statuses).toEqual([400, 400, 202, 202, 429])
    expect(await countOf(served.store, ordersWith(), ANYONE)).toBe(1)
  })

  test('reports how long the next token takes', async ({ lab }) => {
    const counts = countsOf(await lab.store(), { requests: 10, per: '10m' })
    for (let n = 0; n < 10; n++) expect(counts('ann')).toBe(0)
    expect(counts('ann')).toBeLessThanOrEqual(60_000)
    expect(counts('ann')).toBeGreaterThan(50_000)
  })

  test('remembers 10,000 callers, and forgets those with the oldest requests', async ({ lab }) => {
    const counts = countsOf(await lab.store(), { requests: 1, per: '1d' })
    const asks = (owner: string) => (counts(owner) === 0 ? 'taken' : 'refused')
    expect([asks('first'), asks('second')]).toEqual(['taken', 'taken'])
    for (let n = 0; n < 9_998; n++) asks(`caller ${n}`)
    // A request keeps its caller in mind; the other one is the oldest now, and makes room for a new one.
    expect(asks('first')).toBe('refused')
    expect(asks('new')).toBe('taken')
    expect([asks('first'), asks('second')]).toEqual(['refused', 'taken'])
  })
})

/** Counts requests of owners: 0 where one is taken, else the milliseconds after which the next one is. */
function countsOf(store: Store, rateLimit: RateLimit): (owner: string) => number {
  const admission = new Admission(new Estimator(store))
  const type = ordersWith({ rateLimit })
  return owner => {
    try {
      admission.countRequest(type, owner)
      return 0
    } catch (error) {
      return (error as ProblemError).retryAfterMs ?? 0
    }
  }
}

test('an invalid or failed submission gives its place back', async ({ lab }) => {
  const { store, cut } = faultyStore(await lab.store())
  const type = ordersWith({ inFlightLimit: 1, backlogLimit: 1 })
  const served = await openOrderServer(lab, { type, waybill: { store, worker: false } })
  expect((await post(served, '/orders', {})).statusCode).toBe(400)
  cut.add('accept')
  expect((await post(served, '/orders', { wish: 'hold' })).statusCode).toBe(503)
  cut.clear()
  await until(async () => (await post(served, '/orders', { wish: 'hold' })).statusCode === 202)
  expect(await countOf(served.store, type, ANYONE)).toBe(1)
})

test('a repeated request is recognized by its key before the limits are checked', async ({ lab }) => {
  const served = await open(lab, { inFlightLimit: 1 }, false)
  const headers = { 'idempotency-key': '"one"' }
  const id = await accepted(served, '/orders', { wish: 'hold' }, headers)
  const again = await post(served, '/orders', { wish: 'hold' }, headers)
  expect([again.statusCode, documentOf(again).id]).toEqual([202, id])
})
