/**
 * What the store and its writer thread send each other. Every message bears a mark of ours: a thread's port also
 * carries what Node itself posts, such as the imports that `node --watch` collects, and what is not ours is ignored.
 */
import type { BatchResult } from '../../util/batcher.ts'
import type { Write, WriteResult } from './writer.ts'

/** What the thread is sent. */
export type WriterRequest =
  | { readonly kind: 'batch'; readonly number: number; readonly writes: readonly Write[]; readonly now: number }
  | { readonly kind: 'close' }

/** What the thread sends. */
export type WriterReply =
  | { readonly kind: 'ready' }
  /** The answers to the batch of this number, write by write. */
  | { readonly kind: 'settled'; readonly number: number; readonly settled: readonly BatchResult<WriteResult>[] }

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
