/** For operators: searches all operations, and moves whole operations from one store to another. */

import { isId } from '../../util/is-id.ts'
import { type BrowsePage, type BrowseQuery, type Dump, LOG_LIMIT, type LogLine, type RecordedError } from '../store.ts'
import { browse } from './browse.ts'
import { BEGIN, COMMIT, type Connections, ROLLBACK, type Statement, send } from './connections.ts'
import type { PostgresClient, Row } from './pool.ts'
import {
  FIRST_ID,
  LAST_ERROR,
  outputOf,
  RECORD_WIDTH,
  RESTORED_COLUMNS,
  RESTORED_TYPES,
  recordOf,
  restoredRow,
  toOperation,
} from './rows.ts'
import { checkText, storable } from './text.ts'

/** The statements for a schema, whose name is quoted. They run rarely, and are not prepared. */
export function copyStatements(schema: string) {
  const operations = `${schema}.operations`
  const input = `(SELECT p.body FROM ${schema}.payloads p WHERE p.id = o.id AND p.kind = 0)`
  const statement = (text: string): Statement => ({ name: '', text })
  return {
    dump: statement(`
      SELECT ${recordOf('o')}, ${input}, ${outputOf(schema, 'o')}, o.purge_at,
        (SELECT json_agg(json_build_array(s.name, s.value)) FROM ${schema}.steps s WHERE s.id = o.id),
        (SELECT json_agg(json_build_object('sequence', l.sequence, 'at', l.at, 'attempt', l.attempt,
          'level', l.level, 'message', l.message) ORDER BY l.sequence) FROM ${schema}.logs l WHERE l.id = o.id),
        (SELECT json_agg(json_build_object('attempt', p.kind - 1, 'error', p.body::json) ORDER BY p.kind)
          FROM ${schema}.payloads p WHERE p.id = o.id AND p.kind > 1)
      FROM ${operations} o WHERE o.id > $1::uuid ORDER BY o.id LIMIT $2`),
    ...restores(schema, operations),
  }
}

function restores(schema: string, operations: string) {
  const columns = RESTORED_COLUMNS
  const given = (types: string) => `json_to_recordset($1::json) AS given (${types})`
  const insert = (table: string, names: string, types: string): Statement => ({
    name: '',
    text: `INSERT INTO ${schema}.${table} (${names}) SELECT ${names} FROM ${given(types)}`,
  })
  return {
    records: {
      name: '',
      text: `
        INSERT INTO ${operations} (${columns.join(', ')})
        SELECT ${columns.join(', ')} FROM ${given(RESTORED_TYPES)} ORDER BY id
        ON CONFLICT (id) DO UPDATE SET ${columns.map(column => `${column} = excluded.${column}`).join(', ')}`,
    },
    clear: ['payloads', 'steps', 'logs'].map(table => ({
      name: '',
      text: `DELETE FROM ${schema}.${table} WHERE id = ANY ($1::uuid[])`,
    })),
    payloads: insert('payloads', 'id, kind, body', 'id uuid, kind smallint, body text'),
    steps: insert('steps', 'id, name, value', 'id uuid, name text, value text'),
    logs: insert(
      'logs',
      'id, sequence, at, attempt, level, message',
      'id uuid, sequence integer, at bigint, attempt integer, level text, message text',
    ),
  }
}

export class Copies {
  readonly #connections: Connections
  readonly #schema: string
  readonly #statements: ReturnType<typeof copyStatements>

  /** @param schema its name, quoted */
  constructor(connections: Connections, schema: string) {
    this.#connections = connections
    this.#schema = schema
    this.#statements = copyStatements(schema)
  }

  async browse(query: BrowseQuery): Promise<BrowsePage> {
    return await browse(({ text, values }) => this.#run({ name: '', text }, [...values]), this.#schema, query)
  }

  async dump(after: string = FIRST_ID, limit: number): Promise<Dump[]> {
    const rows = isId(after) ? await this.#run(this.#statements.dump, [after, limit]) : []
    return rows.map(toDump)
  }

  /** Writes all of them, or none. */
  async restore(dumps: readonly Dump[]): Promise<void> {
    if (dumps.length === 0) return
    for (const dump of dumps) checkDump(dump)
    const ids = dumps.map(({ operation }) => operation.id)
    const { records, clear, payloads, steps, logs } = this.#statements
    await this.#connections.use(async client => {
      await send(client, BEGIN, [])
      try {
        await send(client, records, [JSON.stringify(dumps.map(restoredRow))])
        for (const statement of clear) await send(client, statement, [ids])
        await insert(client, payloads, dumps.flatMap(payloadRows))
        await insert(client, steps, dumps.flatMap(stepRows))
        await insert(client, logs, dumps.flatMap(logRows))
        await send(client, COMMIT, [])
      } catch (error) {
        await send(client, ROLLBACK, []).catch(() => {})
        throw error
      }
    })
  }

  async #run(statement: Statement, values: unknown[]): Promise<Row[]> {
    return await this.#connections.use(client => send(client, statement, values))
  }
}

async function insert(client: PostgresClient, statement: Statement, rows: readonly object[]): Promise<void> {
  if (rows.length > 0) await send(client, statement, [JSON.stringify(rows)])
}

function toDump(row: Row): Dump {
  const [input, output, purgeAt, steps, logs, errors] = row.slice(RECORD_WIDTH)
  return {
    operation: toOperation(row),
    input: input as string | null,
    output: output as string | null,
    steps: fromJson<[string, string]>(steps),
    logs: fromJson<LogLine>(logs),
    errors: fromJson<RecordedError>(errors),
    purgeAt: purgeAt === null ? null : Number(purgeAt),
  }
}

/** The driver parses JSON, unless the program has configured it otherwise. */
function fromJson<T>(value: unknown): T[] {
  return (typeof value === 'string' ? JSON.parse(value) : (value ?? [])) as T[]
}

/** @throws {TypeError} the message names the value that PostgreSQL cannot store */
function checkDump({ operation, input, output, steps }: Dump): void {
  if (!isId(operation.id))
    throw new TypeError(`"${operation.id}" is not an id that PostgreSQL accepts: a UUID in lower case.`)
  const texts = { ...operation, input, output }
  for (const [name, text] of Object.entries(texts)) if (typeof text === 'string') checkText(name, text)
  for (const text of steps.flat()) checkText('steps', text)
}

function payloadRows({ operation: { id }, input, errors }: Dump) {
  const inputs = input === null ? [] : [{ id, kind: 0, body: input }]
  const fitting = errors.filter(({ attempt }) => attempt <= LAST_ERROR)
  const thrown = fitting.map(({ attempt, error }) => ({ id, kind: 1 + attempt, body: JSON.stringify(error) }))
  return [...inputs, ...thrown]
}

function stepRows({ operation: { id }, steps }: Dump) {
  return steps.map(([name, value]) => ({ id, name, value }))
}

function logRows({ operation: { id }, logs }: Dump) {
  return logs.slice(0, LOG_LIMIT).map(line => {
    return { id, ...line, level: storable(line.level), message: storable(line.message) }
  })
}
