/** A timer of Node fires at once if it is longer than this. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Keeps the process alive until the returned function is called. Nothing else may: pauses between two tries are timers
 * that hold nothing, and some stores have neither a connection nor a thread that stays.
 */
export function stayAlive(): () => void {
  const timer = setInterval(() => {}, LONGEST_MS)
  return () => clearInterval(timer)
}
