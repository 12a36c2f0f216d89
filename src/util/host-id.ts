/** The name of this machine, as far as process ids go: two machines, or two containers, never share one. */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** The host's name, and a digest of what tells apart hosts of one name: the boot, and the namespace of process ids. */
export const machineName: string = `${hostname()}-${digest([bootId(), pidNamespace()])}`

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 8)
}

function bootId(): string {
  return orEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim())
}

function pidNamespace(): string {
  return orEmpty(() => readlinkSync('/proc/self/ns/pid'))
}

/** Only Linux has them; elsewhere the host's name has to do. */
function orEmpty(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}
