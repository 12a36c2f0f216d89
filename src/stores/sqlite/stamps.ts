/** Tells by a few columns whether a record is still as it was when it was read. */
import { hasChildren, type Operation } from '../../model/operation.ts'
import { isFinal } from '../../model/protocol.ts'

/** Selects what shows whether a record has changed. */
export const STAMP_OF_ID = `
  SELECT version, updated_after, run_at, launches, execution, coalesce(instr(waits, '"children":'), 0)
  FROM operations WHERE uuid = ?`

/** The columns of {@link STAMP_OF_ID}. */
export type Stamp = readonly [
  version: number,
  updatedAfter: number,
  runAt: number | null,
  launches: number,
  execution: string | null,
  hasChildren: number,
]

/**
 * Whether a record is as it was when it was read, except for its lease. After the end of an operation, changes do not
 * change its version; before, only those of its place in the queue, its launches and its first child do not.
 */
export function isUnchanged(known: Operation, stamp: Stamp | undefined): boolean {
  if (stamp === undefined || isFinal(known.status)) return false
  const [version, updatedAfter, runAt, launches, execution, children] = stamp
  return (
    version === known.version &&
    updatedAfter === known.updatedAt - known.createdAt &&
    runAt === known.runAt &&
    launches === known.launches &&
    execution === known.execution &&
    children > 0 === hasChildren(known)
  )
}
