import type { AddressInfo } from 'node:net'
import express from 'express'
import { pino } from 'pino'
import { storeFromUrl } from 'waybill/from-url'
import { nodeListener, stopServer } from 'waybill/node'
import { createWaybill } from 'waybill/server'
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

const app = express()
const admin = process.env.NODE_ENV === 'production' ? undefined : {} // the console, for this machine alone
app.use(nodeListener(waybill, { admin })) // what it has no route for goes on to the next middleware
const server = app.listen(Number(PORT), HOST, () => {
  const url = `http://${HOST}:${(server.address() as AddressInfo).port}`
  logger.info(`POST ${url}/greetings, described at ${url}/docs`)
})
server.requestTimeout = 30_000 // limits how long a request body may take

// At a deploy, unfinished operations go back to the queue without losing an attempt. A second signal exits at once.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopServer(server, waybill))
