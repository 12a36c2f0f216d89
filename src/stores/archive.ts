/** The part of a store that copies use. The rules of every method are at the top of `store.ts`. */
import type { Operation } from '../model/operation.ts'
import type { LogLine, RecordedError } from './operation-store.ts'

/** Everything that a store keeps of one operation. */
export interface Dump {
  readonly operation: Operation
  /** JSON; null if there is none, or it was purged. */
  readonly input: string | null
  readonly output: string | null
  /** Names of steps with their outcomes as JSON, in any order. */
  readonly steps: readonly (readonly [name: string, value: string])[]
  readonly logs: readonly LogLine[]
  /** What attempts threw, in the order of the attempts. */
  readonly errors: readonly RecordedError[]
  /** When its payloads, or after those its record, will be deleted, in milliseconds since the epoch. */
  readonly purgeAt: number | null
  /**
   * The parts that are missing in the store although the record refers to them, such as a blob that another program
   * deleted; undefined if the dump is complete. {@link Archive.restore} ignores it.
   */
  readonly missing?: readonly DumpPart[]
}

/** The parts of an operation besides its record. */
export type DumpPart = 'input' | 'output' | 'steps' | 'logs' | 'errors'

/** What copies need: reads and writes whole operations. */
export interface Archive {
  /**
   * Reads everything that is kept of operations, in the order of their ids, tombstones included: at most `limit` (1 to
   * 1,000) of them after an id. An empty page is the end. Each dump shows its operation at one moment.
   */
  dump(after: string | undefined, limit: number): Promise<readonly Dump[]>

  /**
   * Writes dumped operations. An operation that has the same id is replaced. All times stay as they are. Rejects if an
   * idempotency key belongs to another operation of this store.
   */
  restore(dumps: readonly Dump[]): Promise<void>
}
