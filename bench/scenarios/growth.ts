/** What orders cost a store that holds very many operations, beside a store that holds few. */
import type { Bench } from '../bench.ts'
import { CONTENDERS, type Contender } from '../comparison/contenders.ts'
import { type Extent, type Loader, measureOn } from '../comparison/measure.ts'
import { type Service, withService } from '../comparison/services.ts'
import { BenchProcess } from '../processes/bench-process.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'
import { FEW } from '../seed.ts'
import { fillStore, type OpenedStore, openStore } from '../stored.ts'

const MEASURED = CONTENDERS.filter(({ kind }) => kind === 'waybill')
/** As a sweeper does. */
const SWEPT_AT_ONCE = 200

const RATES = ['POST/s', 'status/s', 'drain/s', 'lists/s', 'swept/s']
const COSTS = [
  'POST CPU, µs',
  'status CPU, µs',
  'drain CPU, µs',
  'round trip alone p50, ms',
  'round trip at 32 p50, ms',
  'list CPU, µs',
  'sweep CPU, µs',
]

export const growth: Scenario = {
  name: 'growth',
  about: 'the comparison of Waybill on a store with very many operations, and on one with few',
  ratios: MEASURED.flatMap(({ store }) => [
    ...RATES.map((name): Ratio => ({ ...ratio(store, name), of: many(store, name), to: few(store, name) })),
    ...COSTS.map((name): Ratio => ({ ...ratio(store, name), of: few(store, name), to: many(store, name) })),
  ]),
  prepare: async bench => {
    const loader: Loader = new BenchProcess('./load.ts')
    bench.onEnd(() => loader.end())
    await loader.ready()
    const requests = bench.quick ? 2000 : 10_000
    const extent = { seconds: bench.seconds, requests, drained: requests, lists: true }
    const services = await Promise.all(MEASURED.map(contender => serviceWith(bench, contender)))
    let isOdd = false
    return async () => {
      isOdd = !isOdd
      const sample: Record<string, number> = {}
      for (const [at, contender] of MEASURED.entries()) {
        const { store, start } = contender
        const measure = (service: Service) => round(service, contender, loader, extent)
        const measureFew = async (service: Service) => {
          await withStore(service, ({ seed }) => seed({ now: Date.now(), ...FEW }))
          return await measure(service)
        }
        const sides = [
          async () => {
            bench.say(`${store}, with few operations`)
            add(sample, few, store, await withService(start, measureFew))
          },
          async () => {
            bench.say(`${store}, with very many operations`)
            add(sample, many, store, await measure(services[at] as Service))
          },
        ]
        // What comes second in a round has no advantage over all rounds.
        for (const side of isOdd ? sides : sides.toReversed()) await side()
      }
      return sample
    }
  },
}

/** Adds what was measured to a sample, but not what the store does not have. */
function add(sample: Record<string, number>, name: typeof few, store: string, measured: Sample): void {
  for (const [measure, value] of Object.entries(measured)) {
    if (!Number.isNaN(value)) sample[name(store, measure)] = value
  }
}

function few(store: string, name: string): string {
  return `${store}, few: ${name}`
}

function many(store: string, name: string): string {
  return `${store}, many: ${name}`
}

/** Each is to be at least nine tenths as good as on a store with few operations. */
function ratio(store: string, name: string): { name: string; atLeast: number } {
  return { name: `${store}: ${name}`, atLeast: 0.9 }
}

/** Starts a service that holds very many operations, and is stopped with the scenario. */
async function serviceWith(bench: Bench, { store, start }: Contender): Promise<Service> {
  const service = await start(bench.folder(store))
  bench.onEnd(() => service.stop())
  await withStore(service, opened => fillStore(bench, opened, store))
  return service
}

async function round(service: Service, contender: Contender, loader: Loader, extent: Extent): Promise<Sample> {
  const measured = await measureOn(service, contender, loader, extent)
  return { ...measured, ...(await sweep(service, extent.drained)) }
}

/** Sweeps operations that have passed their retention: deletes the texts of one half, and the records of the others. */
async function sweep(service: Service, expired: number): Promise<Sample> {
  return await withStore(service, async ({ store, seed }) => {
    await seed({ now: Date.now(), expired })
    const cpu = () => service.cpu() + process.cpuUsage().user + process.cpuUsage().system
    const logged = await service.logBytes()
    const began = { at: performance.now(), cpu: cpu() }
    for (let swept = 0; swept < expired; ) swept += (await store.sweep(SWEPT_AT_ONCE)).purged.length
    return {
      'swept/s': (expired / (performance.now() - began.at)) * 1000,
      'sweep CPU, µs': (cpu() - began.cpu) / expired,
      'sweep log bytes': ((await service.logBytes()) ?? Number.NaN) / expired - (logged ?? 0) / expired,
    }
  })
}

/** Opens the store of a service for a while, with what writes operations into it. */
async function withStore<T>(service: Service, use: (opened: OpenedStore) => Promise<T>): Promise<T> {
  const opened = await openStore(service)
  try {
    return await use(opened)
  } finally {
    await opened.close()
  }
}
