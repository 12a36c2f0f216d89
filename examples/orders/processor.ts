import { setTimeout as sleep } from 'node:timers/promises'
import { handler, ProblemError } from 'waybill'
import { z } from 'zod'
import { orders } from './orders.ts'
import { PROCESSING_MS } from './settings.ts'

/** An order of more pieces than this is packed only when a person has approved it: on the page, or an agent's user. */
const APPROVE_ABOVE = 1500

/** The work on one order. As in the article, it is only simulated: it waits for a while, and reports its progress. */
export default handler(orders, async (order, job) => {
  const pieces = order.items.reduce((sum, { quantity }) => sum + quantity, 0)
  if (pieces > APPROVE_ABOVE) {
    const message = `Pack ${pieces} pieces for ${order.customer}?`
    const isApproved = await job.ask('approval', { message, schema: z.boolean(), timeout: '7d' })
    if (!isApproved) throw new ProblemError({ status: 422, title: 'The order was not approved' })
  }
  const total = PROCESSING_MS ?? Math.floor(Math.random() * 30_000)
  const units = order.items.flatMap(({ name, quantity }) => Array.from(Array(Math.min(quantity, 10)), () => name))
  if (total === 0) units.length = 0
  for (const [index, name] of units.entries()) {
    job.progress(index / units.length, `packing ${name}`)
    await sleep(total / units.length, undefined, { signal: job.signal })
  }
  return { ...order, completedAt: new Date().toISOString() }
})
