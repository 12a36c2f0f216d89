import { setTimeout as sleep } from 'node:timers/promises'
import { handler } from 'waybill'
import { orders } from './orders.ts'

/** The work of one order: a wait of up to 30 seconds, or of ORDER_PROCESSING_MS milliseconds. */
export default handler(orders, async (order, job) => {
  const total = processingMs()
  const stages = order.items.map(item => `packing ${item.quantity} × ${item.name}`)
  for (const [index, stage] of stages.entries()) {
    job.progress(index / stages.length, stage)
    await sleep(total / stages.length, undefined, { signal: job.signal })
  }
  return { ...order, completedAt: new Date().toISOString() }
})

function processingMs(): number {
  const set = process.env.ORDER_PROCESSING_MS
  return set === undefined || set === '' ? Math.floor(Math.random() * 30_000) : Number(set)
}
