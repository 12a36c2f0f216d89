/**
 * The server that the conformance suite of MCP runs against. It prints its URL. With the argument `api` another process, which
 * has the argument `work`, runs the handlers, so that this one can be killed at any moment.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fastify from 'fastify'
import { folderBlobs } from 'waybill/blobs/folder'
import { waybill } from 'waybill/fastify'
import { createWaybill } from 'waybill/server'
import { sqliteStore } from 'waybill/stores/sqlite'
import { capabilities, methods, WATCHED } from './methods.ts'
import * as tools from './tools.ts'

const [role, path = ':memory:', folder = mkdtempSync(join(tmpdir(), 'waybill-mcp-'))] = process.argv.slice(2)
const worker = { handlers: new URL('./handlers.ts', import.meta.url), concurrency: 16, pollInterval: 100 }
const composition = createWaybill({
  operations: Object.values(tools),
  store: sqliteStore({ path }),
  blobs: folderBlobs({ path: folder }),
  worker: role === 'api' ? undefined : worker,
})
await composition.start()
if (role === 'work') console.log('working')
else {
  const { operation } = await composition.operations.submit(tools.watched, { input: {}, idempotencyKey: WATCHED })
  const resourceOperation = (uri: string) => (uri === WATCHED ? operation.id : undefined)
  const mcp = { name: 'conformance', methods, capabilities, resourceOperation }
  const app = fastify({ forceCloseConnections: true })
  await app.register(waybill, { waybill: composition, mcp })
  console.log(await app.listen({ host: '127.0.0.1', port: 0 }))
}
