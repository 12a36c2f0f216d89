/** Lowers the priority of child processes, so that requests are answered while handlers compute on every core. */
import { execFile } from 'node:child_process'
import { setPriority } from 'node:os'

/** The priority of a process: a nice value from 0 (normal) to 19 (lowest), or `idle`, which gets only CPU time that nothing else wants. */
export type Niceness = number | 'idle'

/** The nice value on systems without an idle class, or without a command that sets it. */
const INSTEAD_OF_IDLE = 10

/**
 * Lowers the priority of a process. If the system refuses, the priority stays as it was.
 *
 * A nice value alone is not enough: since Linux 6.6 a process that computes may use up its time slice of 3 ms, and a
 * request waits for several slices on its way through the event loop, the writer and the disk. Linux' idle class is
 * preempted at once. Node cannot set it; `chrt` of util-linux and of BusyBox can.
 */
export function lowerPriority(pid: number | undefined, niceness: Niceness): void {
  if (pid === undefined || niceness === 0) return
  try {
    setPriority(pid, niceness === 'idle' ? INSTEAD_OF_IDLE : niceness)
  } catch {
    // It has ended, or the system refuses it.
  }
  if (niceness === 'idle' && process.platform === 'linux') {
    execFile('chrt', ['-i', '-p', '0', String(pid)], () => {}).unref()
  }
}
