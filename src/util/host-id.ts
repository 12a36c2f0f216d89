/** The id of this host. Process ids are unique within it: two machines, or two containers, never share a host id. */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** The hostname, and a digest of what distinguishes hosts with the same name: the boot id and the PID namespace. */
export const hostId: string = `${hostname()}-${digest([bootId(), pidNamespace()])}`

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 8)
}

function bootId(): string {
  return orEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim())
}

function pidNamespace(): string {
  return orEmpty(() => readlinkSync('/proc/self/ns/pid'))
}

/**
 * Returns an empty string where the system lacks the value. Only Linux has both; on other systems the id depends on the
 * hostname alone.
 */
function orEmpty(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}
