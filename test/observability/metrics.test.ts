/** Metrics, as Prometheus reads them and as the SDK of OpenTelemetry collects them. */

import { readFile } from 'node:fs/promises'
import { metrics as api } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { afterEach, beforeEach, describe, expect, vi } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { LaunchRefused } from '../../src/launchers/launcher.ts'
import { Metrics } from '../../src/observability/metrics.ts'
import { waybill as waybillCommand } from '../support/cli.ts'
import { plays } from '../support/handlers.ts'
import { accepted, post } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer, ordersWith } from '../support/order-server.ts'
import { faultyStore, hasFinished, hasStatus, submit, test, until } from '../support/waybill.ts'

let exporter: InMemoryMetricExporter
let provider: MeterProvider

// Before a composition is made: its instruments are those of the provider of that moment.
beforeEach(() => {
  exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
  api.setGlobalMeterProvider(provider)
})

afterEach(async () => {
  api.disable()
  await provider.shutdown()
})

/** One line of the text format. */
interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$/

/** Reads the text format 0.0.4 strictly: what is not a comment is a sample of a metric that was announced. */
function parse(text: string): Sample[] {
  expect(text.endsWith('\n')).toBe(true)
  const announced = new Map<string, string>()
  return text.split('\n').flatMap(line => {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line)
    if (comment?.[1] === 'TYPE') {
      expect(announced.has(comment[2] ?? '')).toBe(false)
      announced.set(comment[2] ?? '', comment[3] ?? '')
    }
    if (comment !== null || line === '') return []
    const [, name = '', labels = '', value = ''] = LINE.exec(line) ?? []
    expect([line, Number.isNaN(Number(value.replace('+Inf', 'Infinity')))]).toEqual([line, false])
    const family = announced.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
    expect([line, announced.has(family)]).toEqual([line, true])
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', text = '']) => [key, text] as const)
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }]
  })
}

async function scrape({ app }: Pick<OpenOrderServer, 'app'>) {
  const answer = await app.inject('/metrics')
  expect(answer.statusCode).toBe(200)
  const samples = parse(answer.body)
  return (name: string, labels: Record<string, string> = {}) =>
    samples.find(
      sample => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    )?.value
}

/** What the SDK has collected: the values of a metric by its labels, as JSON. */
async function collected(name: string): Promise<Record<string, unknown>> {
  exporter.reset()
  await provider.forceFlush()
  const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
  const points = all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
  return Object.fromEntries(points.map(({ attributes, value }) => [JSON.stringify(attributes), value]))
}

describe('after a run', () => {
  async function run(lab: Parameters<typeof openOrderServer>[0]): Promise<OpenOrderServer> {
    const served = await openOrderServer(lab)
    for (const wish of ['complete', 'complete', 'fail', 'crash'] as const) {
      await hasFinished(served.store, await accepted(served, '/orders', { wish }))
    }
    const id = await accepted(served, '/orders', { wish: 'hold' })
    await hasStatus(served.store, id, 'running')
    await served.app.inject({ method: 'DELETE', url: `/orders/status/${id}` })
    await hasStatus(served.store, id, 'canceled')
    const counted = async () => (await scrape(served))('waybill_attempt_run_seconds_count', { outcome: 'canceled' })
    await until(async () => (await counted()) === 1)
    return served
  }

  test('Prometheus reads the numbers of accepted and ended operations, and their durations', async ({ lab }) => {
    const value = await scrape(await run(lab))
    expect(value('waybill_operations_accepted_total', { operation: 'orders' })).toBe(5)
    for (const [outcome, count] of [
      ['completed', 2],
      ['failed', 2],
      ['canceled', 1],
    ] as const) {
      expect([outcome, value('waybill_operations_finished_total', { operation: 'orders', outcome })]).toEqual([
        outcome,
        count,
      ])
    }
    expect(value('waybill_attempt_run_seconds_count', { operation: 'orders', outcome: 'completed' })).toBe(2)
    expect(value('waybill_attempt_run_seconds_bucket', { outcome: 'completed', le: '+Inf' })).toBe(2)
    expect(value('waybill_attempt_run_seconds_bucket', { outcome: 'completed', le: '3600' })).toBe(2)
    expect(value('waybill_operation_wait_seconds_count', { operation: 'orders' })).toBe(5)
    expect(value('waybill_operation_wait_seconds_sum', { operation: 'orders' })).toBeGreaterThanOrEqual(0)
    expect(value('waybill_attempts_lost_total')).toBe(0)
    expect(value('waybill_waiting_requests')).toBe(0)
  })

  test('the SDK of OpenTelemetry collects the same', async ({ lab }) => {
    await run(lab)
    const of = (outcome: string) => JSON.stringify({ operation: 'orders', outcome })
    expect(await collected('waybill.operations.accepted')).toEqual({ '{"operation":"orders"}': 5 })
    expect(await collected('waybill.operations.finished')).toEqual({
      [of('completed')]: 2,
      [of('failed')]: 2,
      [of('canceled')]: 1,
    })
    const waits = await collected('waybill.operation.wait')
    expect(waits['{"operation":"orders"}']).toMatchObject({ count: 5 })
    expect((await collected('waybill.attempt.run'))[of('completed')]).toMatchObject({ count: 2 })
    expect(await collected('waybill.waiting_requests')).toEqual({ '{}': 0 })
    expect(await collected('waybill.queue.depth')).toEqual({ '{"operation":"orders"}': 0 })
    expect(await collected('waybill.queue.age')).toEqual({ '{"operation":"orders"}': 0 })
  })
})

test('the first scrape has the depth and the age of each queue, and the waiting requests', async ({ lab }) => {
  const served = await openOrderServer(lab, { waybill: { worker: false } })
  const id = await accepted(served, '/orders', { wish: 'complete' })
  await accepted(served, '/orders', { wish: 'complete' })
  const gone = new AbortController()
  const operation = await served.store.read(id)
  if (operation === undefined) throw new Error('It is not there.')
  const waits = served.waybill.operations.wait(operation, () => false, { ms: 60_000, signal: gone.signal })
  const then = Date.now()
  await until(() => Date.now() > then)
  // The queue was seen when the second one was answered, half a second ago at most.
  await until(async () => (await scrape(served))('waybill_queue_depth', { operation: 'orders' }) === 2)
  const value = await scrape(served)
  expect(value('waybill_queue_age_seconds', { operation: 'orders' })).toBeGreaterThan(0)
  expect(value('waybill_waiting_requests')).toBe(1)
  expect(await collected('waybill.waiting_requests')).toEqual({ '{}': 1 })
  expect(await collected('waybill.queue.depth')).toEqual({ '{"operation":"orders"}': 2 })
  gone.abort()
  await waits
})

test('a scrape reads the current value of each gauge', async () => {
  let depth = 3
  const queues = async () => [{ operation: 'orders', depth, ageSeconds: 1.5, unclaimedSeconds: 0 }]
  const none = () => new Map()
  const metrics = new Metrics({ queues, waiting: () => 4, running: none, executions: none, paused: none })
  const read = async () => {
    const samples = parse(await metrics.text())
    return ['waybill_queue_depth', 'waybill_queue_age_seconds', 'waybill_waiting_requests'].map(
      name => samples.find(sample => sample.name === name)?.value,
    )
  }
  expect(await read()).toEqual([3, 1.5, 4])
  depth = 0
  expect(await read()).toEqual([0, 1.5, 4])
})

test('while the store is unreachable, the counters are still reported', async ({ lab }) => {
  const { store, cut } = faultyStore(await lab.store())
  const served = await openOrderServer(lab, { waybill: { store, worker: false } })
  cut.add('queueStats')
  await accepted(served, '/orders', { wish: 'complete' })
  const value = await scrape(served)
  expect(value('waybill_operations_accepted_total', { operation: 'orders' })).toBe(1)
  expect(value('waybill_queue_depth')).toBeUndefined()
  expect(await collected('waybill.operations.accepted')).toEqual({ '{"operation":"orders"}': 1 })
})

test('attempts that were lost with their worker are counted', async ({ lab }) => {
  const type = plays({ lostAttempts: 0 })
  const waybill = await lab.waybill([type])
  const id = await submit(waybill, type)
  await waybill.store.claim({ holder: 'gone', leaseMs: 1, execution: null, from: { id } })
  await hasStatus(waybill.store, id, 'failed')
  const value = (name: string) => waybill.metrics.text().then(text => parse(text).find(one => one.name === name)?.value)
  await until(async () => (await value('waybill_attempts_lost_total')) === 1)
  expect(await collected('waybill.attempts.lost')).toEqual({ '{}': 1 })
})

test('starts of executions are counted by their outcome', async ({ lab }) => {
  const type = plays()
  const answers = [
    () => 'execution',
    () => {
      throw new Error('The engine is silent.')
    },
    () => {
      throw new LaunchRefused('There is no room.', 60_000)
    },
  ]
  const launcher = {
    engine: 'jobs',
    start: async () => answers.shift()?.(),
    stop: async () => {},
    inspect: async () => ({ kind: 'alive' }) as const,
  }
  const waybill = await lab.waybill([type], {
    store: sqliteStore({ path: ':memory:' }),
    dispatcher: { launcher, pollInterval: 20, reconcileInterval: '1h' },
  })
  for (const _ of [1, 2, 3]) await submit(waybill, type)
  await until(() => answers.length === 0)
  const outcomes = async () => {
    const found = parse(await waybill.metrics.text()).filter(({ name }) => name === 'waybill_launches_total')
    return Object.fromEntries(found.map(({ labels, value }) => [labels.outcome, value]))
  }
  await until(async () => Object.keys(await outcomes()).length === 3)
  expect(await outcomes()).toEqual({ started: 1, refused: 1, unknown: 1 })
  expect(Object.keys(await collected('waybill.launches'))).toHaveLength(3)
})

test('two compositions in one process count separately', async ({ lab }) => {
  const [here, there] = [await openOrderServer(lab, { waybill: { worker: false } }), await openOrderServer(lab)]
  await accepted(here, '/orders', { wish: 'hold' })
  expect((await scrape(here))('waybill_operations_accepted_total')).toBe(1)
  expect((await scrape(there))('waybill_operations_accepted_total')).toBe(0)
})

test('every series is there before its first event, at zero', async ({ lab }) => {
  const value = await scrape(await openOrderServer(lab))
  const operation = 'orders'
  expect(value('waybill_operations_accepted_total', { operation })).toBe(0)
  expect(value('waybill_attempts_retried_total', { operation })).toBe(0)
  expect(value('waybill_attempts_running', { operation })).toBe(0)
  expect(value('waybill_operation_wait_seconds_count', { operation })).toBe(0)
  for (const outcome of ['completed', 'failed', 'canceled']) {
    expect([outcome, value('waybill_operations_finished_total', { operation, outcome })]).toEqual([outcome, 0])
  }
  for (const outcome of ['completed', 'failed', 'retry', 'canceled', 'released', 'lost']) {
    expect([outcome, value('waybill_attempt_run_seconds_count', { operation, outcome })]).toEqual([outcome, 0])
    expect([outcome, value('waybill_attempt_run_seconds_bucket', { operation, outcome, le: '+Inf' })]).toEqual([
      outcome,
      0,
    ])
  }
  for (const reason of ['invalid-input', 'too-many-requests', 'unavailable', 'unauthenticated']) {
    expect([reason, value('waybill_requests_refused_total', { reason })]).toEqual([reason, 0])
  }
})

test('a final failure counts as failed, an earlier one as a retry', async ({ lab }) => {
  const type = ordersWith({ attempts: 3, backoff: { initial: 1, max: 1 } })
  const served = await openOrderServer(lab, { type })
  await hasFinished(served.store, await accepted(served, '/orders', { wish: 'crash' }))
  const count = async (outcome: string) =>
    (await scrape(served))('waybill_attempt_run_seconds_count', { operation: 'orders', outcome })
  await until(async () => (await count('failed')) === 1)
  expect(await count('retry')).toBe(2)
  expect((await scrape(served))('waybill_attempts_retried_total', { operation: 'orders' })).toBe(2)
  expect((await scrape(served))('waybill_operations_finished_total', { outcome: 'failed' })).toBe(1)
})

test('a gauge has the number of running attempts', async ({ lab }) => {
  const served = await openOrderServer(lab)
  const ids = [await accepted(served, '/orders', { wish: 'hold' }), await accepted(served, '/orders', { wish: 'hold' })]
  for (const id of ids) await hasStatus(served.store, id, 'running')
  const running = async () => (await scrape(served))('waybill_attempts_running', { operation: 'orders' })
  await until(async () => (await running()) === 2)
  expect(await collected('waybill.attempts.running')).toEqual({ '{"operation":"orders"}': 2 })
  served.desk.letGo()
  for (const id of ids) await hasFinished(served.store, id)
  await until(async () => (await running()) === 0)
})

test('refusals are counted by their reason, whichever part of the server refuses', async ({ lab }) => {
  const served = await openOrderServer(lab, {
    type: ordersWith({ inFlightLimit: 1, bodyLimit: 100 }),
    api: { principal: ({ headers }) => (headers['x-stranger'] ? undefined : 'ann') },
    waybill: { worker: false },
  })
  const { app } = served
  await accepted(served, '/orders', { wish: 'hold' })
  await post(served, '/orders', { wish: 'hold' })
  await post(served, '/orders', { wish: 'none' })
  await post(served, '/orders', 'x'.repeat(200))
  await post(served, '/orders', {}, { 'x-stranger': '1' })
  await app.inject({ method: 'POST', url: '/orders', headers: { 'content-type': 'application/json' }, payload: '{' })
  await app.inject({ method: 'PUT', url: '/orders' })
  await app.inject('/orders/x')
  const value = await scrape(served)
  for (const reason of [
    'too-many-requests',
    'invalid-input',
    'body-too-large',
    'unauthenticated',
    'invalid-json',
    'method-not-allowed',
    'not-found',
  ]) {
    expect([reason, value('waybill_requests_refused_total', { reason })]).toEqual([reason, 1])
  }
})

test('the page on observability lists exactly the metrics that exist', async ({ lab }) => {
  const page = await readFile(new URL('../../docs/deploy/observability.md', import.meta.url), 'utf8')
  const described = new Set(page.match(/\bwaybill_\w+/g))
  const text = await (await openOrderServer(lab)).app.inject('/metrics').then(({ body }) => body)
  const announced = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name)
  expect([...described].sort()).toEqual(announced.sort())
})

test('a metric has the version of the build', async ({ lab }) => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  const value = await scrape(await openOrderServer(lab))
  expect(value('waybill_build_info', { version, node: process.versions.node })).toBe(1)
})

test('if no worker claims, the status, a gauge and the command line report it', async ({ lab }) => {
  vi.useFakeTimers({ toFake: ['performance'] })
  lab.onEnd(() => vi.useRealTimers())
  const file = lab.file()
  const served = await openOrderServer(lab, { waybill: { worker: false, store: sqliteStore({ path: file }) } })
  const id = await accepted(served, '/orders', { wish: 'complete' })
  const waitingFor = async () => (await served.app.inject(`/orders/status/${id}`)).json().waitingFor
  const unclaimed = async () => (await scrape(served))('waybill_queue_unclaimed_seconds', { operation: 'orders' })
  vi.advanceTimersByTime(1000)
  expect(await waitingFor()).toBe('It is next in the queue.')
  vi.advanceTimersByTime(45_000)
  expect(await waitingFor()).toBe('No worker has claimed an operation of this type for 46 s.')
  expect(await unclaimed()).toBe(46)
  expect((await waybillCommand(['ls', '--store', `sqlite:${file}`])).out).toMatch(
    /ready since \S+; none of its type runs/,
  )

  await served.store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from: { id } })
  const next = await accepted(served, '/orders', { wish: 'complete' })
  vi.advanceTimersByTime(45_000)
  expect(await unclaimed()).toBe(0)
  expect((await served.app.inject(`/orders/status/${next}`)).json().waitingFor).toBe('It is next in the queue.')
})
