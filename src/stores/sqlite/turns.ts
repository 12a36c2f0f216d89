/**
 * Waiting for a lock that another connection holds. SQLite's own waiting backs off to 100 ms, so that a lone writer
 * beside a busy process finds the lock taken again and again; and it does not wait at all for some steps of opening.
 */

/** How long a lock is waited for, in milliseconds. */
export const BUSY_MS = 5000

/** Half of this to one and a half of it pass between two tries, in milliseconds. */
const PAUSE_MS = 1

const nobody = new Int32Array(new SharedArrayBuffer(4))

/**
 * Does something again for as long as another connection's lock refuses it. It blocks its thread meanwhile.
 *
 * @throws what `act` throws: for another reason at once, for a lock after {@link BUSY_MS}
 */
export function waitForTurn<Result>(act: () => Result): Result {
  const end = performance.now() + BUSY_MS
  for (;;) {
    try {
      return act()
    } catch (error) {
      if (!isLocked(error) || performance.now() >= end) throw error
      Atomics.wait(nobody, 0, 0, PAUSE_MS * (0.5 + Math.random()))
    }
  }
}

/** Whether a lock is why something was refused. By what SQLite says, which is the same with every driver. */
export function isLocked(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('database is locked')
}
