/** What an operation costs PostgreSQL as the fleet grows, while most of the fleet is idle, and while all of it works. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import { postgres, type Service } from '../comparison/services.ts'
import { BenchProcess } from '../processes/bench-process.ts'
import type { FleetAnswer, FleetInit, FleetQuestion } from '../processes/fleet.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'
import { percentile } from '../statistics.ts'

type Part = BenchProcess<FleetQuestion, FleetAnswer>

/** Workers and APIs. */
const SIZES = [
  [1, 1],
  [2, 2],
  [10, 5],
  [50, 20],
] as const
/** How many members share a process. */
const SHARING = 10
/** The rate at which workers are mostly idle, and hints matter. */
const PER_SECOND = 200
const [SECONDS, QUICK_SECONDS] = [10, 2]
/** A connection plans each statement five times before it keeps a plan, and a fleet has hundreds of them. */
const [WARM_UP_SECONDS, QUICK_WARM_UP_SECONDS] = [20, 1]
const [DRAINED, QUICK_DRAINED] = [10_000, 2000]
/** By then each member knows of the others, and no statement of its start is under way. */
const SETTLE_MS = 3000
/** By then each worker knows of a pause. */
const PAUSED_MS = 6000
/** Each of up to 70 members has up to 4 connections. */
const MAX_CONNECTIONS = 300
const CPU = 'server CPU, µs'
const [STEADY, WAITING, DRAIN] = ['200/s', '200/s with clients that wait', 'drain'] as const

export const fleet: Scenario = {
  name: 'fleet',
  about: 'fleets of workers and APIs on one PostgreSQL: its CPU for each operation, and how soon handlers begin',
  ratios: [STEADY, WAITING, DRAIN].flatMap(load =>
    SIZES.slice(1).map(size => ratioOf(size, load, size[0] === 50 && load === STEADY ? 1.5 : undefined)),
  ),
  prepare: async bench => {
    const service = await postgres(bench.folder('fleet'), MAX_CONNECTIONS)
    bench.onEnd(() => service.stop())
    return async () => {
      const samples: Sample[] = []
      for (const size of SIZES) samples.push(await measure(bench, service, size))
      return Object.assign({}, ...samples) as Sample
    }
  },
}

type Size = (typeof SIZES)[number]

function nameOf([workers, apis]: Size, load: string, measure: string): string {
  return `${workers} + ${apis}, ${load}: ${measure}`
}

function ratioOf(size: Size, load: string, atMost: number | undefined): Ratio {
  const [of, to] = [nameOf(size, load, CPU), nameOf(SIZES[0], load, CPU)]
  const ratio = { name: `${size[0]} + ${size[1]}, ${load}: CPU / that of 1 + 1`, of, to }
  return atMost === undefined ? ratio : { ...ratio, atMost }
}

async function measure(bench: Bench, service: Service, size: Size): Promise<Sample> {
  const [workers, apis] = [await start(service.url, 'worker', size[0]), await start(service.url, 'api', size[1])]
  const parts = [...workers, ...apis]
  try {
    await sleep(SETTLE_MS)
    const idle = await costing(service, () => sleep(SETTLE_MS))
    const [seconds, warmUp] = bench.quick ? [QUICK_SECONDS, QUICK_WARM_UP_SECONDS] : [SECONDS, WARM_UP_SECONDS]
    const run = { service, workers, apis, size, count: PER_SECOND * seconds, first: PER_SECOND * warmUp }
    return {
      [nameOf(size, 'idle', 'server CPU, ms/s')]: idle.cpu / SETTLE_MS,
      ...(await steady(run, 'submit', STEADY)),
      ...(await steady(run, 'wait', WAITING)),
      ...(await drain({ ...run, count: bench.quick ? QUICK_DRAINED : DRAINED })),
    }
  } finally {
    await Promise.all(parts.map(part => part.end()))
  }
}

interface Run {
  readonly service: Service
  readonly workers: readonly Part[]
  readonly apis: readonly Part[]
  readonly size: Size
  readonly count: number
  /** How many are submitted before, which are not measured. */
  readonly first: number
}

async function start(url: string, role: FleetInit['role'], count: number): Promise<readonly Part[]> {
  const parts: Part[] = []
  for (let left = count; left > 0; left -= SHARING) {
    const init: FleetInit = { url, role, count: Math.min(left, SHARING) }
    const part: Part = new BenchProcess('./fleet.ts', init)
    // One after the other: many at once take longer.
    await part.ready()
    parts.push(part)
  }
  return parts
}

async function steady(run: Run, ask: 'submit' | 'wait', name: string): Promise<Sample> {
  const { service, workers, size, count, first } = run
  await submit(run, ask, first, PER_SECOND)
  await ended(workers, first)
  const { result, cpu } = await costing(service, async () => {
    const late = await submit(run, ask, count, PER_SECOND)
    return { late, begun: await ended(workers, count) }
  })
  const [noticed, begun] = [result.late, result.begun].map(it => it.toSorted((a, b) => a - b))
  const latest = (ask === 'wait' ? noticed : begun) ?? []
  const what = ask === 'wait' ? 'POST to its end' : 'POST to handler'
  return {
    [nameOf(size, name, CPU)]: cpu / count,
    [nameOf(size, name, `${what}, p50 ms`)]: percentile(latest, 0.5),
    [nameOf(size, name, `${what}, p99 ms`)]: percentile(latest, 0.99),
  }
}

async function drain(run: Run): Promise<Sample> {
  const { service, workers, apis, size, count } = run
  const [api] = apis
  await api?.ask({ ask: 'pause' })
  await sleep(PAUSED_MS)
  await submit(run, 'submit', count)
  const began = performance.now()
  const { cpu } = await costing(service, async () => {
    await api?.ask({ ask: 'resume' })
    await ended(workers, count)
  })
  return {
    [nameOf(size, DRAIN, CPU)]: cpu / count,
    [nameOf(size, DRAIN, 'operations/s')]: (1000 * count) / (performance.now() - began),
  }
}

async function submit({ apis, size }: Run, ask: 'submit' | 'wait', count: number, perSecond?: number) {
  const shareOf = (at: number) => Math.min(SHARING, size[1] - at * SHARING) / size[1]
  const late = await Promise.all(
    apis.map((api, at) =>
      api.ask({
        ask,
        count: Math.round(count * shareOf(at)),
        ...(perSecond !== undefined && { perSecond: perSecond * shareOf(at) }),
      }),
    ),
  )
  return late.flat()
}

/** Waits until the handlers of as many have begun. */
async function ended(workers: readonly Part[], count: number): Promise<readonly number[]> {
  const begun: number[] = []
  for (;;) {
    begun.push(...(await Promise.all(workers.map(worker => worker.ask({ ask: 'ran' })))).flat())
    if (begun.length >= count) return begun
    await sleep(50)
  }
}

async function costing<T>(service: Service, run: () => Promise<T>): Promise<{ result: T; cpu: number }> {
  const before = service.cpu()
  const result = await run()
  return { result, cpu: service.cpu() - before }
}
