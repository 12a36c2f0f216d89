/**
 * When a process of this machine started. The id and the start together distinguish a process from a later one with the
 * same id.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** How long `ps` may take, in milliseconds. It normally answers at once. */
const PS_TIMEOUT_MS = 2000

/**
 * The start of a process in a unit of the operating system, as letters and digits. Undefined if there is no such
 * process, or the system does not report the start, such as Windows.
 */
export function processStart(pid: number): string | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  try {
    return process.platform === 'linux' ? startInProc(pid) : startByPs(pid)
  } catch {
    return undefined
  }
}

/** Used in a name instead of a start that the system does not report. */
export const UNKNOWN_START = '0'

/** Makes the name of a process from a template: replaces `{pid}` and `{start}` with its id and its start. */
export function fillProcessName(template: string, pid: number): string {
  return template.replace('{pid}', String(pid)).replace('{start}', processStart(pid) ?? UNKNOWN_START)
}

/** "pid (name) state ...": the name may hold anything, parentheses too. Field 22 is the start, in ticks since the boot. */
function startInProc(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3]
}

function startByPs(pid: number): string | undefined {
  if (process.platform === 'win32') return undefined
  const output = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: PS_TIMEOUT_MS,
  })
  return output.replaceAll(/[^A-Za-z0-9]/g, '') || undefined
}
