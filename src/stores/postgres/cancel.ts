/** Asks a server to end the statement of a connection, by the protocol's own request. A pooler passes it on. */
import { connect } from 'node:net'
import type { PostgresClient } from './pool.ts'

/** The code of a cancel request (PostgreSQL documentation, Message Formats). */
const CANCEL_REQUEST = 80_877_102
/** Who cannot be reached by then has no use for it any more, in milliseconds. */
const PATIENCE_MS = 5000

/**
 * Sends the request, as far as the connection says where to. It may come too late, or not at all, and nobody is told.
 *
 * It is not encrypted, as in the other clients of PostgreSQL: it carries a key that says nothing but this, and is of no
 * use once the connection is closed. So close it, also because a late request would end the connection's next statement.
 */
export function cancelStatement({ host, port, processID, secretKey }: PostgresClient): void {
  if (!host || !port || typeof processID !== 'number' || typeof secretKey !== 'number') return
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  socket.unref()
  socket.on('error', () => {})
  socket.setTimeout(PATIENCE_MS, () => socket.destroy())
  socket.end(cancelRequest(processID, secretKey))
}

function cancelRequest(processID: number, secretKey: number): Buffer {
  const request = Buffer.alloc(16)
  request.writeInt32BE(request.length, 0)
  request.writeInt32BE(CANCEL_REQUEST, 4)
  request.writeInt32BE(processID, 8)
  request.writeInt32BE(secretKey, 12)
  return request
}
