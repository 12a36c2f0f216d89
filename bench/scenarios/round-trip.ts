/** From the POST to the result, as a client does it: accept, wait, follow. */
import type { Bench, Server } from '../bench.ts'
import { ORDER } from '../orders.ts'
import type { Sample, Scenario } from '../scenario.ts'

async function trips(bench: Bench, server: Server, connections: number): Promise<Sample> {
  const measured = await bench.load(server, {
    mode: 'round trip',
    connections,
    method: 'POST',
    paths: ['/orders'],
    body: JSON.stringify(ORDER),
    expect: 202,
    seconds: bench.seconds,
  })
  return {
    [`${connections} at once: operations/s`]: measured.perSecond,
    [`${connections} at once: p50 ms`]: measured.p50,
    [`${connections} at once: p99 ms`]: measured.p99,
  }
}

export const roundTrip: Scenario = {
  name: 'round-trip',
  about: 'POST, status until it is 303, result; the handler runs inline and returns its input',
  ratios: [],
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('trip.db'), work: 'inline' })
    return async () => ({ ...(await trips(bench, server, 1)), ...(await trips(bench, server, 32)) })
  },
}
