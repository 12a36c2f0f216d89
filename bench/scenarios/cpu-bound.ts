/** Whether the API answers while handlers compute on every core: the reason to take work out of the request. */
import { availableParallelism } from 'node:os'
import type { Bench, LoadInit, Server } from '../bench.ts'
import { ORDER } from '../orders.ts'
import type { Sample, Scenario } from '../scenario.ts'

/** Requests of each kind a second: far from what the server can do, so that latencies report the competition alone. */
const PER_SECOND = 250
/** How long each handler computes: attempts begin and end all the time. */
const CRUNCH_MS = 100

/** Longer than other rounds: a hundredth of the requests has to be enough of them to tell. */
function secondsOf(bench: Bench): number {
  return 4 * bench.seconds
}

async function latencies(bench: Bench, server: Server, when: string, paths: readonly string[]): Promise<Sample> {
  const paced = { mode: 'paced', perSecond: PER_SECOND, seconds: secondsOf(bench) } as const
  const posts: LoadInit = { ...paced, method: 'POST', paths: ['/orders'], body: JSON.stringify(ORDER), expect: 202 }
  const gets: LoadInit = { ...paced, method: 'GET', paths, expect: 200 }
  const [post, get] = await bench.loads(server, [posts, gets])
  return {
    [`POST ${when}: p50 ms`]: post?.p50 ?? 0,
    [`POST ${when}: p99 ms`]: post?.p99 ?? 0,
    [`status ${when}: p50 ms`]: get?.p50 ?? 0,
    [`status ${when}: p99 ms`]: get?.p99 ?? 0,
  }
}

export const cpuBound: Scenario = {
  name: 'cpu-bound',
  about: `POST and status, ${PER_SECOND}/s each, while a handler computes on each core, and while none does`,
  ratios: ['POST', 'status'].map(what => ({
    name: `${what} p99, busy / idle`,
    of: `${what} busy: p99 ms`,
    to: `${what} idle: p99 ms`,
    atMost: 2,
  })),
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('cpu.db'), work: 'children' })
    const orders = { method: 'POST', paths: ['/orders'], body: JSON.stringify(ORDER), expect: 202 } as const
    const { locations } = await bench.load(server, { ...orders, count: 500, collect: 500 })
    const crunches = Math.ceil((availableParallelism() * (secondsOf(bench) + 0.5) * 1000) / CRUNCH_MS)
    let ended = 0
    return async () => {
      const idle = await latencies(bench, server, 'idle', locations)
      const body = JSON.stringify({ ms: CRUNCH_MS })
      await bench.load(server, { method: 'POST', paths: ['/crunches'], body, expect: 202, count: crunches })
      const busy = await latencies(bench, server, 'busy', locations)
      ended += crunches
      await server.ended(ended)
      return { ...idle, ...busy }
    }
  },
}
