/** The part of a store that copies use. The rules of every method are at the top of `store.ts`. */
import type { Operation } from '../model/operation.ts'
import type { LogLine, RecordedError } from './operation-store.ts'

/** Everything that a store keeps of one operation. */
export interface Dump {
  readonly operation: Operation
  /** JSON; null where there is none, or it is purged. */
  readonly input: string | null
  readonly output: string | null
  /** Names and their JSON, in any order. */
  readonly steps: readonly (readonly [name: string, value: string])[]
  readonly logs: readonly LogLine[]
  /** What attempts threw, in the order of the attempts. */
  readonly errors: readonly RecordedError[]
  /** When its payloads, or its record, are to be deleted, in milliseconds since the epoch. */
  readonly purgeAt: number | null
  /**
   * The parts that the store should have and does not find, such as a blob that another program deleted; undefined
   * where the dump is complete. {@link Archive.restore} ignores it.
   */
  readonly missing?: readonly DumpPart[]
}

/** What is kept beside an operation's record. */
export type DumpPart = 'input' | 'output' | 'steps' | 'logs' | 'errors'

/** What copies need: reads and writes operations whole. */
export interface Archive {
  /**
   * Reads everything that is kept of operations, in the order of their ids, tombstones included: at most `limit` (1 to
   * 1,000) of them after an id. An empty page is the end. Each dump shows its operation at one moment.
   */
  dump(after: string | undefined, limit: number): Promise<readonly Dump[]>

  /**
   * Writes operations as they were dumped, over what is kept under their ids. Their times stay as they are.
   * Rejects where an idempotency key belongs to another operation here.
   */
  restore(dumps: readonly Dump[]): Promise<void>
}
