/** Waybill beside a bare Fastify route that answers with the same bytes, one after the other in each round. */
import type { Bench, LoadInit, Server } from '../bench.ts'
import { templateOf } from '../bench.ts'
import type { Ratio, Sample } from '../scenario.ts'

/** What is asked of Waybill; the bare route is asked with the same method and body. */
export type Asked = Pick<LoadInit, 'method' | 'paths' | 'body' | 'expect'>

const WAYBILL_CPU = 'waybill: CPU µs/request'
const BARE_CPU = 'bare: CPU µs/request'
const ADDED = 'added by waybill: CPU µs/request'

/** Both sides of one round. */
export async function prepareBeside(bench: Bench, server: Server, asked: Asked): Promise<() => Promise<Sample>> {
  const { method, body, paths } = asked
  const template = await templateOf(server, method, paths[0] ?? '/', body)
  const bare = await bench.serveBare(method, template)
  const barePaths = method === 'POST' ? ['/bare'] : paths.map(path => `/bare/${path.split('/').at(-1)}`)
  const measure = async (side: 'bare' | 'waybill', of: Server, on: readonly string[]): Promise<Sample> => {
    const measured = await bench.load(of, { ...asked, paths: on, seconds: bench.seconds })
    return {
      [`${side}: requests/s`]: measured.perSecond,
      [`${side}: p50 ms`]: measured.p50,
      [`${side}: p99 ms`]: measured.p99,
      [`${side}: CPU µs/request`]: measured.cpu,
    }
  }
  return async () => {
    const sample = { ...(await measure('bare', bare, barePaths)), ...(await measure('waybill', server, paths)) }
    return { ...sample, [ADDED]: (sample[WAYBILL_CPU] ?? 0) - (sample[BARE_CPU] ?? 0) }
  }
}

/** Waybill's rate as a part of the bare route's. */
export function besideRatios(atLeast?: number): readonly Ratio[] {
  return [
    {
      name: 'rate / bare',
      of: 'waybill: requests/s',
      to: 'bare: requests/s',
      ...(atLeast !== undefined && { atLeast }),
    },
    { name: 'CPU / bare', of: WAYBILL_CPU, to: BARE_CPU },
  ]
}
