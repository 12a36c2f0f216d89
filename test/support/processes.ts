/** Other processes of this machine, as /proc shows them. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

interface Process {
  readonly pid: number
  readonly parent: number
  readonly state: string
}

/** The processes that a process has started and that live. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => read(Number(name)) ?? [])
    .filter(it => it.parent === parent && it.state !== 'Z')
    .map(it => it.pid)
}

/** Resolves when a process is gone that need not be a child of this one. */
export async function untilGone(pid: number): Promise<void> {
  for (;;) {
    const found = read(pid)
    // In a container nobody may reap an orphan: a zombie is gone as well.
    if (found === undefined || found.state === 'Z') return
    await sleep(50)
  }
}

function read(pid: number): Process | undefined {
  try {
    // The name, in parentheses, may hold anything.
    const [state = '', parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return { pid, parent: Number(parent), state }
  } catch {
    return undefined
  }
}
