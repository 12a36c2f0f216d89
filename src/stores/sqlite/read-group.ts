/**
 * Executes the reads of one turn of the event loop in one transaction. To begin and to end a transaction, SQLite takes
 * and releases a lock of the file, and these two system calls cost more than the read of a record.
 */
import { type Database, prepare, type Statement } from './database.ts'

interface Waiting {
  readonly read: () => void
  readonly reject: (error: unknown) => void
}

/** Each read sees all that was committed before its call, since the transaction begins after the last call. */
export class ReadGroup {
  readonly #begin: Statement
  readonly #commit: Statement
  readonly #rollback: Statement
  #waiting: Waiting[] = []

  /** @param database nothing else begins transactions on it */
  constructor(database: Database) {
    this.#begin = prepare(database, 'BEGIN')
    this.#commit = prepare(database, 'COMMIT')
    this.#rollback = prepare(database, 'ROLLBACK')
  }

  /** Calls `read` at the end of this turn of the event loop. */
  add<Result>(read: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#run())
      this.#waiting.push({ read: () => resolve(read()), reject })
    })
  }

  #run(): void {
    const waiting = this.#waiting
    this.#waiting = []
    const hasBegun = waiting.length > 1 && succeeds(this.#begin)
    for (const { read, reject } of waiting) {
      try {
        read()
      } catch (error) {
        reject(error)
      }
    }
    // After some errors of a read, SQLite has ended the transaction by itself. One that stayed open would show later
    // reads the past.
    if (hasBegun && !succeeds(this.#commit)) succeeds(this.#rollback)
  }
}

/** Without a transaction, each read has its own. */
function succeeds(statement: Statement): boolean {
  try {
    statement.run()
    return true
  } catch {
    return false
  }
}
