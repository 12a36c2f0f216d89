/** Reads and writes single items, and runs queries. The rest of the store is built on this file. */

import type { BlobStore } from '../../blobs/blob-store.ts'
import type { Operation } from '../../model/operation.ts'
import { inParallel } from '../../util/in-parallel.ts'
import { type KeptOperation, operationOf } from '../stored-operation.ts'
import { type CallOptions, type CosmosCalls, type Page, statusOf } from './calls.ts'
import type { CosmosContainer } from './container.ts'
import { type BesideItem, isBlob, type KeptItem, type KeyItem, kept, type OperationItem, type Tagged } from './items.ts'
import { type CountName, type Parameters, QUERIES, type QueryName } from './queries.ts'

/** The outcome of a conditional write. */
export type Written = { readonly kind: 'written'; readonly etag: string } | { readonly kind: 'changed' | 'gone' }

/** The most results of one page. */
const PAGE = 1000
/** A tag that no item ever has. */
const NO_ETAG = '"waybill-none"'

/** What can be the id of an operation. The SDK refuses some other strings, such as those with a slash. */
const ITEM_ID = /^[\w-]{1,255}$/

export class CosmosAccess {
  readonly calls: CosmosCalls
  /** Keeps what is too large for an item. */
  readonly blobs: BlobStore | undefined
  readonly #container: CosmosContainer
  readonly #clock: (() => number) | undefined
  /** The read of the SDK's list of partitions that is under way, if any. */
  #learning: Promise<void> | undefined

  constructor(
    container: CosmosContainer,
    calls: CosmosCalls,
    { clock, blobs }: { readonly clock?: (() => number) | undefined; readonly blobs?: BlobStore | undefined } = {},
  ) {
    this.#container = container
    this.calls = calls
    calls.onNewPartition = () => this.#learnPartitions()
    this.#clock = clock
    this.blobs = blobs
  }

  /** The store's clock, in milliseconds since the epoch. */
  now(): number {
    return this.#clock === undefined ? this.calls.clock.now() : this.#clock()
  }

  async operation(id: string): Promise<Tagged<OperationItem> | undefined> {
    const found = ITEM_ID.test(id) ? await this.#read<KeptItem>(id) : undefined
    return found && current(found)
  }

  /**
   * Reads an operation with all writes that any process acknowledged before, so that a refusal is never based on an
   * older state.
   */
  async latestOperation(id: string): Promise<Tagged<OperationItem> | undefined> {
    const found = ITEM_ID.test(id) ? await this.#latest<KeptItem>(id) : undefined
    return found && current(found)
  }

  async key(id: string): Promise<Tagged<KeyItem> | undefined> {
    return await this.#read<KeyItem>(id)
  }

  async body(id: string): Promise<string | undefined> {
    return isBlob(id) ? await this.#readBlob(id) : (await this.#read<BesideItem>(id))?.item.body
  }

  /** Creates an item, and returns its tag; undefined if an item with this id exists. */
  async create(item: OperationItem | KeyItem | BesideItem): Promise<string | undefined> {
    try {
      const answer = await this.calls.item('create', options => this.#container.items.create(written(item), options))
      return etagOf(answer.resource)
    } catch (error) {
      if (statusOf(error) === 409) return undefined
      throw error
    }
  }

  /** Creates items that nobody reads before another item names them. If one exists already, this process wrote it. */
  async createBesides(items: readonly BesideItem[]): Promise<void> {
    await inParallel<BesideItem, unknown>(items, item => (isBlob(item.id) ? this.#putBlob(item) : this.create(item)))
  }

  async replace(item: OperationItem | KeyItem, etag: string): Promise<Written> {
    return await this.#write(async () => {
      const answer = await this.calls.item('replace', options =>
        this.#container.item(item.id, item.id).replace(written(item), { ...options, accessCondition: ifMatch(etag) }),
      )
      return etagOf(answer.resource)
    })
  }

  async delete(id: string, etag?: string): Promise<Written> {
    if (isBlob(id)) {
      await this.#blobStore().delete(id)
      return { kind: 'gone' }
    }
    return await this.#write(async () => {
      const condition = etag === undefined ? {} : { accessCondition: ifMatch(etag) }
      await this.calls.item('delete', options => this.#container.item(id, id).delete({ ...options, ...condition }))
      return ''
    })
  }

  async #putBlob({ id, body }: BesideItem): Promise<void> {
    async function* bytes() {
      yield Buffer.from(body)
    }
    await this.#blobStore().put(id, bytes(), 'application/json')
  }

  async #readBlob(id: string): Promise<string | undefined> {
    const found = await this.#blobStore().get(id)
    if (found === undefined) return undefined
    const pieces: Uint8Array[] = []
    for await (const piece of found) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  }

  #blobStore(): BlobStore {
    if (this.blobs !== undefined) return this.blobs
    throw new Error(
      'The Cosmos DB store has a value that is too large for an item, and was created without the option "blobs", which keeps such values.',
    )
  }

  /** Runs a query, and returns at most `limit` results. */
  async query<Result>(name: QueryName, parameters: Parameters, limit: number): Promise<Result[]> {
    const { text, ordered } = QUERIES[name]
    const query = {
      query: text,
      parameters: Object.entries(parameters).map(([key, value]) => ({ name: `@${key}`, value })),
    }
    return await this.#pages(query, limit, ordered)
  }

  /** Counts to at most `limit`. */
  async count(name: CountName, parameters: Parameters, limit: number): Promise<number> {
    const [count = 0] = await this.query<number>(name, parameters, 1)
    return Math.min(count, limit)
  }

  /** Runs a query that selects whole items of operations. */
  async items(name: QueryName, parameters: Parameters, limit: number): Promise<Tagged<OperationItem>[]> {
    return (await this.query(name, parameters, limit)).map(taggedOperation)
  }

  /** Runs a query that selects the records of operations. */
  async records(name: QueryName, parameters: Parameters, limit: number): Promise<Operation[]> {
    return (await this.query<KeptOperation>(name, parameters, limit)).map(operationOf)
  }

  /** The ids of all items that belong to some operations, also of items that no operation names. */
  async besidesOf(ids: readonly string[]): Promise<string[]> {
    if (ids.length === 0) return []
    const parameters = ids.map((value, index) => ({ name: `@id${index}`, value }))
    const names = parameters.map(({ name }) => name).join(', ')
    return await this.#pages(
      { query: `SELECT VALUE c.id FROM c WHERE c.by.of IN (${names})`, parameters },
      10_000,
      false,
    )
  }

  async #pages<Result>(
    query: { query: string; parameters: { name: string; value: string | number }[] },
    limit: number,
    forceQueryPlan: boolean,
  ): Promise<Result[]> {
    const run = async (options: CallOptions, check: (page: Page) => void) => {
      await this.#learning
      const maxItemCount = Math.min(limit, PAGE)
      const pages = this.#container.items.query(query, { ...options, maxItemCount, forceQueryPlan })
      const found: unknown[] = []
      while (found.length < limit && pages.hasMoreResults()) {
        const page = await pages.fetchNext()
        check(page)
        found.push(...(page.resources ?? []))
      }
      return found.slice(0, limit) as Result[]
    }
    return await this.calls.pages('query', run, () => this.#learnPartitions())
  }

  /**
   * Makes the SDK read its list of partitions again. With the list from before a split, the SDK (4.10) sends a sorted
   * query to a partition that no longer exists, again and again. The change feed is the only call that makes it read
   * the list.
   */
  #learnPartitions(): void {
    this.#learning ??= this.calls
      .item('changes', () => this.#container.items.getChangeFeedIterator({ maxItemCount: 1 }).readNext())
      // If this fails, the next query that fails tries it again.
      .then(
        () => {},
        () => {},
      )
      .finally(() => {
        this.#learning = undefined
      })
  }

  async #read<Item>(id: string): Promise<Tagged<Item> | undefined> {
    return ((await this.#point(id)) as Tagged<Item> | undefined) ?? (await this.#latest<Item>(id))
  }

  /** Reads an item with all writes that any process acknowledged before. */
  async #latest<Item>(id: string): Promise<Tagged<Item> | undefined> {
    return (await this.#exists(id)) ? ((await this.#point(id)) as Tagged<Item> | undefined) : undefined
  }

  async #point(id: string): Promise<Tagged<object> | undefined> {
    const { resource } = await this.calls.item('read', options => this.#container.item(id, id).read(options))
    return resource === undefined || resource === null ? undefined : tagged(resource)
  }

  /**
   * A replica that lags may lack what another process has just written. So this sends a write with a condition that is
   * never true: the primary answers it, nothing is changed, the answer shows whether the item exists, and the next read
   * sees it.
   */
  async #exists(id: string): Promise<boolean> {
    const written = await this.#write(async () => {
      await this.calls.item('probe', options =>
        this.#container
          .item(id, id)
          .patch([{ op: 'set', path: '/probed', value: true }], { ...options, accessCondition: ifMatch(NO_ETAG) }),
      )
      return ''
    })
    return written.kind !== 'gone'
  }

  async #write(write: () => Promise<string>): Promise<Written> {
    try {
      return { kind: 'written', etag: await write() }
    } catch (error) {
      if (statusOf(error) === 412) return { kind: 'changed' }
      if (statusOf(error) === 404) return { kind: 'gone' }
      throw error
    }
  }
}

function written<Item extends OperationItem | KeyItem | BesideItem>(item: Item) {
  return 'record' in item ? kept(item) : item
}

/** The item of an operation, and its tag. */
function taggedOperation(resource: unknown): Tagged<OperationItem> {
  return current(tagged<KeptItem>(resource))
}

/** Converts an item to the form that this version writes. */
function current({ item, etag }: Tagged<KeptItem>): Tagged<OperationItem> {
  return { item: { ...item, record: operationOf(item.record) }, etag }
}

/** An item without what Cosmos DB adds to it, and its tag. */
export function tagged<Item>(resource: unknown): Tagged<Item> {
  const { _etag, _rid, _self, _attachments, _ts, _lsn, ...item } = resource as Record<string, unknown>
  return { item: item as Item, etag: _etag as string }
}

function etagOf(resource: unknown): string {
  return (resource as { _etag: string })._etag
}

function ifMatch(condition: string): { type: string; condition: string } {
  return { type: 'IfMatch', condition }
}
