/** `waybill console`: serves the console for a store on this machine, independent of the server of its API. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { redactUrl, storeFromUrl } from '../from-url/index.ts'
import { isLocalName } from '../http/admin/operator-identity.ts'
import { nodeListener } from '../servers/node.ts'
import { createWaybill, type Waybill } from '../waybill.ts'
import { BLOBS_OPTION, type Command, JSON_LINES_OPTION, type ParsedArgs, STORE_OPTION } from './command.ts'
import { actor, typesOf } from './desk.ts'
import { namedBlobs } from './open.ts'
import { print, printEntry } from './output.ts'
import { aborted, stopSignal } from './signals.ts'

export const consoleCommand: Command = {
  name: 'console',
  summary: 'serve the console on this machine: see the operations of a store in a browser, and act on them',
  options: {
    ...STORE_OPTION,
    ...BLOBS_OPTION,
    port: { value: 'N', help: 'port to listen on (default: a free port)' },
    handlers: {
      value: 'FILE',
      multiple: true,
      help: 'handler file, which defines operation types; needed to retry operations',
    },
    ...JSON_LINES_OPTION,
  },
  examples: [
    'waybill console --store sqlite:./orders.db',
    'waybill console --store postgres://localhost/orders --handlers ./processor.ts --port 4000',
  ],
  run: serve,
}

async function serve(given: ParsedArgs): Promise<number> {
  const stop = stopSignal()
  const blobs = await namedBlobs(given)
  const storeUrl = given.storeUrl()
  const store = await storeFromUrl(storeUrl, { existing: true, ...blobs })
  const waybill = createWaybill({ operations: await typesOf(given), store, ...blobs })
  try {
    // Not started: this process runs no operations and does not sweep. Other processes do that.
    await waybill.store.open()
    const server = await listen(waybill, given.whole('port', { min: 0, max: 65_535 }) ?? 0)
    const { port } = server.address() as AddressInfo
    const [url, of] = [`http://127.0.0.1:${port}/console`, redactUrl(storeUrl)]
    if (given.has('json')) printEntry('info', { url, store: of }, 'The console has started')
    else print(`Console of ${of} at ${url}. Ctrl-C stops.`)
    await aborted(stop)
    server.closeAllConnections()
    server.close()
    return 0
  } finally {
    await waybill.stop()
  }
}

async function listen(waybill: Waybill, port: number) {
  const { name } = actor()
  const principal = ({ headers }: Request) =>
    isLocalName(headers.get('host') ?? '') ? ({ name, role: 'operator' } as const) : undefined
  // Callers use the API of another process.
  const callers = { principal: () => undefined, openapi: false, metrics: false } as const
  const server = createServer(nodeListener(waybill, { ...callers, admin: { principal } }))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}
