/** BullMQ on Redis with every write synced (`appendfsync always`). */
import { Queue as BullQueue, QueueEvents, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { OpenQueue, Order, Result } from '../comparison/queue.ts'

const NAME = 'orders'

export const open: OpenQueue = async ({ url, role, concurrency }) => {
  const connection = new Redis(url, { maxRetriesPerRequest: null })
  const queue = new BullQueue<Order, Result>(NAME, { connection })
  const events = role === 'worker' ? undefined : new QueueEvents(NAME, { connection })
  await Promise.all([queue.waitUntilReady(), events?.waitUntilReady()])
  // Each waiter adds listeners to both.
  events?.setMaxListeners(0)
  queue.setMaxListeners(0)
  let worker: Worker<Order, Result> | undefined
  return {
    submit: async (id, order) => void (await queue.add('order', order, { jobId: id })),
    read: async id => {
      const job = await queue.getJob(id)
      return job && { result: job.returnvalue ?? undefined }
    },
    ended: async (id, timeoutMs) => {
      const job = await queue.getJob(id)
      if (events !== undefined) await job?.waitUntilFinished(events, timeoutMs).catch(() => {})
    },
    unfinished: async () => {
      const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized')
      return Object.values(counts).reduce((sum, count) => sum + count, 0)
    },
    work: async handler => {
      worker = new Worker<Order, Result>(NAME, async ({ data }) => handler(data), { connection, concurrency })
      await worker.waitUntilReady()
    },
    close: async () => {
      await worker?.close()
      await events?.close()
      await queue.close()
      connection.disconnect()
    },
  }
}
