/** One container: its documents in physical partitions, their ETags, their TTL and the order of their changes. */
import { createHash } from 'node:crypto'
import { CosmosProblem } from './problem.ts'

export type Json = Record<string, unknown>

export interface Stored {
  readonly body: Json
  readonly etag: string
  /** Milliseconds since the epoch; the service shows whole seconds. */
  readonly writtenAt: number
  /** The number of its last write in its partition. */
  readonly lsn: number
  readonly order: number
  /** As replicas that lag still have it. */
  readonly before: Stored | undefined
  /** A document that was deleted: kept for replicas that lag. */
  readonly deleted?: true
}

export interface Partition {
  readonly id: string
  /** The partitions it came from, by splits. */
  readonly parents: readonly string[]
  readonly minInclusive: string
  readonly maxExclusive: string
  lsn: number
  readonly documents: Map<string, Stored>
}

export interface CollectionOptions {
  readonly id: string
  readonly partitionKey?: string
  /** Seconds; undefined: no document expires, whatever it says. Default -1. */
  readonly defaultTtl?: number | undefined
  readonly partitions?: number
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number
}

/** Replicas that receive nothing. */
interface Lag {
  readonly stale: number
  readonly of: number
  /** By partition: the last write that they have. */
  readonly at: ReadonlyMap<string, number>
  /** By partition: how many there were. */
  readonly reads: Map<string, number>
}

const MOST_BYTES = 2 * 1024 * 1024
const MOST_TTL = 2 ** 31 - 1

export class Collection {
  readonly id: string
  readonly rid: string
  readonly partitionKey: string
  readonly defaultTtl: number | undefined
  readonly #clock: () => number
  #partitions: readonly Partition[]
  #lag: Lag | undefined
  #order = 0

  constructor(options: CollectionOptions) {
    const { id, partitionKey = '/id', partitions = 2, clock = Date.now } = options
    this.id = id
    // 8 bytes: a database's 4 and a container's 4.
    this.rid = createHash('sha256').update(id).digest().subarray(0, 8).toString('base64')
    this.partitionKey = partitionKey
    this.defaultTtl = 'defaultTtl' in options ? options.defaultTtl : -1
    this.#clock = clock
    const bound = (index: number) => (index === partitions ? 'FF' : hex(Math.floor((index * 255) / partitions)))
    this.#partitions = Array.from({ length: partitions }, (_, index) => ({
      id: String(index),
      parents: [],
      minInclusive: index === 0 ? '' : bound(index),
      maxExclusive: bound(index + 1),
      lsn: 0,
      documents: new Map(),
    }))
  }

  get partitions(): readonly Partition[] {
    return this.#partitions
  }

  /** From now on some replicas of each partition receive nothing: of each `of` reads, `stale` in a row reach one of those. */
  lag({ stale, of } = { stale: 2, of: 3 }): void {
    this.#lag = { stale, of, reads: new Map(), at: new Map(this.#partitions.map(({ id, lsn }) => [id, lsn])) }
  }

  /** The number of the last write that the replica has which the next read reaches. */
  replica({ id, lsn, parents }: Partition): number {
    const lag = this.#lag
    if (lag === undefined) return lsn
    const read = lag.reads.get(id) ?? 0
    lag.reads.set(id, read + 1)
    if (read % lag.of >= lag.stale) return lsn
    return lag.at.get(id) ?? Math.max(...parents.map(parent => lag.at.get(parent) ?? 0))
  }

  /** Two partitions take the place of one, and go on with its numbers. */
  split(id: string): void {
    const old = this.#partitions.find(it => it.id === id)
    if (old === undefined) throw new Error(`There is no partition ${id}.`)
    const last = Math.max(...this.#partitions.map(it => Number(it.id)))
    const middle = hex((Number.parseInt(old.minInclusive || '00', 16) + Number.parseInt(old.maxExclusive, 16)) >> 1)
    const halves = [
      { minInclusive: old.minInclusive, maxExclusive: middle },
      { minInclusive: middle, maxExclusive: old.maxExclusive },
    ]
    const children = halves.map((range, index) => {
      return {
        id: String(last + 1 + index),
        parents: [...old.parents, id],
        ...range,
        lsn: old.lsn,
        documents: new Map(),
      }
    })
    this.#partitions = this.#partitions.flatMap(it => (it === old ? children : [it]))
    for (const [name, stored] of old.documents) {
      const [key] = JSON.parse(name) as [unknown, string]
      this.partitionOf(key).documents.set(name, stored)
    }
  }

  get definition(): Json {
    const partitionKey = { paths: [this.partitionKey], kind: 'Hash', version: 2 }
    const ttl = this.defaultTtl === undefined ? {} : { defaultTtl: this.defaultTtl }
    return { id: this.id, _rid: this.rid, partitionKey, ...ttl }
  }

  /** The partition of a partition key's value. */
  partitionOf(key: unknown): Partition {
    const [byte = 0] = createHash('sha256').update(JSON.stringify(key)).digest()
    const at = hex(Math.min(byte, 254))
    return this.#partitions.find(it => it.minInclusive <= at && at < it.maxExclusive) as Partition
  }

  /** The document as it is now, or as a replica shows it that has received the writes up to a number. */
  find(partition: Partition, key: unknown, id: string, upTo = partition.lsn): Stored | undefined {
    return this.#shown(partition.documents.get(nameOf(key, id)), upTo)
  }

  all(partition: Partition, upTo = partition.lsn): Stored[] {
    return [...partition.documents.values()].flatMap(stored => this.#shown(stored, upTo) ?? [])
  }

  #shown(newest: Stored | undefined, upTo: number): Stored | undefined {
    let stored = newest
    while (stored !== undefined && stored.lsn > upTo) stored = stored.before
    return stored === undefined || stored.deleted === true || this.#isExpired(stored) ? undefined : stored
  }

  create(key: unknown, body: Json): Stored {
    this.#check(key, body)
    const partition = this.partitionOf(key)
    if (this.find(partition, key, body.id as string) !== undefined) {
      throw new CosmosProblem(409, 'Entity with the specified id already exists in the system.')
    }
    return this.#put(partition, key, body, undefined)
  }

  replace(key: unknown, id: string, body: Json, ifMatch: string | undefined): Stored {
    const old = this.#expect(key, id, ifMatch)
    this.#check(key, body)
    if (body.id !== id) throw new CosmosProblem(400, 'The id cannot be changed.')
    return this.#put(this.partitionOf(key), key, body, old)
  }

  delete(key: unknown, id: string, ifMatch: string | undefined): Stored {
    const old = this.#expect(key, id, ifMatch)
    const partition = this.partitionOf(key)
    const lsn = ++partition.lsn
    if (this.#lag === undefined) partition.documents.delete(nameOf(key, id))
    else partition.documents.set(nameOf(key, id), { ...old, lsn, before: old, deleted: true })
    return old
  }

  /** Conditions are decided where writes are: nothing lags here. */
  #expect(key: unknown, id: string, ifMatch: string | undefined): Stored {
    const old = this.find(this.partitionOf(key), key, id)
    if (old === undefined) throw new CosmosProblem(404, 'Entity with the specified id does not exist in the system.')
    if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== old.etag) {
      throw new CosmosProblem(412, 'One of the specified pre-condition is not met.')
    }
    return old
  }

  #put(partition: Partition, key: unknown, body: Json, old: Stored | undefined): Stored {
    const lsn = ++partition.lsn
    const writtenAt = this.#clock()
    const seconds = Math.floor(writtenAt / 1000)
    const etag = `"${hex(lsn, 8)}-0000-0${partition.id}00-0000-${hex(seconds, 8)}0000"`
    const order = old?.order ?? ++this.#order
    const system = { _rid: `${this.rid}${order}`, _self: '', _etag: etag, _attachments: 'attachments/', _ts: seconds }
    const before = this.#lag === undefined ? undefined : old
    const stored: Stored = { body: { ...body, ...system }, etag, writtenAt, lsn, order, before }
    partition.documents.set(nameOf(key, body.id as string), stored)
    return stored
  }

  #check(key: unknown, body: Json): void {
    const { id, ttl } = body
    if (typeof id !== 'string' || id === '' || Buffer.byteLength(id) > 1023 || /[/\\?#]/.test(id)) {
      throw new CosmosProblem(400, 'The input name is invalid.')
    }
    if (JSON.stringify(body[this.partitionKey.slice(1)]) !== JSON.stringify(key)) {
      throw new CosmosProblem(
        400,
        "PartitionKey extracted from document doesn't match the one specified in the header.",
        { 'x-ms-substatus': '1001' },
      )
    }
    if (ttl !== undefined && !(Number.isInteger(ttl) && (ttl === -1 || (Number(ttl) > 0 && Number(ttl) <= MOST_TTL)))) {
      throw new CosmosProblem(400, `The input ttl '${ttl}' is invalid.`)
    }
    if (Buffer.byteLength(JSON.stringify(body)) > MOST_BYTES) throw new CosmosProblem(413, 'Request size is too large')
  }

  #isExpired({ body, writtenAt }: Stored): boolean {
    if (this.defaultTtl === undefined) return false
    const ttl = Number(body.ttl ?? this.defaultTtl)
    return ttl !== -1 && Math.floor(writtenAt / 1000) + ttl <= Math.floor(this.#clock() / 1000)
  }
}

function nameOf(key: unknown, id: string): string {
  return JSON.stringify([key, id])
}

/** Upper case, as the bounds of partitions are. */
function hex(value: number, digits = 2): string {
  return value.toString(16).toUpperCase().padStart(digits, '0')
}
