import type { Server } from 'node:http'
import { serve } from '@hono/node-server'
import { getConnInfo } from '@hono/node-server/conninfo'
import { Hono } from 'hono'
import { pino } from 'pino'
import { storeFromUrl } from 'waybill/from-url'
import { stopServer } from 'waybill/node'
import { createWaybill } from 'waybill/server'
import { fetchHandler } from 'waybill/web'
import { greetings } from './greetings.ts'

const { WAYBILL_STORE = '{{store}}', HOST = '127.0.0.1', PORT = '3000' } = process.env

const logger = pino()
const waybill = createWaybill({
  operations: [greetings],
  store: await storeFromUrl(WAYBILL_STORE),
  worker: { handlers: new URL('./greet.ts', import.meta.url) },
  logger,
})
await waybill.start()

const admin = process.env.NODE_ENV === 'production' ? undefined : {} // the console, for this machine alone
const answer = fetchHandler(waybill, { admin })
const app = new Hono()
app.all('*', context => answer(context.req.raw, getConnInfo(context).remote)) // routes of your own go before it

const server = serve({ fetch: app.fetch, hostname: HOST, port: Number(PORT) }, ({ port }) => {
  const url = `http://${HOST}:${port}`
  logger.info(`POST ${url}/greetings, described at ${url}/docs`)
}) as Server
server.requestTimeout = 30_000 // limits how long a request body may take

// At a deploy, unfinished operations go back to the queue without losing an attempt. A second signal exits at once.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopServer(server, waybill))
