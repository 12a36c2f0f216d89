/** The hints that follow from a batch of writes. */
import type { Operation } from '../../model/operation.ts'
import type { BatchResult } from '../../util/batcher.ts'
import { type Acceptance, changeHints, type Hint, type SweepResult } from '../store.ts'
import type { ClaimResult, Write, WriteResult } from './writer.ts'

/** The hints of a committed batch, write by write. That operations of a type may be ready is hinted once, at the end. */
export function hintsOf(writes: readonly Write[], settled: readonly BatchResult<WriteResult>[]): Hint[] {
  const hints: Hint[] = []
  const ready = new Set<string>()
  writes.forEach((write, index) => {
    const result = settled[index]
    if (result === undefined || !('value' in result)) return
    if (write.kind === 'accept') {
      if (isAccepted(result.value) && write.submission.delay === 0) ready.add(write.submission.type)
      return
    }
    for (const operation of touched(write, result.value)) {
      hints.push(...changeHints(operation).map(hint => (hint.kind === 'ended' ? { ...hint, operation } : hint)))
      if (operation.status === 'pending' && operation.runAt === null) ready.add(operation.type)
    }
    if (write.kind === 'note' && write.note.kind === 'log') hints.push({ kind: 'changed', id: write.lease.id })
    if (write.kind === 'restore') hints.push({ kind: 'unknown' })
    if (write.kind === 'purge') hints.push({ kind: 'changed', id: write.id })
  })
  return [...hints, ...[...ready].map(type => ({ kind: 'ready', type }) as const)]
}

function isAccepted(result: WriteResult): boolean {
  return typeof result === 'number' || (result as Acceptance).kind === 'accepted'
}

function operationsOf({ claims, ended }: ClaimResult): readonly Operation[] {
  return [...claims.map(({ operation }) => operation), ...ended]
}

/** The operations that a write has changed. */
function touched(write: Write, result: WriteResult): readonly Operation[] {
  switch (write.kind) {
    case 'change':
      return result === undefined ? [] : [result as Operation]
    case 'claim':
      return operationsOf(result as ClaimResult)
    case 'launch':
      return result as Operation[]
    case 'sweep':
      return (result as SweepResult).expired
    default:
      return []
  }
}
