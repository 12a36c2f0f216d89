/** For operators: searches all operations, and moves whole operations from one store to another. */
import type { BrowsePage, BrowseQuery, Dump, LogLine } from '../store.ts'
import { prepareBrowse } from './browse.ts'
import { type Database, prepare } from './database.ts'
import { type ErrorRow, toErrors } from './error-rows.ts'
import { keyOf } from './keys.ts'
import { prepareRecords, RECORDS, RESTORE, restoreValues, type StoredRecord } from './rows.ts'

/** The reads of operators. */
export interface Dumps {
  browse(query: BrowseQuery): BrowsePage
  dump(after: string | undefined, limit: number): Dump[]
}

/** Prepares the reads of operators on a connection. */
export function prepareDumps(database: Database): Dumps {
  return { browse: prepareBrowse(database), dump: prepareDump(database) }
}

function prepareDump(database: Database): Dumps['dump'] {
  const records = prepareRecords(database)(`${RECORDS} WHERE uuid > ? ORDER BY uuid LIMIT ?`)
  const purgeAt = prepare<{ at: number | null }>(database, 'SELECT purge_at AS at FROM operations WHERE number = ?')
  const payload = (table: string) => {
    const statement = prepare<{ body: string }>(database, `SELECT body FROM ${table} WHERE number = ?`)
    return (number: number) => statement.get(number)?.body ?? null
  }
  const [input, output] = [payload('inputs'), payload('outputs')]
  const errors = prepare<ErrorRow>(database, 'SELECT attempt, body FROM errors WHERE number = ? ORDER BY attempt')
  const steps = prepare<{ name: string; value: string }>(database, 'SELECT name, value FROM steps WHERE number = ?')
  const logs = prepare<LogLine>(
    database,
    'SELECT sequence, at, attempt, level, message FROM logs WHERE number = ? ORDER BY sequence',
  )
  const whole = ({ number, operation }: StoredRecord): Dump => ({
    operation,
    input: input(number),
    output: output(number),
    steps: steps.all(number).map(({ name, value }) => [name, value]),
    logs: logs.all(number).map(row => ({ ...row })),
    errors: toErrors(errors.all(number)),
    purgeAt: purgeAt.get(number)?.at ?? null,
  })
  const [begin, commit] = [prepare(database, 'BEGIN'), prepare(database, 'COMMIT')]
  return (after = '', limit) => {
    // One transaction, so that no other process changes an operation between two of its parts.
    begin.run()
    try {
      return records.allStored(keyOf(after), limit).map(whole)
    } finally {
      commit.run()
    }
  }
}

/** Prepares the write of a whole operation, within a transaction. */
export function prepareRestore(database: Database): (dump: Dump) => void {
  const record = prepare(database, RESTORE)
  const key = prepare(database, 'SELECT number FROM operations WHERE uuid = ?')
  const clear = prepareDeleteBeside(database)
  const payload = (table: string) => prepare(database, `INSERT INTO ${table} (number, body) VALUES (?, ?)`)
  const [putInput, putOutput] = [payload('inputs'), payload('outputs')]
  const putError = prepare(database, 'INSERT INTO errors (number, attempt, body) VALUES (?, ?, ?)')
  const step = prepare(database, 'INSERT INTO steps (number, name, value) VALUES (?, ?, ?)')
  const log = prepare(
    database,
    'INSERT INTO logs (number, sequence, at, attempt, level, message) VALUES (?, ?, ?, ?, ?, ?)',
  )
  return ({ operation, input, output, steps, logs, errors, purgeAt }) => {
    record.run(...restoreValues(operation, purgeAt))
    const { number } = key.get(keyOf(operation.id)) as { number: number }
    clear(number)
    if (input !== null) putInput.run(number, input)
    if (output !== null) putOutput.run(number, output)
    for (const { attempt, error } of errors) putError.run(number, attempt, JSON.stringify(error))
    for (const [name, value] of steps) step.run(number, name, value)
    for (const { sequence, at, attempt, level, message } of logs) log.run(number, sequence, at, attempt, level, message)
  }
}

/** Prepares the deletion of everything of an operation except its record. */
export function prepareDeleteBeside(database: Database): (number: number) => void {
  const tables = ['inputs', 'outputs', 'errors', 'steps', 'logs']
  const statements = tables.map(table => prepare(database, `DELETE FROM ${table} WHERE number = ?`))
  return number => {
    for (const statement of statements) statement.run(number)
  }
}
