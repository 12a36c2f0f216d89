/**
 * Asks a server to end the statement of a connection, by a cancel request of the PostgreSQL protocol. Poolers forward
 * it.
 */
import { connect } from 'node:net'
import type { PostgresClient } from './pool.ts'

/** The code of a cancel request (PostgreSQL documentation, Message Formats). */
const CANCEL_REQUEST = 80_877_102
/** How long the request may take, in milliseconds. A later one would be useless. */
const PATIENCE_MS = 5000

/**
 * Sends the request, if the connection contains the address. It may arrive too late or not at all, without an error.
 *
 * It is not encrypted, as in the other clients of PostgreSQL: it carries a key that serves only this purpose, and is
 * useless once the connection is closed. So close the connection, also because a late request would end its next
 * statement.
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
