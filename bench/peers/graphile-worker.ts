/** graphile-worker, with the local queue and the batched completion of its page on performance. It keeps no results: a table of the user's does. */
import { Logger, makeWorkerUtils, type Runner, run } from 'graphile-worker'
import { Pool } from 'pg'
import type { OpenQueue, Order, Result } from '../comparison/queue.ts'

interface Payload {
  readonly id: string
  readonly order: Order
}

export const open: OpenQueue = async ({ url, concurrency }) => {
  // It writes two lines for each job otherwise.
  const logger = new Logger(() => () => {})
  const pgPool = new Pool({ connectionString: url, max: 16 })
  const utils = await makeWorkerUtils({ pgPool, logger })
  await utils.migrate()
  await pgPool.query('CREATE TABLE IF NOT EXISTS results (id uuid PRIMARY KEY, result jsonb NOT NULL)')
  let runner: Runner | undefined
  return {
    submit: async (id, order) => void (await utils.addJob('order', { id, order }, { jobKey: id })),
    read: async id => {
      const { rows } = await pgPool.query<{ result: Result | null; known: boolean }>({
        name: 'read',
        text: `SELECT (SELECT result FROM results WHERE id = $1::uuid) AS result,
          EXISTS (SELECT FROM graphile_worker.jobs WHERE key = $1::text) AS known`,
        values: [id],
      })
      const [row] = rows
      return row?.known || row?.result ? { result: row.result ?? undefined } : undefined
    },
    unfinished: async () => {
      const { rows } = await pgPool.query<{ count: number }>('SELECT count(*)::int AS count FROM graphile_worker.jobs')
      return rows[0]?.count ?? 0
    },
    work: async handler => {
      runner = await run({
        pgPool,
        preset: {
          worker: {
            concurrentJobs: concurrency,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
        logger,
        noHandleSignals: true,
        taskList: {
          order: async payload => {
            const { id, order } = payload as Payload
            const text = 'INSERT INTO results VALUES ($1, $2) ON CONFLICT DO NOTHING'
            await pgPool.query({ name: 'keep', text, values: [id, handler(order)] })
          },
        },
      })
    },
    close: async () => {
      await runner?.stop()
      await utils.release()
      await pgPool.end()
    },
  }
}
