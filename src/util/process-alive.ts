/** Whether a process of this machine is alive. */
import { readFileSync } from 'node:fs'

/** The largest process id that a system call accepts. */
const MAX_PID = 2_147_483_647

/**
 * Whether a process is running. A process that this user may not signal counts as alive. A zombie does not count: in a
 * container whose first process is not an init, nothing reaps orphans, so they stay listed after they have ended.
 */
export function isProcessAlive(pid: number): boolean {
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
