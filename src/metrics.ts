/**
 * Metrics: counted once, and told twice: to the OpenTelemetry API, for a user's SDK, and to a
 * registry that `/metrics` writes out in the Prometheus text format.
 */
import { metrics as api, type Counter as OtelCounter, type Histogram as OtelHistogram } from '@opentelemetry/api'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** A queue as it is when metrics are collected. */
export interface QueueReading {
  readonly operation: string
  readonly depth: number
  /** How long the oldest ready operation has waited, in seconds. */
  readonly ageSeconds: number
}

/** What is read, and not counted, each time metrics are collected. */
export interface Readings {
  readonly queues: () => Promise<readonly QueueReading[]>
  readonly waiting: () => number
}

/** Seconds: from a cached answer to an hour of work. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]

/** The metrics of one composition. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #accepted: Count
  readonly #finished: Count
  readonly #lost: Count
  readonly #launches: Count
  readonly #wait: Measure
  readonly #run: Measure

  constructor(readings: Readings) {
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
      help: 'Starts of executions that were asked for, by outcome',
      labels: ['operation', 'outcome'],
    })
    this.#wait = new Measure({
      ...shared,
      name: 'operation_wait',
      help: 'From the acceptance to the begin of the first attempt',
      labels: ['operation'],
    })
    this.#run = new Measure({
      ...shared,
      name: 'attempt_run',
      help: 'From the begin of an attempt to its end',
      labels: ['operation', 'outcome'],
    })
    this.#readQueues(readings)
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

  launched(operation: string, outcome: 'started' | 'refused' | 'unknown'): void {
    this.#launches.add({ operation, outcome })
  }

  /** How long an operation waited for its first attempt, in milliseconds. */
  waited(operation: string, ms: number): void {
    this.#wait.record({ operation }, ms / 1000)
  }

  /** How long an attempt ran, in milliseconds. */
  ran(operation: string, outcome: string, ms: number): void {
    this.#run.record({ operation, outcome }, ms / 1000)
  }

  /** All of it in the Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  #readQueues({ queues, waiting }: Readings): void {
    const registers = [this.#registry]
    // Each gauge reads for itself, as they are collected in no order; while the store is away they tell nothing.
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
      name: 'waybill_waiters',
      help: 'Requests held for a change',
      registers,
      collect() {
        this.set(waiting())
      },
    })
    const meter = api.getMeter('waybill')
    meter.createObservableGauge('waybill.waiters').addCallback(result => result.observe(waiting()))
    const observed = {
      depth: meter.createObservableGauge('waybill.queue.depth'),
      age: meter.createObservableGauge('waybill.queue.age', { unit: 's' }),
    }
    meter.addBatchObservableCallback(
      async result => {
        for (const { operation, depth, ageSeconds } of await queues().catch(() => [])) {
          result.observe(observed.depth, depth, { operation })
          result.observe(observed.age, ageSeconds, { operation })
        }
      },
      [observed.depth, observed.age],
    )
  }
}

interface Instrument {
  readonly registry: Registry
  /** In snake case; OpenTelemetry has it with dots. */
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

  record(labels: Labels, seconds: number): void {
    this.#prometheus.observe(labels, seconds)
    this.#otel.record(seconds, labels)
  }
}
