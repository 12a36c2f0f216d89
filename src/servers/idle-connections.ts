/** Closes idle connections of a server that shuts down. */

/** The used part of a server. A server from the user's own factory may not have it. */
interface Connections {
  closeIdleConnections?(): void
}

/** How long after its last answer a connection is closed, in milliseconds. */
const CLOSE_EVERY_MS = 50

/**
 * Closes connections as soon as they are idle. Node does so only once, when a server closes, and waits for the others
 * until their keep-alive time is over, or forever.
 *
 * @returns ends it; called when the server has closed
 */
export function closeWhenIdle(server: Connections): () => void {
  const timer = setInterval(() => server.closeIdleConnections?.(), CLOSE_EVERY_MS).unref()
  return () => clearInterval(timer)
}
