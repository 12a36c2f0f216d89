/**
 * The records of the attempts that this process has claimed, as they were written last. When an attempt completes, its
 * statement returns only the new version and the time: if nobody else has changed the record, the state machine says
 * what has become of it. A whole record would cost the server and the driver more than its completion.
 */
import type { Change, Operation } from '../../model/operation.ts'
import { changed } from '../../model/state-machine.ts'
import { IdMap } from '../../util/id-map.ts'
import type { Row } from './pool.ts'
import { encode } from './rows.ts'

/** Far more than any worker runs at once. Attempts that never end here would otherwise stay forever. */
const MOST = 10_000

/** What a statement returns about a record that it has completed, beside its id. */
export interface Completed {
  readonly version: number
  readonly finishedAt: number
  /** As text: a change of them alone makes no version. */
  readonly waits: string | null
}

/** The same from a row of the statement. */
export function toCompleted([, version, finishedAt, waits]: Row): Completed {
  return { version: Number(version), finishedAt: Number(finishedAt), waits: waits as string | null }
}

export class RunningRecords {
  readonly #records = new IdMap<Operation>()

  /** Keeps the record of an attempt that this process has begun. */
  begin(operation: Operation): void {
    if (this.#records.size >= MOST) this.#records.clear()
    this.#records.set(operation.id, operation)
  }

  /** Called with each record that this process has changed. */
  note(operation: Operation): void {
    if (this.#records.get(operation.id) === undefined) return
    if (operation.status === 'running') this.#records.set(operation.id, operation)
    else this.#records.delete(operation.id)
  }

  /** Called when an attempt turns out to be lost. */
  forget(id: string): void {
    this.#records.delete(id)
  }

  /** The record after a completion; undefined if it was changed elsewhere meanwhile, and must be read. */
  end(id: string, change: Change, { version, finishedAt, waits }: Completed): Operation | undefined {
    const before = this.#records.get(id)
    this.#records.delete(id)
    if (before?.version !== version - 1 || encode(before.waits) !== waits) return undefined
    return changed(before, change, finishedAt)
  }
}
