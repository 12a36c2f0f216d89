/**
 * The names of workers in their operations. A worker claims many operations, so its name is stored once, in a table, and
 * each operation keeps a number. The first operation that a worker claims keeps the name itself: a process that runs one
 * operation adds no row.
 */
import { type Database, prepare, type Statement } from './database.ts'

const DAY = 86_400_000
/** How long a record may be in the file after its operation has expired: the tombstone, and a sweep that is late. */
const KEPT_MS = 31 * DAY
/** A name is kept for longer than it is needed by this much, so that this time is rarely written. */
const AHEAD_MS = 30 * DAY

/** Prepares the read of names by their numbers. A number that is not in the table gives the empty string. */
export function prepareHolderNames(database: Database): (number: number) => string {
  const statement = prepare<{ name: string }>(database, 'SELECT name FROM holders WHERE number = ?')
  const names = new Map<number, string>()
  return number => {
    const known = names.get(number) ?? statement.get(number)?.name
    if (known !== undefined) names.set(number, known)
    return known ?? ''
  }
}

/**
 * The name of the worker of an operation, as an expression of SQL. It is empty where the name was deleted too soon,
 * because the clock was ahead for a while.
 */
export const HOLDER_NAME = `iif(holder IS NULL OR typeof(holder) = 'text', holder,
  coalesce((SELECT name FROM holders WHERE holders.number = operations.holder), ''))`

interface Holder {
  readonly number: number
  /** Its row is in the table until then. */
  readonly until: number
}

/** Gives numbers to the workers that claim operations. Used within the transactions of the writer. */
export class HolderNumbers {
  readonly #insert: Statement
  readonly #extend: Statement
  /** Undefined for a worker that has claimed one operation. */
  readonly #known = new Map<string, Holder | undefined>()

  constructor(database: Database) {
    this.#insert = prepare(database, 'INSERT INTO holders (name, until) VALUES (?, ?)')
    this.#extend = prepare(database, 'UPDATE holders SET until = ? WHERE number = ?')
  }

  /**
   * What an operation keeps of the worker that claims it.
   *
   * @param expiresAt when the operation would expire if it ended at once
   */
  keep(name: string, expiresAt: number): number | string {
    if (!this.#known.has(name)) {
      this.#known.set(name, undefined)
      return name
    }
    const known = this.#known.get(name)
    const needed = expiresAt + KEPT_MS
    if (known !== undefined && needed <= known.until) return known.number
    const until = needed + AHEAD_MS
    const number = this.#extended(known, until) ?? this.#inserted(name, until)
    this.#known.set(name, { number, until })
    return number
  }

  /** Forgets what the transaction that was rolled back may have written. */
  forget(): void {
    this.#known.clear()
  }

  #extended(known: Holder | undefined, until: number): number | undefined {
    if (known === undefined) return undefined
    return Number(this.#extend.run(until, known.number).changes) === 1 ? known.number : undefined
  }

  #inserted(name: string, until: number): number {
    return Number(this.#insert.run(name, until).lastInsertRowid)
  }
}
