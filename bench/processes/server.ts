/** A server in a process of its own: Waybill, or a bare Fastify route that answers with the same bytes. */
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fastify, { type FastifyInstance } from 'fastify'
import { handler } from 'waybill'
import { type WaybillPluginOptions, waybill } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import { crunches, ORDER_SCHEMA, orders } from '../orders.ts'
import { argument, serve } from './bench-process.ts'
import type { Load } from './load.ts'

/** What the bare route answers. */
export interface Template {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Which server to be. */
export type ServerInit =
  | { readonly kind: 'bare'; readonly method: Load['method']; readonly template: Template }
  | {
      readonly kind: 'waybill'
      readonly path: string
      readonly work: 'none' | 'inline' | 'children'
      /** Whether it serves the admin API and the console, to everyone. */
      readonly admin?: boolean
    }

/** What it is asked: its use of the CPU so far, of memory now, or to wait until this many operations have ended since it started. */
export type ServerQuestion =
  | { readonly ask: 'cpu' }
  | { readonly ask: 'memory' }
  | { readonly ask: 'ended'; readonly count: number }

/** Its port, CPU time in microseconds, megabytes, or milliseconds since it was ready. */
export type ServerAnswer = number

type Store = ReturnType<typeof sqliteStore>

/** Counts the operations that have ended. */
class EndCounter {
  #ended = 0
  #awaited: { count: number; resolve: () => void } | undefined

  add(): void {
    this.#ended++
    if (this.#awaited !== undefined && this.#ended >= this.#awaited.count) this.#awaited.resolve()
  }

  reached(count: number): Promise<void> {
    return new Promise(resolve => {
      this.#awaited = { count, resolve }
      if (this.#ended >= count) resolve()
    })
  }
}

const ADMIN = { principal: () => ({ name: 'bench', role: 'operator' as const }) }

const init = argument<ServerInit>()
const ends = new EndCounter()
const app = fastify()
if (init.kind === 'bare') addBare(app, init.method, init.template)
else await app.register(waybill, { ...options(init.path, init.work), ...(init.admin && { admin: ADMIN }) })

const before = performance.now()
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo

process.on('disconnect', () => void app.close().then(() => process.exit(0)))
serve<ServerQuestion, ServerAnswer>(port, async question => {
  if (question.ask === 'cpu') {
    const { user, system } = process.cpuUsage()
    return user + system
  }
  if (question.ask === 'memory') return megabytes()
  await ends.reached(question.count)
  return performance.now() - before
})

/** Collected twice: what the first collection finalizes is freed by the second. */
function megabytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1e6
}

function addBare(server: FastifyInstance, method: Load['method'], { status, headers, body }: Template): void {
  server.route({
    method,
    url: method === 'POST' ? '/bare' : '/bare/:id',
    ...(method === 'POST' && { schema: { body: ORDER_SCHEMA } }),
    handler: async (_, reply) => reply.code(status).headers(headers).send(body),
  })
}

function options(path: string, work: 'none' | 'inline' | 'children'): WaybillPluginOptions {
  const base = { store: counted(sqliteStore({ path })), operations: [orders, crunches] }
  if (work === 'none') return base
  const handlers = work === 'inline' ? handler(orders, input => input) : new URL('../crunch.ts', import.meta.url)
  return { ...base, worker: { handlers } }
}

/** The store, each of whose durable outcomes is counted. */
function counted(store: Store): Store {
  const change = store.change.bind(store)
  store.change = async (id, to) => {
    const after = await change(id, to)
    if (to.kind === 'finish') ends.add()
    return after
  }
  return store
}
