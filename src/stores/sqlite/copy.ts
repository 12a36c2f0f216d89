/** What operators ask for: to look through all operations, and to move them whole from one store to another. */
import type { Operation } from '../../model/operation.ts'
import type { BrowsePage, BrowseQuery, Dump, LogLine } from '../store.ts'
import { prepareBrowse } from './browse.ts'
import type { Database, Row } from './database.ts'
import { errorKind, type PayloadRow, toErrors } from './payloads.ts'
import { RECORDS, RESTORE, RecordQuery, restoreValues } from './rows.ts'

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
  const purgeAt = database.prepare('SELECT purge_at AS at FROM operations WHERE id = ?')
  const payloads = database.prepare('SELECT kind, body FROM payloads WHERE id = ? ORDER BY kind')
  const steps = database.prepare('SELECT name, value FROM steps WHERE id = ?')
  const logs = database.prepare('SELECT sequence, at, attempt, level, message FROM logs WHERE id = ? ORDER BY sequence')
  const whole = (operation: Operation): Dump => {
    const { id } = operation
    const bodies = payloads.all(id) as PayloadRow[]
    const body = (kind: number) => bodies.find(it => it.kind === kind)?.body ?? null
    return {
      operation,
      input: body(0),
      output: body(1),
      steps: (steps.all(id) as { name: string; value: string }[]).map(({ name, value }) => [name, value]),
      logs: (logs.all(id) as Row[]).map(row => ({ ...row }) as unknown as LogLine),
      errors: toErrors(bodies),
      purgeAt: (purgeAt.get(id) as { at: number | null }).at,
    }
  }
  const [begin, commit] = [database.prepare('BEGIN'), database.prepare('COMMIT')]
  return (after = '', limit) => {
    // One transaction, so that no other process changes an operation between two of its parts.
    begin.run()
    try {
      return records.all(after, limit).map(whole)
    } finally {
      commit.run()
    }
  }
}

/** Prepares to write an operation whole, within a transaction. */
export function prepareRestore(database: Database): (dump: Dump) => void {
  const record = database.prepare(RESTORE)
  const clear = ['payloads', 'steps', 'logs'].map(table => database.prepare(`DELETE FROM ${table} WHERE id = ?`))
  const payload = database.prepare('INSERT INTO payloads (id, kind, body) VALUES (?, ?, ?)')
  const step = database.prepare('INSERT INTO steps (id, name, value) VALUES (?, ?, ?)')
  const log = database.prepare('INSERT INTO logs (id, sequence, at, attempt, level, message) VALUES (?, ?, ?, ?, ?, ?)')
  return ({ operation, input, output, steps, logs, errors, purgeAt }) => {
    const { id } = operation
    record.run(...restoreValues(operation, purgeAt))
    for (const statement of clear) statement.run(id)
    if (input !== null) payload.run(id, 0, input)
    if (output !== null) payload.run(id, 1, output)
    for (const { attempt, error } of errors) payload.run(id, errorKind(attempt), JSON.stringify(error))
    for (const [name, value] of steps) step.run(id, name, value)
    for (const { sequence, at, attempt, level, message } of logs) log.run(id, sequence, at, attempt, level, message)
  }
}
