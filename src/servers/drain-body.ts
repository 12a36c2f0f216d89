/** Bodies that nobody wants. They are read for a while and thrown away, so that a connection can go on, but not without end. */
import type { IncomingMessage } from 'node:http'

/** How many bytes of one are thrown away at most. */
export const MAX_DRAINED_BYTES = 4 * 2 ** 20

/** Resolves when the message has ended, its client has gone, or {@link MAX_DRAINED_BYTES} of it have come. */
export function drainBody(message: IncomingMessage): Promise<void> {
  return new Promise(resolve => {
    let left = MAX_DRAINED_BYTES
    message.on('data', (piece: Uint8Array) => {
      left -= piece.byteLength
      if (left < 0) resolve()
    })
    message.once('close', resolve)
  })
}
