/** A process of a contender: it accepts orders over HTTP, works on them, or both. */
import type { AddressInfo } from 'node:net'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify, { type FastifyInstance } from 'fastify'
import { Pool } from 'pg'
import { handler } from 'waybill'
import type { Store } from 'waybill/adapters'
import { waybill } from 'waybill/fastify'
import { createWaybill } from 'waybill/server'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import { openPostgres, openSqlite } from '../comparison/floors.ts'
import { type OpenQueue, type Order, type QueueInit, stamp } from '../comparison/queue.ts'
import { queueServer } from '../comparison/serve.ts'
import { orders } from '../orders.ts'
import { argument, serve } from './bench-process.ts'

/** Which contender to be. */
export interface ContenderInit extends QueueInit {
  readonly contender: string
}

/** What it is asked: CPU time so far in microseconds, its memory in MiB, or how many orders have not ended. */
export type ContenderQuestion = { readonly ask: 'cpu' | 'memory' | 'unfinished' }

/** What the process does for the driver. */
interface Contender {
  readonly port: number
  unfinished(): Promise<number>
  close(): Promise<void>
}

/** Counts as the other contenders do: the store's statistics name each operation that is ready. */
const UNFINISHED = ['status = 0 AND run_at IS NULL', 'status = 1']
const OWN: Readonly<Record<string, OpenQueue>> = { 'floor on SQLite': openSqlite, 'floor on PostgreSQL': openPostgres }

const init = argument<ContenderInit>()
const contender = init.contender.startsWith('Waybill') ? await startWaybill(init) : await startQueue(init)

process.on('disconnect', () => void contender.close().finally(() => process.exit(0)))
serve<ContenderQuestion, number>(contender.port, async ({ ask }) => {
  if (ask === 'unfinished') return await contender.unfinished()
  if (ask === 'memory') return process.memoryUsage.rss() / 2 ** 20
  const { user, system } = process.cpuUsage()
  return user + system
})

async function startQueue(started: ContenderInit): Promise<Contender> {
  const open = OWN[started.contender] ?? (await openerOf(started.contender))
  const queue = await open(started)
  if (started.role !== 'api') await queue.work(stamp)
  const app = queueServer(queue)
  return {
    port: started.role === 'worker' ? 0 : await listen(app),
    unfinished: () => queue.unfinished(),
    close: async () => {
      await app.close()
      await queue.close()
    },
  }
}

async function openerOf(name: string): Promise<OpenQueue> {
  const module = (await import(new URL(`../peers/${name}.ts`, import.meta.url).href)) as { open: OpenQueue }
  return module.open
}

async function startWaybill({ url, role, concurrency }: ContenderInit): Promise<Contender> {
  const { store, unfinished } = openStore(url)
  const worker = { handlers: handler(orders, order => stamp(order as Order)), concurrency }
  const options = { operations: [orders], store, ...(role !== 'api' && { worker }) }
  if (role === 'worker') {
    const composition = createWaybill(options)
    await composition.start()
    return { port: 0, unfinished, close: () => composition.stop() }
  }
  const app = fastify()
  await app.register(waybill, { ...options, listing: true })
  return { port: await listen(app), unfinished, close: () => app.close() }
}

function openStore(url: string): { store: Store; unfinished: () => Promise<number> } {
  if (!url.startsWith('postgres')) return { store: sqliteStore({ path: url }), unfinished: sqliteCounter(url) }
  const pool = new Pool({ connectionString: url })
  const text = `SELECT (${countsIn('waybill.operations')})::int AS count`
  const unfinished = async () => (await pool.query<{ count: number }>(text)).rows[0]?.count ?? 0
  return { store: postgresStore(pool), unfinished }
}

function sqliteCounter(path: string): () => Promise<number> {
  let statement: StatementSync | undefined
  return async () => {
    statement ??= new DatabaseSync(path, { readOnly: true }).prepare(`SELECT ${countsIn('operations')} AS count`)
    return (statement.get() as { count: number }).count
  }
}

function countsIn(table: string): string {
  return UNFINISHED.map(condition => `(SELECT count(*) FROM ${table} WHERE ${condition})`).join(' + ')
}

async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** Keeps a process whose work has no handles of its own alive. */
void sleep(2 ** 31 - 1, undefined, { ref: init.role === 'worker' })
