/**
 * The names of executions that are processes. A process id is given again, to any program, and means nothing on another
 * machine: so a name holds the id, the start of its process, and the machine.
 */
import { createHash } from 'node:crypto'
import { hostId } from '../../util/host-id.ts'
import { isProcessAlive } from '../../util/process-alive.ts'
import { processStart, UNKNOWN_START } from '../../util/process-start.ts'

/** Clients may read names of executions, and need not learn the name of the host. */
const MACHINE = createHash('sha256').update(hostId).digest('hex').slice(0, 8)

/** What a name says. */
export interface NamedProcess {
  readonly pid: number
  readonly start: string
  readonly machine: string
}

/** The name that a process is given, to fill in `{pid}` and `{start}` itself: neither is known before it runs. */
export function nameTemplate(token: string): string {
  return `process-{pid}-{start}-${token}-${MACHINE}`
}

/** Undefined where it is not such a name. */
export function parseName(name: string): NamedProcess | undefined {
  const [, pid, start, machine] = /^process-(\d{1,10})-(\w+)-\w+-(\w{8})$/.exec(name) ?? []
  if (pid === undefined || start === undefined || machine === undefined) return undefined
  return { pid: Number(pid), start, machine }
}

/** Whether a process is of another machine, of which nothing can be known here. */
export function isElsewhere({ machine }: NamedProcess): boolean {
  return machine !== MACHINE
}

/** Whether the very process that was named still runs on this machine: not another one of the same id. */
export function isRunning({ pid, start }: NamedProcess): boolean {
  return start !== UNKNOWN_START && isProcessAlive(pid) && processStart(pid) === start
}
