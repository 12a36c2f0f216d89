/**
 * Metrics. Each event is reported to the OpenTelemetry API, for a user's SDK, and to a registry that `/metrics` returns
 * in the Prometheus text format.
 */
import { metrics as api, type Counter as OtelCounter, type Histogram as OtelHistogram } from '@opentelemetry/api'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ProblemCode } from '../model/problem-kinds.ts'
import { packageVersion } from '../util/version.ts'

/** A queue as it is when metrics are collected. */
export interface QueueReading {
  readonly operation: string
  readonly depth: number
  /** How long the oldest ready operation has waited, in seconds. */
  readonly ageSeconds: number
  /** For how many seconds operations have been ready and no worker has claimed one, as far as this process has seen. */
  readonly unclaimedSeconds: number
}

/** Values that are read each time metrics are collected. */
export interface Readings {
  readonly queues: () => Promise<readonly QueueReading[]>
  readonly waiting: () => number
  /** How many attempts run in this process, by operation type. */
  readonly running: () => ReadonlyMap<string, number>
  /** How many executions of the dispatcher's engine there are, over all processes, by operation type. */
  readonly executions: () => ReadonlyMap<string, number>
  /** Whether each operation type is paused. */
  readonly paused: () => ReadonlyMap<string, boolean>
}

/** Why a request may be refused. */
const REFUSALS: readonly ProblemCode[] = [
  'invalid-json',
  'invalid-input',
  'invalid-request',
  'invalid-idempotency-key',
  'idempotency-key-required',
  'idempotency-key-reused',
  'body-too-large',
  'unsupported-media-type',
  'unauthenticated',
  'forbidden',
  'no-such-route',
  'not-found',
  'method-not-allowed',
  'operation-finished',
  'precondition-failed',
  'too-many-requests',
  'unavailable',
  'internal-error',
]
/** The outcomes of the start of an execution. */
const LAUNCH_OUTCOMES = ['started', 'refused', 'unknown'] as const
/** The outcomes of an attempt in metrics: after `failed` there is no further attempt, after `retry` there is. */
const ATTEMPT_OUTCOMES = ['completed', 'failed', 'retry', 'canceled', 'released', 'suspended', 'lost'] as const
const FINAL_OUTCOMES = ['completed', 'failed', 'canceled'] as const

/** The buckets of histograms in seconds: from a cached answer to an hour of work. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]

/** The metrics of one composition. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #accepted: Count
  readonly #finished: Count
  readonly #lost: Count
  readonly #launches: Count
  readonly #retries: Count
  readonly #launchRefusals: Count
  readonly #refusals: Count
  readonly #wait: Measure
  readonly #run: Measure

  /**
   * @param types the names of the operation types: their series exist from the start, at zero
   * @param refusals the reasons for which the start of an execution can be refused; undefined if this process starts
   * none
   */
  constructor(readings: Readings, types: readonly string[] = [], refusals?: readonly string[]) {
    const shared = { registry: this.#registry }
    this.#accepted = new Count({
      ...shared,
      name: 'operations_accepted',
      help: 'Operations accepted',
      labels: ['operation'],
    })
    this.#finished = new Count({
      ...shared,
      name: 'operations_finished',
      help: 'Operations that reached a final status here, by outcome',
      labels: ['operation', 'outcome'],
    })
    this.#lost = new Count({ ...shared, name: 'attempts_lost', help: 'Attempts lost with their worker', labels: [] })
    this.#launches = new Count({
      ...shared,
      name: 'launches',
      help: 'Requested starts of executions, by outcome',
      labels: ['operation', 'outcome'],
    })
    this.#launchRefusals = new Count({
      ...shared,
      name: 'launch_refusals',
      help: 'Starts of executions that the engine refused, by reason',
      labels: ['operation', 'reason'],
    })
    this.#retries = new Count({
      ...shared,
      name: 'attempts_retried',
      help: 'Attempts that failed and will be followed by another one',
      labels: ['operation'],
    })
    this.#refusals = new Count({
      ...shared,
      name: 'requests_refused',
      help: 'Requests that were answered with a problem, by its code',
      labels: ['reason'],
    })
    this.#wait = new Measure({
      ...shared,
      name: 'operation_wait',
      help: 'Time from the acceptance to the start of the first attempt',
      labels: ['operation'],
    })
    this.#run = new Measure({
      ...shared,
      name: 'attempt_run',
      help: 'Duration of an attempt',
      labels: ['operation', 'outcome'],
    })
    this.#readQueues(readings)
    this.#readProcess(readings)
    for (const operation of types) this.#startAtZero(operation)
    if (refusals) this.#startLaunchesAtZero(types, refusals)
    for (const reason of REFUSALS) this.#refusals.start({ reason })
  }

  /**
   * Creates the series at zero. In a series that begins with its first event, `rate()` and `increase()` do not see that
   * event.
   */
  #startAtZero(operation: string): void {
    this.#accepted.start({ operation })
    this.#retries.start({ operation })
    this.#wait.start({ operation })
    for (const outcome of FINAL_OUTCOMES) this.#finished.start({ operation, outcome })
    for (const outcome of ATTEMPT_OUTCOMES) this.#run.start({ operation, outcome })
  }

  accepted(operation: string): void {
    this.#accepted.add({ operation })
  }

  finished(operation: string, outcome: string): void {
    this.#finished.add({ operation, outcome })
  }

  lost(attempts: number): void {
    if (attempts > 0) this.#lost.add({}, attempts)
  }

  #startLaunchesAtZero(types: readonly string[], refusals: readonly string[]): void {
    for (const operation of types) {
      for (const outcome of LAUNCH_OUTCOMES) this.#launches.start({ operation, outcome })
      for (const reason of refusals) this.#launchRefusals.start({ operation, reason })
    }
  }

  /** An attempt failed, and there will be another one. */
  retried(operation: string): void {
    this.#retries.add({ operation })
  }

  /** @param reason the code of the problem, or its status if the code is not one of Waybill's */
  refused(reason: string): void {
    this.#refusals.add({ reason })
  }

  launched(operation: string, outcome: (typeof LAUNCH_OUTCOMES)[number]): void {
    this.#launches.add({ operation, outcome })
  }

  launchRefused(operation: string, reason: string): void {
    this.#launchRefusals.add({ operation, reason })
  }

  /** How long an operation waited for its first attempt, in milliseconds. */
  waited(operation: string, ms: number): void {
    this.#wait.record({ operation }, ms / 1000)
  }

  /** How long an attempt ran, in milliseconds. */
  ran(operation: string, outcome: string, ms: number): void {
    this.#run.record({ operation, outcome }, ms / 1000)
  }

  /** All metrics in the Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  #readQueues({ queues, waiting }: Readings): void {
    const registers = [this.#registry]
    // Each gauge reads for itself, since they are collected in no fixed order. While the store cannot be reached, they
    // have no values.
    const read = async (gauge: Gauge, value: (reading: QueueReading) => number) => {
      gauge.reset()
      for (const reading of await queues().catch(() => [])) gauge.set({ operation: reading.operation }, value(reading))
    }
    new Gauge({
      name: 'waybill_queue_depth',
      help: 'Operations that are ready and wait, counted to 10,000',
      labelNames: ['operation'],
      registers,
      async collect() {
        await read(this, ({ depth }) => depth)
      },
    })
    new Gauge({
      name: 'waybill_queue_age_seconds',
      help: 'How long the oldest ready operation has waited',
      labelNames: ['operation'],
      registers,
      async collect() {
        await read(this, ({ ageSeconds }) => ageSeconds)
      },
    })
    new Gauge({
      name: 'waybill_queue_unclaimed_seconds',
      help: 'How long operations have been ready without a worker claiming one',
      labelNames: ['operation'],
      registers,
      async collect() {
        await read(this, ({ unclaimedSeconds }) => unclaimedSeconds)
      },
    })
    new Gauge({
      name: 'waybill_waiting_requests',
      help: 'Requests that are waiting for a change',
      registers,
      collect() {
        this.set(waiting())
      },
    })
    const meter = api.getMeter('waybill')
    meter.createObservableGauge('waybill.waiting_requests').addCallback(result => result.observe(waiting()))
    const observed = {
      depth: meter.createObservableGauge('waybill.queue.depth'),
      age: meter.createObservableGauge('waybill.queue.age', { unit: 's' }),
      unclaimed: meter.createObservableGauge('waybill.queue.unclaimed', { unit: 's' }),
    }
    meter.addBatchObservableCallback(
      async result => {
        for (const { operation, depth, ageSeconds, unclaimedSeconds } of await queues().catch(() => [])) {
          result.observe(observed.depth, depth, { operation })
          result.observe(observed.age, ageSeconds, { operation })
          result.observe(observed.unclaimed, unclaimedSeconds, { operation })
        }
      },
      [observed.depth, observed.age, observed.unclaimed],
    )
  }

  #readProcess({ running, executions, paused }: Readings): void {
    const registers = [this.#registry]
    new Gauge({
      name: 'waybill_paused',
      help: 'Whether the operation type is paused: 1 or 0',
      labelNames: ['operation'],
      registers,
      collect() {
        for (const [operation, isPaused] of paused()) this.set({ operation }, isPaused ? 1 : 0)
      },
    })
    new Gauge({
      name: 'waybill_executions',
      help: 'Executions of the engine of this dispatcher, over all processes, when it last looked',
      labelNames: ['operation'],
      registers,
      collect() {
        for (const [operation, count] of executions()) this.set({ operation }, count)
      },
    })
    new Gauge({
      name: 'waybill_attempts_running',
      help: 'Attempts that run in this process',
      labelNames: ['operation'],
      registers,
      collect() {
        for (const [operation, count] of running()) this.set({ operation }, count)
      },
    })
    const build = { version: packageVersion(), node: process.versions.node }
    new Gauge({
      name: 'waybill_build_info',
      help: 'The version of Waybill and of Node; the value is 1',
      labelNames: ['version', 'node'],
      registers,
    }).set(build, 1)
    const meter = api.getMeter('waybill')
    meter.createObservableGauge('waybill.attempts.running').addCallback(result => {
      for (const [operation, count] of running()) result.observe(count, { operation })
    })
    meter.createObservableGauge('waybill.executions').addCallback(result => {
      for (const [operation, count] of executions()) result.observe(count, { operation })
    })
    meter.createObservableGauge('waybill.paused').addCallback(result => {
      for (const [operation, isPaused] of paused()) result.observe(isPaused ? 1 : 0, { operation })
    })
    meter.createObservableGauge('waybill.build.info').addCallback(result => result.observe(1, build))
  }
}

interface Instrument {
  readonly registry: Registry
  /** In snake case; the name in OpenTelemetry has dots instead. */
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
}

type Labels = Record<string, string>

class Count {
  readonly #prometheus: Counter
  readonly #otel: OtelCounter

  constructor({ registry, name, help, labels }: Instrument) {
    this.#prometheus = new Counter({
      name: `waybill_${name}_total`,
      help,
      labelNames: [...labels],
      registers: [registry],
    })
    this.#otel = api.getMeter('waybill').createCounter(`waybill.${name.replaceAll('_', '.')}`, { description: help })
  }

  /** Makes the series, at zero. */
  start(labels: Labels): void {
    this.#prometheus.inc(labels, 0)
  }

  add(labels: Labels, value = 1): void {
    this.#prometheus.inc(labels, value)
    this.#otel.add(value, labels)
  }
}

class Measure {
  readonly #prometheus: Histogram
  readonly #otel: OtelHistogram

  constructor({ registry, name, help, labels }: Instrument) {
    this.#prometheus = new Histogram({
      name: `waybill_${name}_seconds`,
      help,
      labelNames: [...labels],
      buckets: BUCKETS,
      registers: [registry],
    })
    this.#otel = api
      .getMeter('waybill')
      .createHistogram(`waybill.${name.replaceAll('_', '.')}`, { description: help, unit: 's' })
  }

  /** Makes the series, without a value. */
  start(labels: Labels): void {
    this.#prometheus.zero(labels)
  }

  record(labels: Labels, seconds: number): void {
    this.#prometheus.observe(labels, seconds)
    this.#otel.record(seconds, labels)
  }
}
