/** GET of the status (303) and of the result (200) of completed operations. */
import type { Bench, Server } from '../bench.ts'
import { ORDER } from '../orders.ts'
import type { Scenario } from '../scenario.ts'
import { besideRatios, prepareBeside } from './beside.ts'

const COMPLETED = 2000

async function complete(bench: Bench, server: Server): Promise<readonly string[]> {
  const body = JSON.stringify(ORDER)
  const posts = { method: 'POST', paths: ['/orders'], body, expect: 202, count: COMPLETED, collect: COMPLETED } as const
  const { locations } = await bench.load(server, posts)
  await server.ended(COMPLETED)
  return locations
}

export const completed: Scenario = {
  name: 'completed',
  about: `GET /orders/status/{id} of ${COMPLETED} completed operations in turn: 303`,
  ratios: besideRatios(0.8),
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('completed.db'), work: 'inline' })
    const paths = await complete(bench, server)
    return await prepareBeside(bench, server, { method: 'GET', paths, expect: 303 })
  },
}

export const result: Scenario = {
  name: 'result',
  about: `GET /orders/{id}, the results of ${COMPLETED} completed operations in turn: 200`,
  ratios: besideRatios(0.8),
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('result.db'), work: 'inline' })
    const statuses = await complete(bench, server)
    const paths = statuses.map(path => path.replace('/status/', '/'))
    return await prepareBeside(bench, server, { method: 'GET', paths, expect: 200 })
  },
}
