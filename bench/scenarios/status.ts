/** GET of the status of operations that wait in the queue. */
import { ORDER } from '../orders.ts'
import type { Scenario } from '../scenario.ts'
import { besideRatios, prepareBeside } from './beside.ts'

const QUEUE = 2000

export const status: Scenario = {
  name: 'status',
  about: `GET /orders/status/{id} of ${QUEUE} pending operations in turn`,
  ratios: besideRatios(0.8),
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('status.db'), work: 'none' })
    const body = JSON.stringify(ORDER)
    const posts = { method: 'POST', paths: ['/orders'], body, expect: 202, count: QUEUE, collect: QUEUE } as const
    const { locations } = await bench.load(server, posts)
    return await prepareBeside(bench, server, { method: 'GET', paths: locations, expect: 200 })
  },
}
