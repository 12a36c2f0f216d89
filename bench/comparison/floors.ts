/**
 * What the machine allows: the rows that Waybill writes, written in groups by hand over the bare driver, without
 * options, limits, keys, hints, metrics or a clean-up.
 */
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { Pool } from 'pg'
import type { OpenQueue, Order, Queue, Result } from './queue.ts'

/** Collects what comes while the last group is written, and writes it as one. */
class Group<Item, Answer> {
  readonly #write: (items: readonly Item[]) => Promise<readonly Answer[]>
  readonly #parallel: number
  #waiting: { item: Item; resolve: (answer: Answer) => void; reject: (error: unknown) => void }[] = []
  #writing = 0

  constructor(write: (items: readonly Item[]) => Promise<readonly Answer[]>, parallel = 1) {
    this.#write = write
    this.#parallel = parallel
  }

  add(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#writing < this.#parallel) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#writing++
    await turn()
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        const answers = await this.#write(group.map(({ item }) => item))
        for (const [index, { resolve }] of group.entries()) resolve(answers[index] as Answer)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.#writing--
  }
}

const CLAIM = 500

/** SQLite in this process, each group a transaction that is synced. */
export const openSqlite: OpenQueue = async ({ url }) => {
  const database = new DatabaseSync(url)
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 4000;
    CREATE TABLE IF NOT EXISTS operations (
      id TEXT PRIMARY KEY, type TEXT NOT NULL, owner TEXT NOT NULL, status TEXT NOT NULL, attempt INTEGER NOT NULL,
      created INTEGER NOT NULL, finished INTEGER, input TEXT NOT NULL, output TEXT
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS ready ON operations (created) WHERE status = 'pending';
  `)
  const insert = database.prepare(`INSERT INTO operations VALUES (?, 'orders', '', 'pending', 0, ?, NULL, ?, NULL)`)
  const point = database.prepare('SELECT status, output FROM operations WHERE id = ?')
  const claim = database.prepare(`UPDATE operations SET status = 'running', attempt = attempt + 1 WHERE id IN (
    SELECT id FROM operations WHERE status = 'pending' ORDER BY created LIMIT ${CLAIM}) RETURNING id, attempt, input`)
  const finish = database.prepare(`UPDATE operations SET status = 'completed', finished = ?, output = ?
    WHERE id = ? AND attempt = ? AND status = 'running'`)
  const count = database.prepare(`SELECT count(*) AS count FROM operations WHERE status IN ('pending', 'running')`)
  const transact = <T>(run: () => T): T => {
    database.exec('BEGIN IMMEDIATE')
    const result = run()
    database.exec('COMMIT')
    return result
  }
  const submits = new Group<{ id: string; input: string }, void>(async items => {
    transact(() => items.forEach(({ id, input }) => void insert.run(id, Date.now(), input)))
    return items.map(() => undefined)
  })
  const work = async (handler: (order: Order) => Result) => {
    while (database.isOpen) {
      const claims = transact(() => claim.all()) as unknown as { id: string; attempt: number; input: string }[]
      const ended = claims.map(({ id, attempt, input }) => ({
        id,
        attempt,
        output: JSON.stringify(handler(JSON.parse(input))),
      }))
      if (claims.length > 0)
        transact(() => ended.forEach(it => void finish.run(Date.now(), it.output, it.id, it.attempt)))
      await (claims.length > 0 ? turn() : sleep(1))
    }
  }
  return {
    submit: (id, order) => submits.add({ id, input: JSON.stringify(order) }),
    read: async id => readState(point.get(id) as Row | undefined),
    unfinished: async () => (count.get() as { count: number }).count,
    work: async handler => void work(handler),
    close: async () => database.close(),
  }
}

interface Row {
  readonly status: string
  readonly output: string | null
}

function readState(row: Row | undefined): Awaited<ReturnType<Queue['read']>> {
  return row && { result: row.output === null ? undefined : (JSON.parse(row.output) as Result) }
}

/** PostgreSQL, each group a statement. */
export const openPostgres: OpenQueue = async ({ url }) => {
  const pool = new Pool({ connectionString: url, max: 4 })
  await pool.query(`
    CREATE TABLE IF NOT EXISTS operations (
      id uuid PRIMARY KEY, type text NOT NULL, owner text NOT NULL, status text NOT NULL, attempt integer NOT NULL,
      created timestamptz NOT NULL, finished timestamptz, input text NOT NULL, output text
    ) WITH (fillfactor = 80);
    CREATE INDEX IF NOT EXISTS ready ON operations (created) WHERE status = 'pending';
  `)
  const INSERT = `INSERT INTO operations SELECT id, 'orders', '', 'pending', 0, now(), NULL, input, NULL
    FROM unnest($1::uuid[], $2::text[]) AS one (id, input)`
  const READ = 'SELECT id, status, output FROM operations WHERE id = ANY ($1::uuid[])'
  const CLAIM_SOME = `UPDATE operations SET status = 'running', attempt = attempt + 1 WHERE id = ANY (ARRAY(
    SELECT id FROM operations WHERE status = 'pending' ORDER BY created LIMIT ${CLAIM} FOR UPDATE SKIP LOCKED))
    RETURNING id, attempt, input`
  const FINISH = `UPDATE operations SET status = 'completed', finished = now(), output = one.output
    FROM unnest($1::uuid[], $2::int[], $3::text[]) AS one (id, attempt, output)
    WHERE operations.id = one.id AND operations.attempt = one.attempt AND status = 'running'`
  const submits = new Group<{ id: string; input: string }, void>(async items => {
    await pool.query({ name: 'insert', text: INSERT, values: [items.map(it => it.id), items.map(it => it.input)] })
    return items.map(() => undefined)
  }, 2)
  const reads = new Group<string, Row | undefined>(async ids => {
    const { rows } = await pool.query<Row & { id: string }>({ name: 'read', text: READ, values: [ids] })
    const byId = new Map(rows.map(row => [row.id, row]))
    return ids.map(id => byId.get(id))
  }, 2)
  let closed = false
  const work = async (handler: (order: Order) => Result) => {
    while (!closed) {
      const { rows } = await pool.query<{ id: string; attempt: number; input: string }>({
        name: 'claim',
        text: CLAIM_SOME,
      })
      if (rows.length === 0) await sleep(1)
      else {
        const outputs = rows.map(({ input }) => JSON.stringify(handler(JSON.parse(input))))
        await pool.query({
          name: 'finish',
          text: FINISH,
          values: [rows.map(it => it.id), rows.map(it => it.attempt), outputs],
        })
      }
    }
  }
  return {
    submit: (id, order) => submits.add({ id, input: JSON.stringify(order) }),
    read: async id => readState(await reads.add(id)),
    unfinished: async () => {
      const text = `SELECT count(*)::int AS count FROM operations WHERE status IN ('pending', 'running')`
      const { rows } = await pool.query<{ count: number }>(text)
      return rows[0]?.count ?? 0
    },
    work: async handler => void work(handler).catch(error => closed || console.error(error)),
    close: async () => {
      closed = true
      await pool.end()
    },
  }
}
