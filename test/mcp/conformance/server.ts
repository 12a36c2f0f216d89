/** The server that the conformance suite of MCP is run on: prints its URL, and ends with its process. */
import fastify from 'fastify'
import { waybill } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import * as tools from './tools.ts'

const { MCP_STORE: path = ':memory:', PORT = '0' } = process.env
const app = fastify({ forceCloseConnections: true })
await app.register(waybill, {
  operations: Object.values(tools),
  store: sqliteStore({ path }),
  worker: { handlers: new URL('./handlers.ts', import.meta.url), concurrency: 16 },
  mcp: { name: 'conformance' },
})
console.log(await app.listen({ host: '127.0.0.1', port: Number(PORT) }))
