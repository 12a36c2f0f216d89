/**
 * A small Cosmos DB on the loopback that keeps the rules of the service's REST protocol as far as the store uses it, so
 * that the real SDK can talk to it: conditions, TTL, partitions, query plans and continuations, the change feed, session
 * tokens, charges. What it does not know, it refuses. docs/deploy/cosmos.md says what only the real service can prove.
 */
import { randomUUID } from 'node:crypto'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { authorize } from './cosmos-server/auth.ts'
import { REFUSED_CHARGE } from './cosmos-server/charges.ts'
import { Collection, type CollectionOptions } from './cosmos-server/collection.ts'
import { ACTS, type Answer, type Ask, sessionOf } from './cosmos-server/documents.ts'
import { Faults, type RequestKind } from './cosmos-server/faults.ts'
import { CosmosProblem } from './cosmos-server/problem.ts'
import { LOCALHOST } from './localhost-certificate.ts'

export { ACCOUNT_KEY } from './cosmos-server/auth.ts'
export type { Collection } from './cosmos-server/collection.ts'

/** One request as it was answered. */
export interface Answered {
  readonly kind: RequestKind
  readonly id: string
  readonly status: number
  readonly charge: number
}

export const DATABASE = 'waybill'

export class CosmosServer {
  readonly faults = new Faults()
  readonly answered: Answered[] = []
  /** Tokens of Microsoft Entra ID that are good. */
  readonly tokens = new Set<string>()
  /** Whether a token of Microsoft Entra ID is good. */
  admits: (token: string) => boolean = token => this.tokens.has(token)
  consistency: 'Strong' | 'BoundedStaleness' | 'Session' | 'ConsistentPrefix' | 'Eventual' = 'Strong'
  multipleWriteLocations = false
  readonly #collections = new Map<string, Collection>()
  readonly #server: http.Server
  readonly #scheme: 'http' | 'https'

  private constructor(tls: boolean) {
    const take = (request: IncomingMessage, response: ServerResponse) => void this.#take(request, response)
    this.#scheme = tls ? 'https' : 'http'
    this.#server = tls ? https.createServer(LOCALHOST, take) : http.createServer(take)
  }

  static async start({ tls = false } = {}): Promise<CosmosServer> {
    const server = new CosmosServer(tls)
    await new Promise<void>(resolve => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get endpoint(): string {
    return `${this.#scheme}://localhost:${(this.#server.address() as AddressInfo).port}/`
  }

  add(options: CollectionOptions): Collection {
    const collection = new Collection(options)
    this.#collections.set(collection.id, collection)
    return collection
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    const sent = await text(request).catch(() => undefined)
    if (sent === undefined) return
    const { kind, collectionId, id } = route(method, url, headers)
    const fault = this.faults.next(kind, id, sent)
    if (fault === 'hang') return
    if (fault === 'cut-before') return void request.socket.destroy()
    let answer: Answer
    const collection = this.#collections.get(collectionId)
    try {
      authorize({ method, path: url, headers }, this.admits)
      if (typeof fault === 'object') throw refusal(fault)
      answer = this.#answer(kind, collection, { id, headers, body: sent === '' ? undefined : JSON.parse(sent) })
    } catch (error) {
      answer = problemAnswer(error, collection === undefined || id === '' ? {} : sessionOf(collection, headers))
    }
    this.answered.push({ kind, id, status: answer.status, charge: answer.charge })
    if (fault === 'cut-after') return void request.socket.destroy()
    const body = answer.body === undefined ? '' : JSON.stringify(answer.body)
    response.writeHead(answer.status, {
      'content-type': 'application/json',
      'x-ms-activity-id': randomUUID(),
      'x-ms-request-charge': answer.charge.toFixed(2),
      ...(collection === undefined
        ? {}
        : { 'x-ms-content-path': collection.rid, 'x-ms-alt-content-path': `dbs/${DATABASE}/colls/${collection.id}` }),
      ...answer.headers,
    })
    response.end(body)
  }

  #answer(kind: RequestKind, collection: Collection | undefined, rest: Omit<Ask, 'kind' | 'collection'>): Answer {
    if (kind === 'account') return { status: 200, body: this.#account, charge: 0 }
    if (collection === undefined) throw new CosmosProblem(404, 'Owner resource does not exist')
    if (kind === 'container') return { status: 200, body: collection.definition, charge: 1 }
    if (kind === 'ranges') return { status: 200, body: rangesOf(collection), charge: 0 }
    return ACTS[kind]({ kind, collection, ...rest })
  }

  get #account(): object {
    const locations = [{ name: 'Here', databaseAccountEndpoint: this.endpoint }]
    return {
      id: 'here',
      _rid: 'here',
      writableLocations: locations,
      readableLocations: locations,
      enableMultipleWriteLocations: this.multipleWriteLocations,
      userConsistencyPolicy: { defaultConsistencyLevel: this.consistency },
    }
  }
}

function route(
  method: string,
  url: string,
  headers: http.IncomingHttpHeaders,
): { kind: RequestKind; collectionId: string; id: string } {
  const [, database, , collectionId = '', feed, id = ''] = url.split('/').filter(Boolean).map(decodeURIComponent)
  return { kind: kindOf(), collectionId: database === DATABASE ? collectionId : '', id }

  function kindOf(): RequestKind {
    if (database === undefined) return 'account'
    if (feed === undefined) return 'container'
    if (feed === 'pkranges') return 'ranges'
    if (id !== '') return ({ GET: 'read', PUT: 'replace', PATCH: 'patch', DELETE: 'delete' } as const)[method] ?? 'read'
    if (headers['x-ms-cosmos-is-query-plan-request'] !== undefined) return 'plan'
    if (headers['x-ms-documentdb-isquery'] !== undefined) return 'query'
    return method === 'POST' ? 'create' : 'feed'
  }
}

function rangesOf(collection: Collection): object {
  const ranges = collection.partitions.map(({ id, parents, minInclusive, maxExclusive }) => {
    return { id, parents, minInclusive, maxExclusive }
  })
  return { _rid: collection.rid, PartitionKeyRanges: ranges, _count: ranges.length }
}

function refusal({
  status,
  retryAfterMs,
  substatus,
}: {
  status: number
  retryAfterMs?: number
  substatus?: number
}): CosmosProblem {
  return new CosmosProblem(status, 'It is made to fail.', {
    ...(retryAfterMs === undefined ? {} : { 'x-ms-retry-after-ms': String(retryAfterMs) }),
    ...(substatus === undefined ? {} : { 'x-ms-substatus': String(substatus) }),
  })
}

function problemAnswer(error: unknown, session: Record<string, string>): Answer {
  if (!(error instanceof CosmosProblem)) throw error
  const { status, message, headers, extra } = error
  return {
    status,
    body: { code: String(status), message, ...extra },
    headers: { ...session, ...headers },
    charge: REFUSED_CHARGE,
  }
}
