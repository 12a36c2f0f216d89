/** How a process that was started gives way, so that requests are answered while handlers compute on every core. */
import { execFile } from 'node:child_process'
import { setPriority } from 'node:os'

/** How much a process gives way to what else runs: a nice value from 0, not at all, to 19; or `idle`, which takes what is left. */
export type Niceness = number | 'idle'

/** Where a system has no idle class, or no command that sets it. */
const INSTEAD_OF_IDLE = 10

/**
 * Applies it to a process, as far as the system lets it: what is refused leaves it as it was.
 *
 * A nice value decides who gets a core for long, and not how soon: since Linux 6.6 whoever computes may use up its
 * time slice of 3 ms, and a request waits for several of those on its way through the event loop, the writer
 * and the disk. Linux's idle class is interrupted at once. Node.js cannot set it, `chrt` of util-linux and of BusyBox can.
 */
export function giveWay(pid: number | undefined, niceness: Niceness): void {
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
