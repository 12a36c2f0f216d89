import Fastify from 'fastify'
import { waybill } from 'waybill/fastify'
import { storeFromUrl } from 'waybill/from-url'
import { greetings } from './greetings.ts'

const { WAYBILL_STORE = '{{store}}', HOST = '127.0.0.1', PORT = '3000' } = process.env

const app = Fastify({ logger: true, requestTimeout: 30_000 }) // limits how long a request body may take
await app.register(waybill, {
  operations: [greetings],
  store: await storeFromUrl(WAYBILL_STORE),
  worker: { handlers: new URL('./greet.ts', import.meta.url) },
  admin: process.env.NODE_ENV === 'production' ? undefined : {}, // the console, for this machine alone
})

// At a deploy, unfinished operations go back to the queue without losing an attempt. A second signal exits at once.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => app.close())

const url = await app.listen({ host: HOST, port: Number(PORT) })
app.log.info(`POST ${url}/greetings, described at ${url}/docs`)
