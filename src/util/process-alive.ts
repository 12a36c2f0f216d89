/** Whether a process lives, of this machine. */
import { readFileSync } from 'node:fs'

/** What the type of a process id holds; of a larger number no process can be asked. */
const MAX_PID = 2_147_483_647

/**
 * True for a process that runs, or may: one that this user may not ask about counts as alive. One
 * that has ended does not, even while it is still listed: in a container whose first process is no
 * init, nobody reads the end of an orphan, and it stays a zombie.
 */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid > MAX_PID) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
  return !isZombie(pid)
}

function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false
  try {
    // "pid (name) state ...": the name may hold anything, parentheses too.
    return /\) Z [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
