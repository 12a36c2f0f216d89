/**
 * Waits for a lock that another connection holds. SQLite's own waiting backs off to 100 ms, so a process that writes
 * rarely would find the lock taken again and again by a busy one. And for some steps of opening a file, SQLite does not
 * wait at all.
 */

/** The longest wait for a lock that others take to write, in milliseconds. */
export const BUSY_MS = 5000

/** The pause between two tries in milliseconds; it varies from half of this to one and a half times this. */
const PAUSE_MS = 1

const nobody = new Int32Array(new SharedArrayBuffer(4))

/**
 * Repeats an action while the lock of another connection prevents it. It blocks its thread meanwhile.
 *
 * @param limitMs the longest wait, in milliseconds
 * @throws the error of `act`: at once if a lock is not the reason, else after `limitMs`
 */
export function waitForTurn<Result>(act: () => Result, limitMs: number = BUSY_MS): Result {
  const end = performance.now() + limitMs
  for (;;) {
    try {
      return act()
    } catch (error) {
      pauseAfter(error, end)
    }
  }
}

/** @throws the error if no lock is its reason, or if the end is reached */
function pauseAfter(error: unknown, end: number): void {
  if (!isLocked(error) || performance.now() >= end) throw error
  Atomics.wait(nobody, 0, 0, PAUSE_MS * (0.5 + Math.random()))
}

/**
 * Whether a lock is the reason for an error. It looks at the message of SQLite, which is the same with every driver.
 */
export function isLocked(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('database is locked')
}
