/**
 * What the store and its writer thread send each other. Every message has a mark of ours: a thread's port also
 * carries what Node itself posts, such as the imports that `node --watch` collects, and what is not ours is ignored.
 */
import type { Operation } from '../../model/operation.ts'
import type { BatchResult } from '../../util/batcher.ts'
import type { Acceptance } from '../store.ts'
import { type RecordRow, toOperation, toRow } from './rows.ts'
import type { ClaimResult, Write, WriteResult } from './writer.ts'

/** What the thread is sent. */
export type WriterRequest =
  | { readonly kind: 'batch'; readonly number: number; readonly writes: readonly Write[]; readonly now: number }
  | { readonly kind: 'look'; readonly number: number }
  | { readonly kind: 'close' }

/** What the thread sends. */
export type WriterReply =
  | { readonly kind: 'ready' }
  /** The answers to the batch of this number, write by write. */
  | { readonly kind: 'settled'; readonly number: number; readonly answer: readonly BatchResult<unknown>[] }
  /** The answer to the look of this number. */
  | { readonly kind: 'seen'; readonly number: number; readonly answer: BatchResult<number> }

const MARK = 'waybill:sqlite-writer'

interface Envelope<Message> {
  readonly for: typeof MARK
  readonly message: Message
}

/** The message as it is posted. */
export function enclose<Message extends WriterRequest | WriterReply>(message: Message): Envelope<Message> {
  return { for: MARK, message }
}

/** The message in an envelope of ours; undefined for whatever else came through the port. */
export function disclose<Message extends WriterRequest | WriterReply>(posted: unknown): Message | undefined {
  if (typeof posted !== 'object' || posted === null) return undefined
  const envelope = posted as Partial<Envelope<Message>>
  return envelope.for === MARK ? envelope.message : undefined
}

/**
 * The answers to writes as they are posted: each record as a row, which takes a third of the time that an object of as
 * many members does. {@link unpackResults} makes the answers of them again.
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

/** What a claim did, packed. */
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
