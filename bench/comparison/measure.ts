/** One contender, measured once: accept, status, drain, round trip; what each costs in all of its processes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ORDER } from '../orders.ts'
import { BenchProcess } from '../processes/bench-process.ts'
import type { ContenderInit, ContenderQuestion } from '../processes/contender.ts'
import type { Load, LoadResult } from '../processes/load.ts'
import type { Sample } from '../scenario.ts'
import type { Contender } from './contenders.ts'
import { type Service, withService } from './services.ts'

/** How long each measurement takes. */
export interface Extent {
  readonly seconds: number
  /** How many requests each measurement has instead, so that what they cost can be compared on a busy machine. */
  readonly requests?: number
  /** How many orders are drained at least. */
  readonly drained: number
  /** Whether lists are measured too, which only Waybill has. */
  readonly lists?: boolean
}

type Program = BenchProcess<ContenderQuestion, number>
export type Loader = BenchProcess<{ loads: readonly Load[] }, readonly LoadResult[]>

const CONCURRENCY = 16
const CONNECTIONS = 64

/** Measures with a fresh service and fresh processes. */
export async function measure(contender: Contender, loader: Loader, extent: Extent): Promise<Sample> {
  return await withService(contender.start, service => measureOn(service, contender, loader, extent))
}

/** Measures with fresh processes on a service that runs. */
export async function measureOn(
  service: Service,
  contender: Contender,
  loader: Loader,
  extent: Extent,
): Promise<Sample> {
  const run = new Run(contender, service, loader, extent)
  try {
    return await run.measure()
  } finally {
    await run.end()
  }
}

class Run {
  readonly #contender: Contender
  readonly #service: Service
  readonly #loader: Loader
  readonly #extent: Extent
  readonly #programs: Program[] = []
  #port = 0
  #accepted = 0

  constructor(contender: Contender, service: Service, loader: Loader, extent: Extent) {
    this.#contender = contender
    this.#service = service
    this.#loader = loader
    this.#extent = extent
  }

  async measure(): Promise<Sample> {
    const bytesBefore = await this.#service.bytes()
    const logBefore = await this.#service.logBytes()
    this.#port = await this.#start('api')
    if (!this.#contender.waits) await this.#start('worker')
    const accepting = await this.#accept()
    const reading = await this.#read(accepting.locations)
    const draining = await this.#drain()
    const kept = {
      'disk bytes per operation': ((await this.#service.bytes()) - bytesBefore) / this.#accepted,
      'log bytes per operation': (((await this.#service.logBytes()) ?? Number.NaN) - (logBefore ?? 0)) / this.#accepted,
    }
    const trips = await this.#roundTrips()
    const listing = this.#extent.lists ? await this.#list() : {}
    return { ...accepting.sample, ...reading, ...draining, ...kept, ...trips, ...listing, ...(await this.#memory()) }
  }

  /** Ends what was started. */
  async end(): Promise<void> {
    for (const program of this.#programs.splice(0)) await program.end()
  }

  async #accept(): Promise<{ sample: Sample; locations: readonly string[] }> {
    await this.#load({}, 1 / 4)
    const { result, cpu } = await this.#costing(() => this.#load({ collect: 2000 }))
    const alone = await this.#load({ connections: 1 }, 1 / 2)
    const sample = {
      'POST/s': result.perSecond,
      'POST CPU, µs': cpu / result.count,
      'accept p50, ms': result.p50,
      'accept alone p50, ms': alone.p50,
    }
    return { sample, locations: result.locations }
  }

  async #read(paths: readonly string[]): Promise<Sample> {
    const { result, cpu } = await this.#costing(() => this.#load({ method: 'GET', paths, expect: this.#pending }))
    return { 'status/s': result.perSecond, 'status CPU, µs': cpu / result.count, 'status p50, ms': result.p50 }
  }

  /** Where the worker runs already, orders that were read have ended. */
  get #pending(): number {
    return this.#contender.waits ? 200 : 303
  }

  async #drain(): Promise<Sample> {
    if (!this.#contender.waits) return await this.#drainFromTheFirst()
    while (this.#accepted < this.#extent.drained) await this.#load({})
    if (this.#contender.oneProcess) await this.end()
    const before = this.#service.cpu()
    const began = performance.now()
    const port = await this.#start(this.#contender.oneProcess ? 'both' : 'worker')
    const worker = this.#programs.at(-1)
    const ownBefore = (await worker?.ask({ ask: 'cpu' })) ?? 0
    if (this.#contender.oneProcess) this.#port = port
    await this.#emptied()
    const ms = performance.now() - began
    const cpu = this.#service.cpu() - before + ((await worker?.ask({ ask: 'cpu' })) ?? 0) - ownBefore
    return { 'drain/s': (this.#accepted / ms) * 1000, 'drain CPU, µs': cpu / this.#accepted }
  }

  async #drainFromTheFirst(): Promise<Sample> {
    await this.#emptied()
    const accepted = this.#accepted
    const began = performance.now()
    const { cpu } = await this.#costing(async () => {
      while (this.#accepted - accepted < this.#extent.drained) await this.#load({ seconds: 1 })
      await this.#emptied()
    })
    const drained = this.#accepted - accepted
    return { 'drain/s': (drained / (performance.now() - began)) * 1000, 'drain CPU, µs': cpu / drained }
  }

  async #emptied(): Promise<void> {
    const asked = this.#programs.at(-1)
    while (((await asked?.ask({ ask: 'unfinished' })) ?? 0) > 0) await sleep(50)
  }

  async #roundTrips(): Promise<Sample> {
    await this.#load({ mode: 'round trip', connections: 4 }, 1 / 4)
    const alone = await this.#load({ mode: 'round trip', connections: 1 })
    const many = await this.#load({ mode: 'round trip', connections: 32 })
    return {
      'round trip alone p50, ms': alone.p50,
      'wake-up p50, ms': alone.wakeUp,
      'end to client p50, ms': alone.endToClient,
      'round trip at 32 p50, ms': many.p50,
      'round trips/s at 32': many.perSecond,
    }
  }

  /** A page of a list is as much work as many statuses. */
  async #list(): Promise<Sample> {
    const { result, cpu } = await this.#costing(() =>
      this.#load({ method: 'GET', paths: ['/orders'], expect: 200 }, 1 / 20),
    )
    return { 'lists/s': result.perSecond, 'list CPU, µs': cpu / result.count, 'list p50, ms': result.p50 }
  }

  async #memory(): Promise<Sample> {
    const own = await Promise.all(this.#programs.map(program => program.ask({ ask: 'memory' })))
    return {
      'memory API, MiB': own[0] ?? Number.NaN,
      'memory worker, MiB': own[1] ?? Number.NaN,
      'memory store, MiB': this.#service.memory(),
    }
  }

  /** The CPU time of all processes but the load's while something runs, in microseconds. */
  async #costing<T>(run: () => Promise<T>): Promise<{ result: T; cpu: number }> {
    const before = await this.#cpu()
    const result = await run()
    return { result, cpu: (await this.#cpu()) - before }
  }

  async #cpu(): Promise<number> {
    const own = await Promise.all(this.#programs.map(program => program.ask({ ask: 'cpu' })))
    return own.reduce((sum, value) => sum + value, this.#service.cpu())
  }

  async #load(load: Partial<Load>, part = 1): Promise<LoadResult> {
    const whole: Load = {
      port: this.#port,
      connections: CONNECTIONS,
      mode: 'each',
      method: 'POST',
      paths: ['/orders'],
      body: JSON.stringify(ORDER),
      expect: 202,
      ...this.#length(load, part),
      ...load,
    }
    const [result] = await this.#loader.ask({ loads: [whole.method === 'GET' ? withoutBody(whole) : whole] })
    if (result === undefined) throw new Error('The load came to nothing.')
    if (whole.method === 'POST') this.#accepted += result.count
    return result
  }

  #length({ connections = CONNECTIONS, mode }: Partial<Load>, part: number): Pick<Load, 'seconds' | 'count'> {
    const { seconds, requests } = this.#extent
    if (requests === undefined) return { seconds: seconds * part }
    // A client alone waits most of the time, and a round trip is three requests or more.
    const share = (connections < CONNECTIONS / 2 ? 1 / 10 : 1) / (mode === 'round trip' ? 4 : 1)
    return { count: Math.ceil(requests * part * share) }
  }

  async #start(role: ContenderInit['role']): Promise<number> {
    const { name, execArgv, env } = this.#contender
    const init: ContenderInit = { contender: name, role, url: this.#service.url, concurrency: CONCURRENCY }
    const program: Program = new BenchProcess('./contender.ts', init, execArgv, env)
    this.#programs.push(program)
    return await program.ready()
  }
}

function withoutBody({ body: _, ...load }: Load): Load {
  return load
}
