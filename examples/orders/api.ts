import Fastify from 'fastify'
import { frameworkErrors, waybill } from 'waybill/fastify'
import { redactUrl } from 'waybill/from-url'
import { processLauncher } from 'waybill/launchers/process'
import { orderBatches, orders } from './orders.ts'
import { page } from './page.ts'
import { CONCURRENCY, fail, HOST, IS_LOCAL, PORT, RUN, STORE, sentence } from './settings.ts'
import { openStore } from './store.ts'

const handlers = new URL('./processor.ts', import.meta.url)
const entry = new URL('./job.ts', import.meta.url)

const RUN_CURE = `Check what WAYBILL_RUN=${RUN} needs`
const STORE_CURE = `Check WAYBILL_STORE, which is ${redactUrl(STORE)}`
const ADDRESS_CURE = `Set HOST and PORT to an address that is free, not ${HOST} and ${PORT}`

/** The ways to run differ only in who does the work. */
const work = {
  children: { worker: { handlers, concurrency: CONCURRENCY } },
  inline: { worker: { handlers, concurrency: CONCURRENCY, run: 'inline' } },
  process: {
    dispatcher: {
      launcher: processLauncher({ entry, variable: 'ORDER_ID', maxProcesses: CONCURRENCY }),
      claimTimeout: '10s',
    },
  },
  // Their clients are large, so they are loaded only when needed.
  'container-apps': RUN === 'container-apps' ? await import('./container-apps.ts').catch(explain(RUN_CURE)) : {},
  'storage-queue': RUN === 'storage-queue' ? await import('./storage-queue.ts').catch(explain(RUN_CURE)) : {},
  kubernetes: RUN === 'kubernetes' ? await import('./kubernetes.ts').catch(explain(RUN_CURE)) : {},
  none: {},
} as const

// On a terminal Waybill writes its own warnings and errors, as lines for people.
const logger = process.stderr.isTTY ? false : { level: 'warn', stream: process.stderr }
const isOperatedHere = IS_LOCAL && process.env.NODE_ENV !== 'production'
const store = await openStore()
const app = Fastify({ logger, frameworkErrors, requestTimeout: 30_000 })
// What a handler threw is for the operator: the page shows it where only this machine reaches it.
await app.register(page, { errors: IS_LOCAL ? id => store.errors(id) : undefined })
await app.register(waybill, {
  operations: [orders, orderBatches],
  store,
  listing: true,
  exposeAttempts: true,
  // Agents place orders too, at POST /mcp.
  mcp: { name: 'orders' },
  // Everyone on this machine may operate it.
  ...(isOperatedHere && { admin: {} }),
  ...work[RUN],
})

let stoppedAt = Number.POSITIVE_INFINITY
process.on('SIGINT', stop).on('SIGTERM', stop)
await app.ready().then(undefined, explain(STORE_CURE))
const url = await app.listen({ host: HOST, port: PORT }).catch(explain(ADDRESS_CURE))
console.log(`Order at ${url} (work: ${RUN}, store: ${redactUrl(STORE)}). Ctrl-C stops.`)
console.log(`  The API is described at ${url}/docs`)
if (isOperatedHere) console.log(`  Operations are seen at ${url}/console`)

/** The first signal hands back what is not done; a second one ends the process at once, and nothing is lost by it either. */
function stop(): void {
  const since = performance.now() - stoppedAt
  // Under npm one Ctrl-C arrives twice: from the terminal, and passed on by npm.
  if (since > 300) process.exit(1)
  if (since >= 0) return
  stoppedAt = performance.now()
  app.close().then(() => process.exit(0), explain(STORE_CURE))
}

function explain(cure: string): (error: Error) => never {
  return error => fail(`The API cannot run: ${sentence(error)} ${cure}.`)
}
