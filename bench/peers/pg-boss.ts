/** pg-boss, with NOTIFY and the batches that its documentation recommends for throughput. */
import { PgBoss } from 'pg-boss'
import type { OpenQueue, Order, Result } from '../comparison/queue.ts'

const NAME = 'orders'

export const open: OpenQueue = async ({ url, role }) => {
  const boss = new PgBoss({ connectionString: url, max: 10, schedule: false, useListenNotify: role !== 'api' })
  boss.on('error', error => console.error(error))
  await boss.start()
  await boss.createQueue(NAME, { notify: true })
  return {
    submit: async (id, order) => void (await boss.send(NAME, order, { id })),
    read: async id => {
      const [job] = await boss.findJobs<Order>(NAME, { id })
      return job && { result: job.state === 'completed' ? (job.output as unknown as Result) : undefined }
    },
    unfinished: async () => {
      const sql = `SELECT count(*)::int AS count FROM pgboss.job WHERE name = '${NAME}' AND state < 'completed'`
      const { rows } = (await boss.getDb().executeSql(sql)) as { rows: { count: number }[] }
      return rows[0]?.count ?? 0
    },
    work: async handler => {
      const options = { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true, perJobResults: true }
      await boss.work<Order>(NAME, options, async jobs =>
        jobs.map(({ id, data }) => ({ id, status: 'completed' as const, output: handler(data) })),
      )
    },
    close: () => boss.stop({ graceful: false }),
  }
}
