/** When a process of this machine started: with its id, that tells it from a later process of the same id. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** `ps` answers at once, or its machine has other troubles. In milliseconds. */
const PS_TIMEOUT_MS = 2000

/**
 * The start of a process in a unit of its system's own, as letters and digits; undefined where there is no such process,
 * or its system does not say, as Windows does not.
 */
export function processStart(pid: number): string | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  try {
    return process.platform === 'linux' ? startInProc(pid) : startByPs(pid)
  } catch {
    return undefined
  }
}

/** Stands in a name for a start that the system does not say. */
export const UNKNOWN_START = '0'

/** A name of a process, in which `{pid}` and `{start}` stand for its id and its start. */
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
