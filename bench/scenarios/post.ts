/** POST: an order is validated, made durable and answered with 202. */
import { ORDER } from '../orders.ts'
import type { Scenario } from '../scenario.ts'
import { besideRatios, prepareBeside } from './beside.ts'

export const post: Scenario = {
  name: 'post',
  about: 'POST /orders, durable before the 202 (SQLite, synchronous=FULL)',
  ratios: besideRatios(0.75),
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('post.db'), work: 'none' })
    const body = JSON.stringify(ORDER)
    return await prepareBeside(bench, server, { method: 'POST', paths: ['/orders'], body, expect: 202 })
  },
}
