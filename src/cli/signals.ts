/** Stops a command by signals. */
import { stayAlive } from '../util/stay-alive.ts'

/** Under npm one Ctrl-C arrives twice: from the terminal, and passed on by npm. */
const SAME_SIGNAL_MS = 300

/**
 * The first SIGTERM or SIGINT stops the command. A second one ends the process at once. Nothing is lost by that: the
 * leases of its operations run out.
 *
 * @returns aborted by the first signal
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController()
  let first = Number.POSITIVE_INFINITY
  const onSignal = () => {
    const since = performance.now() - first
    if (since > SAME_SIGNAL_MS) process.exit(1)
    if (controller.signal.aborted) return
    first = performance.now()
    controller.abort()
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  return controller.signal
}

/** Resolves when the signal is aborted, and keeps the process alive until then. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    // Signals alone keep no process alive.
    const release = stayAlive()
    const end = () => {
      release()
      resolve()
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}
