/** Discards request bodies that are not needed, up to a limit, so that the connection can be reused. */
import type { IncomingMessage } from 'node:http'

/** The most bytes of a body that are discarded. */
export const MAX_DRAINED_BYTES = 4 * 2 ** 20

/** Resolves when the message has ended, its client has disconnected, or {@link MAX_DRAINED_BYTES} have arrived. */
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
