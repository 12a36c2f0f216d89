import { setTimeout as sleep } from 'node:timers/promises'
import { handler } from 'waybill'
import { orders } from './orders.ts'
import { PROCESSING_MS } from './settings.ts'

/** The work on one order. As in the article, it is only simulated: it waits for a while, and tells how far it is. */
export default handler(orders, async (order, job) => {
  const total = PROCESSING_MS ?? Math.floor(Math.random() * 30_000)
  const units = order.items.flatMap(({ name, quantity }) => Array.from(Array(Math.min(quantity, 10)), () => name))
  if (total === 0) units.length = 0
  for (const [index, name] of units.entries()) {
    job.progress(index / units.length, `packing ${name}`)
    await sleep(total / units.length, undefined, { signal: job.signal })
  }
  return { ...order, completedAt: new Date().toISOString() }
})
