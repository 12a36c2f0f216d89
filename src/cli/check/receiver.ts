/** Receives the webhooks of a check on this machine. The first delivery is refused, so that it must be retried. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One delivery. */
export interface Delivered {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A receiver that listens. */
export interface Receiver {
  readonly url: string
  /** Resolves with the deliveries, as soon as there are two, or when the promise resolves. */
  deliveries(until: Promise<unknown>): Promise<readonly Delivered[]>
  close(): Promise<void>
}

/** Starts a receiver on a free port of the loopback interface. */
export async function startReceiver(): Promise<Receiver> {
  const all: Delivered[] = []
  const second = Promise.withResolvers<void>()
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    all.push({ headers: request.headers, body })
    response.writeHead(all.length === 1 ? 503 : 204).end()
    if (all.length === 2) second.resolve()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhook`,
    deliveries: async until => {
      await Promise.race([second.promise, until])
      return all
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
