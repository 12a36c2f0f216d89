/** Searches the operations of all owners. Each call reads a bounded number of them. */
import { STATUSES } from '../../model/protocol.ts'
import { decided, fitsQuery, idBounds, isFiltered, partText, tagText } from '../browsing.ts'
import { BROWSE_LIMIT, type BrowsePage, type BrowseQuery } from '../store.ts'
import { type Database, prepare, type SqlValue, type Statement } from './database.ts'
import { HOLDER_NAME } from './holders.ts'
import { ID, ID_TEXT, idOf, type Key, keyOf, LAST_KEY } from './keys.ts'
import { prepareRecords, RECORDS, type RecordQuery } from './rows.ts'

/** The keys from which on, and before which, operations are looked at. */
function keyBounds(query: BrowseQuery): [first: Key, before: Key] {
  const { first = '', before } = idBounds(query)
  const after = query.after === undefined ? undefined : keyOf(query.after)
  // Such an id comes after all UUIDs, which are newest first.
  if (typeof after === 'string') return [keyOf(first), after]
  return [keyOf(first), before === undefined ? LAST_KEY : keyOf(before)]
}

/** How the operations of a query are read: all of them by id, or only the running ones. */
interface Path {
  readonly from: string
  readonly where: string
}

/** A condition on operations. A `+` before a column makes the planner ignore the index of that column. */
interface Condition {
  readonly sql: string
  readonly values: readonly SqlValue[]
}

interface Prepared {
  readonly edge: Statement<{ id: string }>
  readonly found: RecordQuery
  readonly count: Statement<{ count: number }>
}

/** Prepares the search on a connection. The statement of each combination of conditions is prepared once. */
export function prepareBrowse(database: Database): (query: BrowseQuery) => BrowsePage {
  const cache = new Map<string, Prepared>()
  const records = prepareRecords(database)
  const statementsOf = ({ from, where }: Path, conditions: readonly Condition[]): Prepared => {
    const scope = `${from} WHERE ${where}`
    const narrowed = ['uuid < ? AND uuid >= ?', ...conditions.map(({ sql }) => sql)].join(' AND ')
    const text = `${RECORDS} ${scope} AND ${narrowed} ORDER BY uuid DESC LIMIT ?`
    const known = cache.get(text)
    if (known !== undefined) return known
    const ids = `FROM operations ${scope} AND uuid < ? AND uuid >= ?`
    const prepared = {
      edge: prepare<{ id: string }>(
        database,
        `SELECT ${ID} AS id ${ids} ORDER BY uuid DESC LIMIT 1 OFFSET ${BROWSE_LIMIT - 1}`,
      ),
      found: records(text),
      count: prepare<{ count: number }>(database, `SELECT count(*) AS count ${ids}`),
    }
    cache.set(text, prepared)
    return prepared
  }
  return query => {
    const { limit } = query
    const [first, before] = keyBounds(query)
    const path = pathOf(query)
    const conditions = conditionsOf(query)
    const { edge, found, count } = statementsOf(path, conditions)
    const edgeFound = edge.get(before, first)
    const last = edgeFound && idOf(edgeFound.id)
    const values = conditions.flatMap(condition => condition.values)
    const read = found.all(before, last === undefined ? first : keyOf(last), ...values, limit)
    const next = read.length === limit ? read.at(-1)?.id : last
    const looked = () => count.get(before, next === undefined ? first : keyOf(next))?.count ?? 0
    const scanned = isFiltered(query) ? looked() : read.length
    return { operations: read.filter(operation => fitsQuery(decided(query, operation), operation)), next, scanned }
  }
}

function pathOf({ status, holder }: BrowseQuery): Path {
  const isRunning = status === 'running' || (status === undefined && holder !== undefined)
  return isRunning ? { from: 'INDEXED BY operations_leased', where: 'status = 1' } : { from: '', where: 'true' }
}

function conditionsOf(query: BrowseQuery): Condition[] {
  const { type, owner, status, problem, createdAfter, createdBefore, key, execution, holder, tag } = query
  const given = (sql: string, ...values: (SqlValue | undefined)[]): Condition[] =>
    values.includes(undefined) ? [] : [{ sql, values: values as SqlValue[] }]
  return [
    ...given('+type = ?', type),
    ...given('+owner = ?', owner),
    ...given('+status = ?', status && STATUSES.indexOf(status)),
    // Searches for the text of the member. Whether it is the code of the problem itself is checked after the read.
    ...given('instr(error, ?)', problem && `"code":${JSON.stringify(problem)}`),
    ...given('created_at >= ?', createdAfter),
    ...given('created_at < ?', createdBefore),
    ...given('+idempotency_key = ?', key),
    ...given('+execution = ?', execution),
    ...given(`${HOLDER_NAME} = ?`, holder),
    ...given('instr(tags, ?)', tag && tagText(tag)),
    ...searched(query),
  ]
}

function searched({ search, searchInputOf = [] }: BrowseQuery): Condition[] {
  if (search === undefined) return []
  const has = (text: string) => `instr(lower(${text}), lower(?))`
  const parts = [ID_TEXT, 'idempotency_key', 'owner', 'tags'].map(has)
  const values = [search, search, search, partText(search)]
  if (searchInputOf.length === 0) return [{ sql: `(${parts.join(' OR ')})`, values }]
  const input = has('(SELECT body FROM inputs WHERE inputs.number = operations.number)')
  const types = searchInputOf.map(() => '?').join(', ')
  return [
    {
      sql: `(${parts.join(' OR ')} OR (type IN (${types}) AND ${input}))`,
      values: [...values, ...searchInputOf, search],
    },
  ]
}
