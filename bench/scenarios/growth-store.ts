/**
 * What a store takes for an operation beside very many, and beside few: without HTTP, in short slices by turns, so that
 * what other programs do meanwhile slows both sides down alike.
 */
import type { Store } from 'waybill/adapters'
import type { Bench } from '../bench.ts'
import { CONTENDERS } from '../comparison/contenders.ts'
import type { Service } from '../comparison/services.ts'
import { ORDER, orders } from '../orders.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'
import { FEW } from '../seed.ts'
import { startWaybill } from '../start-waybill.ts'
import { fillStore, type OpenedStore, openStore } from '../stored.ts'

const STORES = CONTENDERS.filter(({ kind }) => kind === 'waybill')
const SLICES = 20
/** As many as a worker has slots, and as a sweep takes. */
const [CLAIMED, SWEPT] = [16, 200]

/** A store, what it costs so far in microseconds of CPU, and what an operation of each sort is. */
interface Side {
  readonly cpu: () => number
  readonly steps: Readonly<Record<string, Step>>
  readonly seed: (expired: number) => Promise<void>
}

interface Step {
  /** How many operations a slice has. */
  readonly count: number
  run(): Promise<unknown>
}

const STEPS = ['accept', 'status', 'claim and end', 'list', 'sweep']

export const growthStore: Scenario = {
  name: 'growth-store',
  about: 'the CPU of an operation in a store with very many operations, and in one with few, by turns',
  ratios: STORES.flatMap(({ store }) =>
    STEPS.map((step): Ratio => {
      const [of, to] = [`${store}, few: ${step}, µs`, `${store}, many: ${step}, µs`]
      return { name: `${store}: ${step}`, of, to, atLeast: 0.9 }
    }),
  ),
  prepare: async bench => {
    const sides = new Map<string, Side>()
    for (const { store, start } of STORES) {
      for (const name of ['few', 'many']) {
        const service = await start(bench.folder(`${store}-${name}`))
        bench.onEnd(() => service.stop())
        const opened = await openStore(service)
        if (name === 'few') await opened.seed({ now: Date.now(), ...FEW })
        else await fillStore(bench, opened, store)
        sides.set(`${store}, ${name}`, await sideOf(bench, service, opened))
      }
    }
    return () => measureSides(sides)
  },
}

/** Measures all sides in slices that alternate. */
async function measureSides(sides: ReadonlyMap<string, Side>): Promise<Sample> {
  for (const side of sides.values()) await side.seed(SLICES * SWEPT)
  const spent = new Map<string, number>()
  for (let slice = 0; slice < SLICES; slice++) {
    for (const step of STEPS) {
      for (const [name, side] of slice % 2 === 0 ? [...sides] : [...sides].toReversed()) {
        const before = side.cpu()
        await side.steps[step]?.run()
        const key = `${name}: ${step}, µs`
        spent.set(key, (spent.get(key) ?? 0) + (side.cpu() - before) / (side.steps[step]?.count ?? 1) / SLICES)
      }
    }
  }
  return Object.fromEntries(spent)
}

/** Starts what is measured on a store that is open. */
async function sideOf(bench: Bench, service: Service, { store, close, seed }: OpenedStore): Promise<Side> {
  bench.onEnd(close)
  // Only the sweep that is measured is to sweep.
  const { operations } = await startWaybill(bench, { operations: [orders], store, sweepInterval: '1h' })
  const ids: string[] = []
  const accept = async () => {
    const { operation } = await operations.submit(orders, { input: ORDER })
    ids.push(operation.id)
  }
  const list = { type: orders.name, owner: '', limit: 50 }
  return {
    cpu: () => service.cpu() + process.cpuUsage().user + process.cpuUsage().system,
    seed: expired => seed({ now: Date.now(), expired }),
    steps: {
      accept: { count: 256, run: () => many(256, accept) },
      status: { count: 1024, run: () => many(1024, at => store.read(ids.at(-(at % 256) - 1) ?? '')) },
      'claim and end': { count: 256, run: () => drain(store) },
      list: { count: 20, run: () => many(20, () => store.list(list)) },
      sweep: { count: SWEPT, run: () => store.sweep(SWEPT) },
    },
  }
}

/** Does something very often, 64 at once. */
async function many(count: number, run: (at: number) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < count; at += 64) {
    await Promise.all(Array.from({ length: Math.min(64, count - at) }, (_, next) => run(at + next)))
  }
}

/** As a worker does whose handlers take no time. */
async function drain(store: Store): Promise<void> {
  const from = { types: [{ type: orders.name, limit: CLAIMED }], limit: CLAIMED }
  const next = () => store.claim({ from, holder: 'bench', leaseMs: 30_000 })
  let claims = await next()
  while (claims.length > 0) {
    const ends = claims.map(({ operation: { id, attempt }, input: output }) =>
      store.change(id, { kind: 'finish', attempt, outcome: { kind: 'completed', output } }),
    )
    const following = next()
    await Promise.all(ends)
    claims = await following
  }
}
