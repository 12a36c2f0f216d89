/** Searches the operations of all owners. Each call reads a bounded number of them. */
import type { Operation } from '../../model/operation.ts'
import { STATUSES } from '../../model/protocol.ts'
import { isId } from '../../util/is-id.ts'
import { decided, fitsQuery, idBounds, isFiltered, partText, tagText } from '../browsing.ts'
import { BROWSE_LIMIT, type BrowsePage, type BrowseQuery } from '../store.ts'
import { listedIds } from './listed.ts'
import type { Row } from './pool.ts'
import { FIRST_ID, LAST_ID, RECORD_WIDTH, recordOf, toOperation } from './rows.ts'
import { storable } from './text.ts'

/** A statement for one query, with its values. It runs rarely, and is not prepared. */
export interface BrowseStatement {
  readonly text: string
  readonly values: readonly unknown[]
}

/** @param schema its name, quoted */
export function browseStatement(schema: string, query: BrowseQuery): BrowseStatement {
  const values: unknown[] = []
  const value = (given: unknown, type: string) => `$${values.push(given)}::${type}`
  const { first = FIRST_ID, before = LAST_ID } = idBounds(query)
  const bounds = { before: value(before, 'uuid'), first: value(first, 'uuid') }
  const operations = `${schema}.operations`
  if (!isFiltered(query)) {
    const newest = newestIds(operations, bounds.before, query.limit)
    const text = `
      SELECT ${recordOf('o')} FROM ${operations} o WHERE o.id = ANY (ARRAY (${newest})) AND o.id >= ${bounds.first}
      ORDER BY o.id DESC`
    return { text, values }
  }
  const text = `
    WITH looked AS MATERIALIZED (
      SELECT id FROM (${lookedAt(operations, query, bounds.before, value)}) AS newest WHERE id >= ${bounds.first}
      ORDER BY id DESC LIMIT ${BROWSE_LIMIT}),
    found AS MATERIALIZED (
      SELECT ${recordOf('o')} FROM ${operations} o WHERE o.id = ANY (ARRAY (SELECT id FROM looked))
      ${conditionsOf(schema, query, value)} ORDER BY o.id DESC LIMIT ${query.limit}),
    ends AS (SELECT
      (SELECT id FROM looked ORDER BY id LIMIT 1) AS edge,
      (SELECT count(*) FROM looked) AS looked,
      (SELECT count(*) FROM looked WHERE id >= (SELECT id FROM found ORDER BY id LIMIT 1)) AS passed)
    SELECT found.*, ends.edge, ends.looked, ends.passed FROM ends LEFT JOIN found ON true ORDER BY found.id DESC`
  return { text, values }
}

export async function browse(
  run: (statement: BrowseStatement) => Promise<Row[]>,
  schema: string,
  query: BrowseQuery,
): Promise<BrowsePage> {
  const { after, type, owner, key, execution, holder } = query
  const isHeld = [type, owner, key, execution, holder].every(text => text === undefined || text === storable(text))
  if (!isHeld || (after !== undefined && !isId(after))) return { operations: [], scanned: 0 }
  const rows = await run(browseStatement(schema, query))
  if (!isFiltered(query)) return pageOf(rows.map(toOperation), query)
  const read = rows.filter(([id]) => id !== null).map(toOperation)
  const operations = read.filter(operation => fitsQuery(decided(query, operation), operation))
  const [edge, looked, passed] = rows[0]?.slice(RECORD_WIDTH) ?? []
  if (read.length === query.limit) return { operations, next: read.at(-1)?.id, scanned: Number(passed) }
  const isAll = Number(looked) < BROWSE_LIMIT
  return { operations, next: isAll ? undefined : (edge as string), scanned: Number(looked) }
}

/** A page of all that there is. */
function pageOf(read: readonly Operation[], query: BrowseQuery): BrowsePage {
  const operations = read.filter(operation => fitsQuery(query, operation))
  return { operations, next: read.length === query.limit ? read.at(-1)?.id : undefined, scanned: read.length }
}

type AddValue = (given: unknown, type: string) => string

/** Which operations are looked at: those that run, those of a type and an owner with the status asked for, or all. */
function scopeOf({ type, owner, status, holder }: BrowseQuery): 'running' | 'listed' | 'all' {
  if (status === 'running' || (status === undefined && holder !== undefined)) return 'running'
  return type === undefined || owner === undefined ? 'all' : 'listed'
}

/**
 * Selects the newest ids before one. Without statistics, the planner believes that there are few, and sorts all of them.
 * So it is not told the smallest id, and the limit only as a subquery: then it expects a tenth of them to be read.
 */
function newestIds(operations: string, before: string, limit: number): string {
  return `SELECT id FROM ${operations} WHERE id < ${before} ORDER BY id DESC LIMIT (SELECT ${limit})`
}

/** How the operations are read: all of them by id, or those that an index has together. */
function lookedAt(operations: string, query: BrowseQuery, before: string, value: AddValue): string {
  const { type, owner, status } = query
  const scope = scopeOf(query)
  // Materialized, so that the planner cannot choose to read all operations in the order of their ids.
  if (scope === 'running') {
    return `SELECT id FROM (SELECT id FROM ${operations} WHERE status = 1 OFFSET 0) AS running WHERE id < ${before}`
  }
  if (scope === 'all') return newestIds(operations, before, BROWSE_LIMIT)
  const asked = STATUSES.flatMap((it, index) => (status === undefined || it === status ? [index] : []))
  return listedIds(operations, {
    type: value(type, 'text'),
    owner: value(owner, 'text'),
    statuses: `'{${asked.join(',')}}'::smallint[]`,
    before,
    limit: `${BROWSE_LIMIT}`,
  })
}

/** What is looked at is narrowed down by; the ids decide how it is read. */
function conditionsOf(schema: string, query: BrowseQuery, value: AddValue): string {
  const { type, owner, status, problem, createdAfter, createdBefore, key, execution, holder, tag, search } = query
  const { searchInputOf = [] } = query
  const conditions: string[] = []
  const given = (wanted: unknown, sql: (value: string) => string, kind = 'text') => {
    if (wanted !== undefined) conditions.push(`AND ${sql(value(wanted, kind))}`)
  }
  // With conditions on all three, the planner could search for each id in an index that begins with them.
  if (scopeOf(query) !== 'listed') {
    given(type, it => `o.type = ${it}`)
    given(owner, it => `o.owner = ${it}`)
    given(status && STATUSES.indexOf(status), it => `o.status = ${it}`, 'smallint')
  }
  // Searches for the text of the member. Whether it is the code of the problem itself is checked after the read.
  given(problem && `"code":${JSON.stringify(problem)}`, it => `position(${it} IN o.error) > 0`)
  given(createdAfter, it => `o.created_at >= ${it}`, 'bigint')
  given(createdBefore, it => `o.created_at < ${it}`, 'bigint')
  given(key, it => `o.idempotency_key = ${it}`)
  given(execution, it => `o.execution = ${it}`)
  given(holder, it => `o.holder = ${it}`)
  given(tag && tagText(tag), it => `position(${it} IN o.tags) > 0`)
  if (search !== undefined) {
    const has = (part: string, column: string) => `position(lower(${part} COLLATE "C") IN lower(${column})) > 0`
    const [plain, coded] = [value(storable(search), 'text'), value(partText(search), 'text')]
    const columns = ['o.id::text COLLATE "C"', 'o.idempotency_key', 'o.owner'].map(column => has(plain, column))
    const input = `(SELECT p.body FROM ${schema}.payloads p WHERE p.id = o.id AND p.kind = 0)`
    const inInput = () => `(o.type = ANY (${value(searchInputOf, 'text[]')}) AND ${has(plain, input)})`
    const inputs = searchInputOf.length === 0 ? [] : [inInput()]
    conditions.push(`AND (${[...columns, has(coded, 'o.tags'), ...inputs].join(' OR ')})`)
  }
  return conditions.join(' ')
}
