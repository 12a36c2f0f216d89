/** Stores that hold very many operations, which no program has run: they are written as a program would have left them. */
import { DatabaseSync } from 'node:sqlite'
import type { Pool } from 'pg'
import { ORDER } from './orders.ts'

/** What to write. All are orders. */
export interface Seed {
  /** The newest of those that have ended was accepted one step before. */
  readonly now: number
  /** How many have ended, one in a hundred of them as failed. Default none. */
  readonly finished?: number
  /** How many wait for a time within the next 30 days. Default none. */
  readonly delayed?: number
  /** How many have passed their retention. Of every second one, only the record is left. Default none. */
  readonly expired?: number
  /** How many owners have them, by turns. Default: one without a name, as where nobody has to say who they are. */
  readonly owners?: number
  /** Whether each has a tag. */
  readonly tagged?: boolean
}

const DAY = 86_400_000
const RETENTION = 30 * DAY
/** One operation each two and a half seconds: those of the last hour are some of them. More of them take as long. */
const STEP_MS = 2500
const SPAN_MS = 1_000_000 * STEP_MS
/** How many operations share a transaction. */
const CHUNK = 100_000
/** Nearly none: as many of each status as a page of a list has, so that it is merged of the same ones as among very many. */
export const FEW = { finished: 5000, delayed: 50 } as const

const HOLDER = 'orders-api-5f7c/42/k3v9x0qd'
/** As SQL quotes it. */
const PROBLEM = JSON.stringify({
  type: 'urn:problem-type:waybill:operation-failed',
  title: 'The operation failed',
  status: 500,
  detail: "Send the request again later, or report the operation''s id to the operator of this API.",
  code: 'operation-failed',
})
const THROWN = '{"name":"TypeError","message":"no stock","stack":"TypeError: no stock"}'
const INPUT = JSON.stringify(ORDER)
const OUTPUT = INPUT.slice(0, -1)

/** The id of an operation that has ended, counted from the newest. */
export function idOf(number: number, now: number): string {
  const hex = (now - number * STEP_MS).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(number).padStart(12, '0')}`
}

/** Operations of one kind: a row for each `i` from `count` down to 1, with SQL of `i` and of `at`, when it was accepted. */
interface Kind {
  readonly count: number
  readonly at: string
  /** Ids of two kinds differ in this digit. */
  readonly variant: '8' | '9' | 'a'
  readonly columns: Readonly<Record<string, string>>
  /** Conditions on the rows that have an input, an output, and what an attempt threw. */
  readonly input: string
  readonly output: string
  readonly thrown: string
}

function kindsOf({ now, finished = 0, delayed = 0, expired = 0, owners = 1, tagged = false }: Seed): Kind[] {
  const step = Math.min(STEP_MS, Math.floor(SPAN_MS / Math.max(1, finished)))
  const submitted = {
    type: `'orders'`,
    owner: owners === 1 ? `''` : `'owner-' || (i % ${owners})`,
    priority: '0',
    created_at: 'at',
    released: '0',
    lost: '0',
    launches: '0',
    max_attempts: '3',
    max_lost: '10',
    retention: `${RETENTION}`,
    ...(tagged && { tags: `'{"customer":"C' || (i % 5000) || '"}'` }),
  }
  const status = 'CASE WHEN i % 100 = 0 THEN 3 ELSE 2 END'
  const attempt = `'[{"number":1,"holder":"${HOLDER}","execution":null,"engine":null,"startedAt":' || (at + 100) ||
    ',"finishedAt":' || (at + 900) || ',"outcome":"failed","error":${PROBLEM}}]'`
  const ended = {
    ...submitted,
    status,
    version: '3',
    updated_at: 'at + 900',
    started_at: 'at + 100',
    attempt_started_at: 'at + 100',
    finished_at: 'at + 900',
    expires_at: `at + ${900 + RETENTION}`,
    purge_at: `at + ${900 + RETENTION}`,
    attempt: '1',
    holder: `CASE ${status} WHEN 2 THEN '${HOLDER}' END`,
    error: `CASE ${status} WHEN 3 THEN '${PROBLEM}' END`,
    history: `CASE ${status} WHEN 3 THEN ${attempt} END`,
  }
  const waiting = {
    ...submitted,
    status: '0',
    version: '1',
    updated_at: 'at',
    // In another order than they were accepted in.
    run_at: `${now + DAY} + (i * 7919) % ${29 * DAY}`,
    attempt: '0',
  }
  const texts = { input: 'true', output: 'i % 100 <> 0', thrown: 'i % 100 = 0' }
  const left = Object.entries(texts).map(([text, condition]) => [text, `i % 2 = 1 AND ${condition}`])
  const old = { ...ended, purge_at: `${now} - i`, purged: 'i % 2 = 0' }
  const before = now - RETENTION - SPAN_MS
  return [
    { count: finished, at: `${now} - i * ${step}`, variant: '8', columns: ended, ...texts },
    {
      count: delayed,
      at: `${now} - i`,
      variant: '9',
      columns: waiting,
      input: 'true',
      output: 'false',
      thrown: 'false',
    },
    { count: expired, at: `${before} - i`, variant: 'a', columns: old, ...(Object.fromEntries(left) as typeof texts) },
  ]
}

/** Takes how many operations have been written so far. */
export type Written = (count: number) => void

/** The parts of a kind that are written one after the other, each from its greatest `i` down to its least. */
function* chunksOf(kinds: readonly Kind[], written: Written): Generator<{ kind: Kind; most: number; least: number }> {
  let count = 0
  for (const kind of kinds) {
    for (let most = kind.count; most > 0; most -= CHUNK) {
      const least = Math.max(1, most - CHUNK + 1)
      yield { kind, most, least }
      count += most - least + 1
      written(count)
    }
  }
}

/** Fills a file that a store has made. */
export function seedSqlite(path: string, seed: Seed, written: Written = () => {}): void {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA synchronous = OFF')
  database.exec(`INSERT INTO holders (name, until) VALUES ('${HOLDER}', ${seed.now + 3 * RETENTION})`)
  for (const { kind, most, least } of chunksOf(kindsOf(seed), written)) seedRows(database, kind, most, least)
  database.close()
}

function seedRows(database: DatabaseSync, { at, variant, columns, ...texts }: Kind, most: number, least: number): void {
  const { last } = database.prepare('SELECT coalesce(max(number), 0) AS last FROM operations').get() as { last: number }
  const uuid = `unhex(printf('%012x7000${variant}000%012d', at, i))`
  const ended = columns.finished_at === undefined ? 'NULL' : columns.status
  const all = { number: 'number', uuid, ...relative(columns), ended, cancel_requested: '0', webhook_due: '0' }
  const made = `WITH RECURSIVE n (i) AS (SELECT ${most} UNION ALL SELECT i - 1 FROM n WHERE i > ${least}),
    made AS (SELECT i, ${at} AS at, ${last} + 1 + ${most} - i AS number FROM n)`
  const insert = (into: string, values: string, where = 'true') =>
    database.exec(`INSERT INTO ${into} ${made} SELECT ${values} FROM made WHERE ${where}`)
  database.exec('BEGIN')
  insert(`operations (${Object.keys(all)})`, `${Object.values(all)}`)
  insert('inputs (number, body)', `number, '${INPUT}'`, texts.input)
  insert('outputs (number, body)', `number, ${outputOf()}`, texts.output)
  insert('errors (number, attempt, body)', `number, 1, '${THROWN}'`, texts.thrown)
  database.exec('COMMIT')
}

/**
 * The columns of SQLite, where a time is relative to an earlier one. The operation with number 2 is the first one that
 * its worker has completed: it has the name.
 */
function relative(columns: Kind['columns']): Kind['columns'] {
  const { updated_at, started_at, attempt_started_at, finished_at, expires_at, holder, ...others } = columns
  const updated_after = `${updated_at} - (${finished_at ?? 'at'})`
  if (finished_at === undefined) return { ...others, updated_after }
  return {
    ...others,
    ...(holder !== undefined && { holder: holder.replace(`'${HOLDER}'`, `iif(number = 2, '${HOLDER}', 1)`) }),
    updated_after,
    started_after: `${started_at} - at`,
    attempt_after: `${attempt_started_at} - (${started_at})`,
    finished_after: `${finished_at} - (${attempt_started_at})`,
    expires_after: `${expires_at} - (${finished_at}) - ${RETENTION}`,
  }
}

/** Fills a schema that a store has made. */
export async function seedPostgres(pool: Pool, seed: Seed, written: Written = () => {}): Promise<void> {
  for (const { kind, most, least } of chunksOf(kindsOf(seed), written)) {
    const { at, variant, columns, ...texts } = kind
    const id = `(lpad(to_hex(at), 12, '0') || '7000${variant}000' || lpad(i::text, 12, '0'))::uuid`
    const made = `(SELECT i, ${at} AS at FROM generate_series(${most}::bigint, ${least}, -1) AS i) AS made`
    const all = { id, ...columns, output: `CASE WHEN ${texts.output} THEN ${outputOf()} END` }
    await pool.query(`INSERT INTO waybill.operations (${Object.keys(all)}) SELECT ${Object.values(all)} FROM ${made}`)
    await pool.query(`INSERT INTO waybill.payloads (id, kind, body) SELECT ${id}, kind, body FROM ${made}
      CROSS JOIN LATERAL (VALUES (0, '${INPUT}', ${texts.input}), (2, '${THROWN}', ${texts.thrown}))
        AS texts (kind, body, is_there) WHERE is_there`)
  }
  await pool.query('VACUUM ANALYZE waybill.operations, waybill.payloads')
}

/** What the handler of the comparison returns. */
function outputOf(): string {
  return `'${OUTPUT},"startedAt":' || (at + 100) || '.5,"endedAt":' || (at + 900) || '.25}'`
}
