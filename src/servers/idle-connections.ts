/** Connections of a server that closes. */

/** The part of a server that is needed; one made by a factory of the user's may lack it. */
interface Connections {
  closeIdleConnections?(): void
}

/** How soon a connection is closed after its last answer, in milliseconds. */
const CLOSE_EVERY_MS = 50

/**
 * Closes connections as soon as they have nothing under way. Node does so once when a server closes, and waits for the
 * others until their keep-alive has run out, or forever.
 *
 * @returns ends it; called when the server has closed
 */
export function closeWhenIdle(server: Connections): () => void {
  const timer = setInterval(() => server.closeIdleConnections?.(), CLOSE_EVERY_MS).unref()
  return () => clearInterval(timer)
}
