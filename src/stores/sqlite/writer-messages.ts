/**
 * The messages between the store and its writer thread. Every message has a mark, because the port also carries
 * messages of Node itself, such as the imports that `node --watch` collects. Messages without the mark are ignored.
 */
import type { Operation } from '../../model/operation.ts'
import type { BatchResult } from '../../util/batcher.ts'
import type { Acceptance } from '../store.ts'
import { type RecordRow, toOperation, toRow } from './rows.ts'
import type { ClaimResult, Write, WriteResult } from './writer.ts'

/** A message to the thread. */
export type WriterRequest =
  | { readonly kind: 'batch'; readonly writes: readonly Write[]; readonly now: number }
  | { readonly kind: 'close' }

/** A message from the thread. */
export type WriterReply =
  | { readonly kind: 'ready' }
  /** The answers to the batch under way, write by write. */
  | { readonly kind: 'settled'; readonly answer: readonly BatchResult<unknown>[] }
  /** What the thread has noticed of other processes. */
  | { readonly kind: 'commit' | 'rename' }
  /** For the operator. */
  | { readonly kind: 'warning'; readonly message: string }

const MARK = 'waybill:sqlite-writer'

interface Envelope<Message> {
  readonly for: typeof MARK
  readonly message: Message
}

/** Adds the mark to a message. */
export function enclose<Message extends WriterRequest | WriterReply>(message: Message): Envelope<Message> {
  return { for: MARK, message }
}

/** The message without its mark; undefined for messages that have no mark. */
export function disclose<Message extends WriterRequest | WriterReply>(posted: unknown): Message | undefined {
  if (typeof posted !== 'object' || posted === null) return undefined
  const envelope = posted as Partial<Envelope<Message>>
  return envelope.for === MARK ? envelope.message : undefined
}

/**
 * Packs the answers to writes for the port: each record becomes a row, which takes a third of the time of an object
 * with as many members. {@link unpackResults} restores the answers.
 */
export function packResults(
  writes: readonly Write[],
  settled: readonly BatchResult<WriteResult>[],
): readonly BatchResult<unknown>[] {
  return settled.map((result, index) => ('value' in result ? { value: pack(writes[index], result.value) } : result))
}

export function unpackResults(
  writes: readonly Write[],
  settled: readonly BatchResult<unknown>[],
): readonly BatchResult<WriteResult>[] {
  return settled.map((result, index) => ('value' in result ? { value: unpack(writes[index], result.value) } : result))
}

/** The packed result of a claim. */
interface PackedClaims {
  readonly claims: readonly { readonly row: RecordRow; readonly input: string }[]
  readonly ended: readonly RecordRow[]
}

function pack(write: Write | undefined, value: WriteResult): unknown {
  switch (write?.kind) {
    case 'accept': {
      const acceptance = value as number | Acceptance
      if (typeof acceptance === 'number' || acceptance.kind === 'refused') return acceptance
      return { kind: acceptance.kind, row: toRow(acceptance.operation) }
    }
    case 'change':
      return value && toRow(value as Operation)
    case 'claim': {
      const { claims, ended } = value as ClaimResult
      return {
        claims: claims.map(({ operation, input }) => ({ row: toRow(operation), input })),
        ended: ended.map(toRow),
      }
    }
    case 'launch':
      return (value as Operation[]).map(toRow)
    default:
      return value
  }
}

function unpack(write: Write | undefined, packed: unknown): WriteResult {
  switch (write?.kind) {
    case 'accept': {
      const acceptance = packed as number | { kind: 'refused' } | { kind: 'accepted' | 'known'; row: RecordRow }
      if (typeof acceptance === 'number' || acceptance.kind === 'refused') return acceptance as number | Acceptance
      return { kind: acceptance.kind, operation: toOperation(acceptance.row) }
    }
    case 'change':
      return packed === undefined ? undefined : toOperation(packed as RecordRow)
    case 'claim': {
      const { claims, ended } = packed as PackedClaims
      return {
        claims: claims.map(({ row, input }) => ({ operation: toOperation(row), input })),
        ended: ended.map(toOperation),
      }
    }
    case 'launch':
      return (packed as RecordRow[]).map(toOperation)
    default:
      return packed as WriteResult
  }
}
