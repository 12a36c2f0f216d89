/** Queries: the plan that the gateway gives the SDK, and the pages of results. */
import type { Collection, Json, Partition, Stored } from './collection.ts'
import { CosmosProblem, rangeGone } from './problem.ts'
import { orderOf, parse, type Query } from './sql.ts'

export interface QueryBody {
  readonly query: string
  readonly parameters?: readonly { readonly name: string; readonly value: unknown }[]
}

export interface PageRequest {
  readonly collection: Collection
  readonly body: QueryBody
  readonly rangeId: string | undefined
  readonly continuation: string | undefined
  readonly size: number
  /** Up to which write the replica has received a partition that answers. */
  readonly upTo: (partition: Partition) => number
}

export interface Page {
  readonly results: readonly unknown[]
  readonly continuation: string | undefined
  /** How many items the index led to, wanted or not. */
  readonly searched: number
}

/** Where a page ended: the partition, undefined for the first, and the last result's place in it. */
interface Place {
  readonly partition?: string
  readonly value?: unknown
  readonly order?: number
}

const FILTER = '{documentdb-formattableorderbyquery-filter}'

/** What the SDK needs to run the query over partitions by itself. */
export function planOf({ query }: QueryBody): Json {
  const parsed = parse(query)
  const { orderBy, counts } = parsed
  return {
    partitionedQueryExecutionInfoVersion: 2,
    queryInfo: {
      distinctType: 'None',
      top: null,
      offset: null,
      limit: null,
      orderBy: orderBy === undefined ? [] : [orderBy.direction],
      orderByExpressions: orderBy === undefined ? [] : [orderBy.text],
      groupByExpressions: [],
      groupByAliases: [],
      aggregates: counts ? ['Count'] : [],
      groupByAliasToAggregateType: {},
      rewrittenQuery: counts ? countOfEach(parsed) : orderBy === undefined ? '' : rewritten(parsed, orderBy),
      hasSelectValue: /SELECT\s+VALUE/i.test(query),
      hasNonStreamingOrderBy: false,
    },
    queryRanges: [{ min: '', max: 'FF', isMinInclusive: true, isMaxInclusive: false }],
  }
}

function countOfEach({ from, where }: Query): string {
  return `SELECT VALUE [{"item": COUNT(1)}] FROM ${from}${where === undefined ? '' : ` WHERE ${where.text}`}`
}

function rewritten({ from, where, payload }: Query, { text, direction }: NonNullable<Query['orderBy']>): string {
  const filter = where === undefined ? FILTER : `(${where.text}) AND ${FILTER}`
  const order = direction === 'Ascending' ? 'ASC' : 'DESC'
  return `SELECT ${from}._rid, [{"item": ${text}}] AS orderByItems, ${payload} AS payload FROM ${from} WHERE ${filter} ORDER BY ${text} ${order}`
}

/**
 * One page. Without a range it is what the gateway does itself: it goes from partition to partition, and may
 * answer with an empty page and a continuation; it does not sort over partitions.
 */
export function pageOf(request: PageRequest): Page {
  const { collection, body, rangeId, size } = request
  const query = parse(body.query)
  if (rangeId === undefined && query.orderBy !== undefined) {
    throw new CosmosProblem(
      400,
      'The query needs a plan: it sorts over partitions.',
      {},
      { additionalErrorInfo: JSON.stringify(planOf(body)) },
    )
  }
  const place = placeOf(request.continuation)
  const { partitions } = collection
  const wanted = rangeId ?? place.partition
  const at = wanted === undefined ? 0 : partitions.findIndex(({ id }) => id === wanted)
  const partition = partitions[at]
  if (partition === undefined) throw rangeGone()
  const parameters = new Map((body.parameters ?? []).map(({ name, value }) => [name, value]))
  const matches = sorted(
    query,
    collection
      .all(partition, request.upTo(partition))
      .filter(({ body }) => query.where === undefined || query.where.of(body, parameters) === true),
  )
  if (query.counts) return { results: [[{ item: matches.length }]], continuation: undefined, searched: 0 }
  const rest = matches.filter(stored => isAfter(query, stored, place))
  const page = rest.slice(0, size)
  const results = page.map(({ body }) => query.select(body, parameters)).filter(result => result !== undefined)
  const last = page.at(-1)
  const searched = searchedFor(query, collection.all(partition), parameters, rest.length > size ? last : undefined)
  if (rest.length > size && last !== undefined) {
    const value = query.orderBy?.of(last.body, parameters)
    return { results, searched, continuation: toText({ partition: partition.id, value, order: last.order }) }
  }
  const next = rangeId === undefined ? partitions[at + 1] : undefined
  return { results, searched, continuation: next && toText({ partition: next.id }) }
}

/**
 * A query that sorts is led by the index of the property that it sorts by: it walks through all that its conditions on
 * this one property leave, as far as the last result of a full page. Conditions on others are looked at on the way.
 */
function searchedFor(
  { orderBy, where }: Query,
  all: readonly Stored[],
  parameters: Map<string, unknown>,
  end: Stored | undefined,
): number {
  if (orderBy === undefined) return 0
  const conditions = (where?.all ?? [where]).filter(it => it?.text.includes(orderBy.text) === true)
  const walked = all.filter(({ body }) => {
    return orderBy.of(body, parameters) !== undefined && conditions.every(it => it?.of(body, parameters) === true)
  })
  if (end === undefined) return walked.length
  const sign = orderBy.direction === 'Descending' ? -1 : 1
  const last = orderBy.of(end.body, parameters)
  return walked.filter(({ body }) => sign * orderOf(orderBy.of(body, parameters), last) <= 0).length
}

function sorted({ orderBy }: Query, all: readonly Stored[]): Stored[] {
  const none = new Map<string, unknown>()
  return all.toSorted((a, b) => {
    const order = orderBy === undefined ? 0 : orderOf(orderBy.of(a.body, none), orderBy.of(b.body, none))
    return (orderBy?.direction === 'Descending' ? -order : order) || a.order - b.order
  })
}

function isAfter({ orderBy }: Query, stored: Stored, { value, order }: Place): boolean {
  if (order === undefined) return true
  const compared = orderBy === undefined ? 0 : orderOf(orderBy.of(stored.body, new Map()), value)
  const directed = orderBy?.direction === 'Descending' ? -compared : compared
  return directed > 0 || (directed === 0 && stored.order > order)
}

function placeOf(continuation: string | undefined): Place {
  if (continuation === undefined) return {}
  return JSON.parse(Buffer.from(continuation, 'base64url').toString()) as Place
}

function toText(place: Place): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}
