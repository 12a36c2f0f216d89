/** For operators: searches all operations, and moves whole operations from one store to another. */
import type { BrowsePage, BrowseQuery, Dump, LogLine } from '../store.ts'
import { prepareBrowse } from './browse.ts'
import { type Database, select } from './database.ts'
import { type ErrorRow, toErrors } from './error-rows.ts'
import { RECORDS, RESTORE, RecordQuery, restoreValues, type StoredRecord } from './rows.ts'

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
  const records = new RecordQuery(database, `${RECORDS} WHERE id > ? ORDER BY id LIMIT ?`)
  const purgeAt = select<{ at: number | null }>(database, 'SELECT purge_at AS at FROM operations WHERE number = ?')
  const payload = (table: string) => {
    const statement = select<{ body: string }>(database, `SELECT body FROM ${table} WHERE number = ?`)
    return (number: number) => statement.get(number)?.body ?? null
  }
  const [input, output] = [payload('inputs'), payload('outputs')]
  const errors = select<ErrorRow>(database, 'SELECT attempt, body FROM errors WHERE id = ? ORDER BY attempt')
  const steps = select<{ name: string; value: string }>(database, 'SELECT name, value FROM steps WHERE id = ?')
  const logs = select<LogLine>(
    database,
    'SELECT sequence, at, attempt, level, message FROM logs WHERE id = ? ORDER BY sequence',
  )
  const whole = ({ number, operation }: StoredRecord): Dump => {
    const { id } = operation
    return {
      operation,
      input: input(number),
      output: output(number),
      steps: steps.all(id).map(({ name, value }) => [name, value]),
      logs: logs.all(id).map(row => ({ ...row })),
      errors: toErrors(errors.all(id)),
      purgeAt: purgeAt.get(number)?.at ?? null,
    }
  }
  const [begin, commit] = [database.prepare('BEGIN'), database.prepare('COMMIT')]
  return (after = '', limit) => {
    // One transaction, so that no other process changes an operation between two of its parts.
    begin.run()
    try {
      return records.allStored(after, limit).map(whole)
    } finally {
      commit.run()
    }
  }
}

/** Prepares the write of a whole operation, within a transaction. */
export function prepareRestore(database: Database): (dump: Dump) => void {
  const record = database.prepare(RESTORE)
  const key = database.prepare('SELECT number FROM operations WHERE id = ?')
  const clear = prepareDeleteBeside(database)
  const payload = (table: string) => database.prepare(`INSERT INTO ${table} (number, body) VALUES (?, ?)`)
  const [putInput, putOutput] = [payload('inputs'), payload('outputs')]
  const putError = database.prepare('INSERT INTO errors (id, attempt, body) VALUES (?, ?, ?)')
  const step = database.prepare('INSERT INTO steps (id, name, value) VALUES (?, ?, ?)')
  const log = database.prepare('INSERT INTO logs (id, sequence, at, attempt, level, message) VALUES (?, ?, ?, ?, ?, ?)')
  return ({ operation, input, output, steps, logs, errors, purgeAt }) => {
    const { id } = operation
    record.run(...restoreValues(operation, purgeAt))
    const { number } = key.get(id) as { number: number }
    clear(number, id)
    if (input !== null) putInput.run(number, input)
    if (output !== null) putOutput.run(number, output)
    for (const { attempt, error } of errors) putError.run(id, attempt, JSON.stringify(error))
    for (const [name, value] of steps) step.run(id, name, value)
    for (const { sequence, at, attempt, level, message } of logs) log.run(id, sequence, at, attempt, level, message)
  }
}

/** Prepares the deletion of everything of an operation except its record. */
export function prepareDeleteBeside(database: Database): (number: number, id: string) => void {
  const byNumber = ['inputs', 'outputs'].map(table => database.prepare(`DELETE FROM ${table} WHERE number = ?`))
  const byId = ['errors', 'steps', 'logs'].map(table => database.prepare(`DELETE FROM ${table} WHERE id = ?`))
  return (number, id) => {
    for (const statement of byNumber) statement.run(number)
    for (const statement of byId) statement.run(id)
  }
}
