/** Long polls that are parked: what they cost, whether they slow POST down, and how soon all of them are told. */
import type { Bench, Server } from '../bench.ts'
import { ORDER } from '../orders.ts'
import { Connection, request } from '../processes/connection.ts'
import type { Scenario } from '../scenario.ts'

const COUNT = 2000
const ORDERS = { method: 'POST', paths: ['/orders'], body: JSON.stringify(ORDER), expect: 202 } as const

/** Every waiter has come when the server counts it. */
async function allParked(connection: Connection): Promise<void> {
  for (;;) {
    const { body } = await connection.send(request('GET', '/metrics'))
    if (body.includes(`\nwaybill_waiting_requests ${COUNT}\n`)) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

async function posts(bench: Bench, server: Server): Promise<number> {
  return (await bench.load(server, { ...ORDERS, seconds: bench.seconds })).perSecond
}

export const waiters: Scenario = {
  name: 'waiters',
  about: `${COUNT} long polls on connections that are open before: all for one order, and each for its own`,
  ratios: ['one order', 'an order each'].map(what => ({
    name: `POST beside waiters for ${what} / without`,
    of: `POST beside waiters for ${what}: requests/s`,
    to: 'POST: requests/s',
    atLeast: 0.95,
  })),
  prepare: async bench => {
    const server = await bench.serve({ kind: 'waybill', path: bench.file('waiters.db'), work: 'none' })
    const alone = await server.memory()
    const peer = await bench.waiters(server, COUNT)
    const connection = await Connection.open(server.port)
    bench.onEnd(async () => connection.close())

    /** Parks the waiters for this many orders, does something beside them, and ends what they wait for. */
    const beside = async (orders: number, act: () => Promise<number>) => {
      const { locations } = await bench.load(server, { ...ORDERS, count: orders, collect: orders })
      await peer.ask({ ask: 'park', paths: locations })
      await allParked(connection)
      const value = await act()
      await bench.load(server, { method: 'DELETE', paths: locations, count: orders, expect: 200 })
      return { value, ...(await peer.ask({ ask: 'told' })) }
    }

    // Once, and before all else: after a full collection V8 is slower for a while.
    const connected = await server.memory()
    const parked = await beside(1, () => server.memory())
    return async () => {
      const before = await posts(bench, server)
      const one = await beside(1, () => posts(bench, server))
      const each = await beside(COUNT, () => posts(bench, server))
      // The file grows all the time: what is compared with each other lies around the same moment.
      const without = (before + (await posts(bench, server))) / 2
      return {
        'connections alone: MB': connected - alone,
        'waiters on them: MB': parked.value - connected,
        'POST: requests/s': without,
        'POST beside waiters for one order: requests/s': one.value,
        'POST beside waiters for an order each: requests/s': each.value,
        'half of those for one order told after: ms': one.half,
        'the last of them told after: ms': one.last,
      }
    }
  },
}
