/**
 * The names of executions that are processes. The system reuses process ids, and an id means nothing on another
 * machine. So a name holds the id, the start time of its process, and the machine.
 */
import { createHash } from 'node:crypto'
import { hostId } from '../../util/host-id.ts'
import { isProcessAlive } from '../../util/process-alive.ts'
import { processStart, UNKNOWN_START } from '../../util/process-start.ts'

/** Clients may read names of executions, and need not learn the name of the host. */
const MACHINE = createHash('sha256').update(hostId).digest('hex').slice(0, 8)

/** The parts of a name. */
export interface NamedProcess {
  readonly pid: number
  readonly start: string
  readonly machine: string
}

/** The name that a process is given. It fills in `{pid}` and `{start}` itself: neither is known before it runs. */
export function nameTemplate(token: string): string {
  return `process-{pid}-{start}-${token}-${MACHINE}`
}

/** Undefined if it is not such a name. */
export function parseName(name: string): NamedProcess | undefined {
  const [, pid, start, machine] = /^process-(\d{1,10})-(\w+)-\w+-(\w{8})$/.exec(name) ?? []
  if (pid === undefined || start === undefined || machine === undefined) return undefined
  return { pid: Number(pid), start, machine }
}

/** Whether a process is on another machine, so that nothing is known about it here. */
export function isElsewhere({ machine }: NamedProcess): boolean {
  return machine !== MACHINE
}

/** Whether the named process still runs on this machine, and not another one with the same id. */
export function isRunning({ pid, start }: NamedProcess): boolean {
  return start !== UNKNOWN_START && isProcessAlive(pid) && processStart(pid) === start
}
