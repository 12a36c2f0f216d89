/** How fast a worker in the server's process works off a queue with a handler that does nothing. */
import type { Bench } from '../bench.ts'
import { ORDER } from '../orders.ts'
import type { Scenario } from '../scenario.ts'
import { singleRows } from './limits.ts'

const ENDED = 'ended: operations/s'
const TRANSACTIONS = 'SQLite FULL, one row each: transactions/s'

/** A new queue for each round, filled by a server without a worker. */
async function fill(bench: Bench, path: string, count: number): Promise<void> {
  const server = await bench.serve({ kind: 'waybill', path, work: 'none' })
  await bench.load(server, { method: 'POST', paths: ['/orders'], body: JSON.stringify(ORDER), expect: 202, count })
  await server.end()
}

export const drain: Scenario = {
  name: 'drain',
  about: 'a full queue, a worker inline (32 at once), a handler that returns its input; claim and outcome durable',
  ratios: [{ name: 'ended / transactions', of: ENDED, to: TRANSACTIONS }],
  prepare: async bench => {
    const count = bench.quick ? 5000 : 20_000
    let round = 0
    return async () => {
      const path = bench.file(`drain-${round++}.db`)
      await fill(bench, path, count)
      const transactions = singleRows(bench)
      const server = await bench.serve({ kind: 'waybill', path, work: 'inline' })
      const ms = await server.ended(count)
      const cpu = await server.cpu()
      await server.end()
      return { [TRANSACTIONS]: transactions, [ENDED]: (count / ms) * 1000, 'CPU µs/operation': cpu / count }
    }
  },
}
