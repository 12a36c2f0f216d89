/** What can be asked of a container's documents over REST. */
import type { IncomingHttpHeaders } from 'node:http'
import { createCharge, feedCharge, queryCharge, readCharge, replaceCharge } from './charges.ts'
import type { Collection, Json, Partition, Stored } from './collection.ts'
import type { RequestKind } from './faults.ts'
import { CosmosProblem, rangeGone } from './problem.ts'
import { pageOf, planOf, type QueryBody } from './query.ts'

export interface Ask {
  readonly kind: RequestKind
  readonly collection: Collection
  readonly id: string
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
}

export interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly charge: number
}

export const ACTS: Record<
  'create' | 'read' | 'replace' | 'patch' | 'delete' | 'plan' | 'query' | 'feed',
  (ask: Ask) => Answer
> = {
  create: ({ collection, headers, body }) => {
    const stored = collection.create(keyOf(headers), body as Json)
    return written(201, collection, headers, stored, createCharge(stored.body))
  },

  read: ({ collection, headers, id }) => {
    const key = keyOf(headers)
    const partition = collection.partitionOf(key)
    const upTo = replicaFor({ collection, headers }, partition)
    const session = { 'x-ms-session-token': tokenOf(partition, upTo) }
    const stored = collection.find(partition, key, id, upTo)
    if (stored === undefined) {
      throw new CosmosProblem(404, 'Entity with the specified id does not exist in the system.', session)
    }
    const charge = readCharge(stored.body)
    if (headers['if-none-match'] === stored.etag) return { status: 304, headers: session, charge }
    return { status: 200, body: stored.body, headers: { etag: stored.etag, ...session }, charge }
  },

  replace: ({ collection, headers, id, body }) => {
    const stored = collection.replace(keyOf(headers), id, body as Json, headers['if-match'])
    return written(200, collection, headers, stored, replaceCharge(stored.body))
  },

  patch: ({ collection, headers, id, body }) => {
    const key = keyOf(headers)
    const old = collection.find(collection.partitionOf(key), key, id)
    const { operations } = Array.isArray(body) ? { operations: body } : (body as { operations: unknown[] })
    const stored = collection.replace(key, id, patched(old?.body ?? {}, operations), headers['if-match'])
    return written(200, collection, headers, stored, replaceCharge(stored.body))
  },

  delete: ({ collection, headers, id }) => {
    const stored = collection.delete(keyOf(headers), id, headers['if-match'])
    return { ...written(204, collection, headers, stored, createCharge(stored.body)), body: undefined }
  },

  plan: ({ body }) => ({ status: 200, body: planOf(body as QueryBody), charge: 0 }),

  query: ({ collection, headers, body }) => {
    const { results, continuation, searched } = pageOf({
      collection,
      body: body as QueryBody,
      rangeId: header(headers, 'x-ms-documentdb-partitionkeyrangeid'),
      continuation: header(headers, 'x-ms-continuation'),
      size: Number(headers['x-ms-max-item-count'] ?? 100),
      upTo: partition => replicaFor({ collection, headers }, partition),
    })
    const more = continuation === undefined ? {} : { 'x-ms-continuation': continuation }
    const found = { _rid: collection.rid, Documents: results, _count: results.length }
    return { status: 200, body: found, headers: more, charge: queryCharge(results, searched) }
  },

  feed: ask => changesOf(ask),
}

/** Incremental: each document once, as it is now, in the order of the last writes. Deleted ones are not informed of. */
function changesOf({ collection, headers }: Ask): Answer {
  if (headers['a-im'] === undefined) throw new CosmosProblem(400, 'Only the change feed can be read.')
  const partition = collection.partitions.find(({ id }) => id === headers['x-ms-documentdb-partitionkeyrangeid'])
  if (partition === undefined) throw rangeGone()
  const from = headers['if-none-match']
  const after = from === '*' ? partition.lsn : Number((from ?? '"0"').replaceAll('"', ''))
  const size = Number(headers['x-ms-max-item-count'] ?? 100)
  const changed = collection.all(partition).filter(({ lsn }) => lsn > after)
  const page = changed.toSorted((a, b) => a.lsn - b.lsn).slice(0, size)
  const etag = `"${page.at(-1)?.lsn ?? Math.max(after, 0)}"`
  const documents = page.map(({ body, lsn }) => ({ ...body, _lsn: lsn }))
  const charge = feedCharge(documents)
  if (documents.length === 0) return { status: 304, headers: { etag }, charge }
  return {
    status: 200,
    body: { _rid: collection.rid, Documents: documents, _count: documents.length },
    headers: { etag },
    charge,
  }
}

function written(
  status: number,
  collection: Collection,
  headers: IncomingHttpHeaders,
  stored: Stored,
  charge: number,
): Answer {
  return { status, body: stored.body, headers: { etag: stored.etag, ...sessionOf(collection, headers) }, charge }
}

/** The session token of the partition that a request is about: also refused writes tell it. */
export function sessionOf(collection: Collection, headers: IncomingHttpHeaders): Record<string, string> {
  if (headers['x-ms-documentdb-partitionkey'] === undefined) return {}
  const partition = collection.partitionOf(keyOf(headers))
  return { 'x-ms-session-token': tokenOf(partition, partition.lsn) }
}

function tokenOf(partition: Partition, lsn: number): string {
  return `${partition.id}:-1#${lsn}`
}

/**
 * Up to which write the replica has received its partition that this read reaches.
 *
 * @throws {CosmosProblem} 404 with 1002: the request has seen more than it
 */
function replicaFor({ collection, headers }: Pick<Ask, 'collection' | 'headers'>, partition: Partition): number {
  const upTo = collection.replica(partition)
  if (seenOf(headers, partition) <= upTo) return upTo
  throw new CosmosProblem(404, 'The read session is not available for the input session token.', {
    'x-ms-substatus': '1002',
    'x-ms-session-token': tokenOf(partition, upTo),
  })
}

/** What a request has seen of a partition, also under the names that it had before a split. */
function seenOf(headers: IncomingHttpHeaders, { id, parents }: Partition): number {
  const parts = (header(headers, 'x-ms-session-token') ?? '').split(',').filter(Boolean)
  const seen = new Map(parts.map(part => [part.split(':')[0] ?? '', Number(part.split('#')[1])]))
  return Math.max(0, ...[id, ...parents].map(range => seen.get(range) ?? 0))
}

function keyOf(headers: IncomingHttpHeaders): unknown {
  const text = header(headers, 'x-ms-documentdb-partitionkey')
  if (text === undefined) throw new CosmosProblem(400, 'The partition key is missing.')
  return (JSON.parse(text) as unknown[])[0]
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** Sets properties of the document's first level. */
function patched(body: Json, operations: readonly unknown[]): Json {
  const next = { ...body }
  for (const operation of operations) {
    const { op, path, value } = operation as { op: string; path: string; value: unknown }
    if (op !== 'set' || !/^\/[^/]+$/.test(path))
      throw new CosmosProblem(400, `This server does not know the patch ${op} ${path}.`)
    next[path.slice(1)] = value
  }
  return next
}
