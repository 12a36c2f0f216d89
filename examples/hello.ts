/** The smallest server: `npm run hello`. The README shows it, and a test runs it. */
import Fastify from 'fastify'
import { defineOperation, handler } from 'waybill'
import { waybill } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'

const greetings = defineOperation({
  name: 'greetings',
  input: z.object({ name: z.string() }),
  output: z.object({ text: z.string() }),
})

const greet = handler(greetings, async ({ name }, job) => {
  job.progress(0.5, 'thinking')
  await new Promise(resolve => setTimeout(resolve, 3000)) // your long work
  return { text: `Hello, ${name}!` }
})

const app = Fastify({ requestTimeout: 30_000 })
await app.register(waybill, {
  operations: [greetings],
  store: sqliteStore({ path: './greetings.db' }),
  worker: { handlers: [greet] },
})
process.once('SIGTERM', () => app.close()) // at a deploy, unfinished operations go back to the queue
const url = await app.listen({ port: 3000 })
console.log(`POST ${url}/greetings, described at ${url}/docs`)
