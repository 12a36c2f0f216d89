/** DBOS, with a queue whose polling is as short as it may be. */
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk'
import { Pool } from 'pg'
import type { OpenQueue, Order, Result } from '../comparison/queue.ts'

const QUEUE = 'orders'
const WORKFLOW = 'order'

export const open: OpenQueue = async ({ url, role, concurrency }) => {
  const pool = new Pool({ connectionString: url, max: 2 })
  await DBOS.migrate(url)
  const client = await DBOSClient.create({ systemDatabaseUrl: url, systemDatabasePoolSize: 20, applicationName: QUEUE })
  const names = { workflowName: WORKFLOW, queueName: QUEUE }
  return {
    submit: async (workflowID, order) => void (await client.enqueue({ ...names, workflowID }, order)),
    read: async id => {
      const handle = client.retrieveWorkflow<Result>(id)
      const status = await handle.getStatus()
      if (status === null) return undefined
      return { result: status.status === 'SUCCESS' ? (status.output as Result) : undefined }
    },
    unfinished: async () => {
      const text = `SELECT count(*)::int AS count FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')`
      const { rows } = await pool.query<{ count: number }>(text)
      return rows[0]?.count ?? 0
    },
    work: async handler => {
      DBOS.setConfig({ name: QUEUE, systemDatabaseUrl: url, systemDatabasePoolSize: 20, logLevel: 'error' })
      DBOS.registerWorkflow(async (order: Order) => handler(order), { name: WORKFLOW })
      await DBOS.launch()
      await DBOS.registerQueue(QUEUE, { workerConcurrency: concurrency * 4, minPollingIntervalMs: 10 })
    },
    close: async () => {
      if (role !== 'api') await DBOS.shutdown()
      await client.destroy()
      await pool.end()
    },
  }
}
