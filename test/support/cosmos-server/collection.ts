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
  /** As a replica that lags still has it. */
  readonly before: Stored | undefined
}

export interface Partition {
  readonly id: string
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

const MOST_BYTES = 2 * 1024 * 1024
const MOST_TTL = 2 ** 31 - 1

export class Collection {
  readonly id: string
  readonly rid: string
  readonly partitions: readonly Partition[]
  readonly partitionKey: string
  readonly defaultTtl: number | undefined
  /** Reads that do not say what they have seen get what a lagging replica has. */
  lags = false
  readonly #clock: () => number
  #order = 0

  constructor(options: CollectionOptions) {
    const { id, partitionKey = '/id', partitions = 2, clock = Date.now } = options
    this.id = id
    // 8 bytes: a database's 4 and a container's 4.
    this.rid = createHash('sha256').update(id).digest().subarray(0, 8).toString('base64')
    this.partitionKey = partitionKey
    this.defaultTtl = 'defaultTtl' in options ? options.defaultTtl : -1
    this.#clock = clock
    const bound = (index: number) =>
      index === 0
        ? ''
        : index === partitions
          ? 'FF'
          : Math.floor((index * 255) / partitions)
              .toString(16)
              .toUpperCase()
              .padStart(2, '0')
    this.partitions = Array.from({ length: partitions }, (_, index) => ({
      id: String(index),
      minInclusive: bound(index),
      maxExclusive: bound(index + 1),
      lsn: 0,
      documents: new Map(),
    }))
  }

  get definition(): Json {
    const partitionKey = { paths: [this.partitionKey], kind: 'Hash', version: 2 }
    const ttl = this.defaultTtl === undefined ? {} : { defaultTtl: this.defaultTtl }
    return { id: this.id, _rid: this.rid, partitionKey, ...ttl }
  }

  /** The partition of a partition key's value. */
  partitionOf(key: unknown): Partition {
    const [byte = 0] = createHash('sha256').update(JSON.stringify(key)).digest()
    return this.partitions[byte % this.partitions.length] as Partition
  }

  /** The document as it is now, or undefined. */
  find(partition: Partition, key: unknown, id: string): Stored | undefined {
    const name = nameOf(key, id)
    const stored = partition.documents.get(name)
    if (stored === undefined || !this.#isExpired(stored)) return stored
    partition.documents.delete(name)
    return undefined
  }

  /** As a reader sees it who has seen the partition up to that number. */
  visible(stored: Stored | undefined, seen: number): Stored | undefined {
    return this.lags && stored !== undefined && stored.lsn > seen ? stored.before : stored
  }

  all(partition: Partition): Stored[] {
    return [...partition.documents.values()].filter(stored => !this.#isExpired(stored))
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
    partition.lsn++
    partition.documents.delete(nameOf(key, id))
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
    const hex = (value: number) => value.toString(16).padStart(8, '0')
    const etag = `"${hex(lsn)}-0000-0${partition.id}00-0000-${hex(seconds)}0000"`
    const order = old?.order ?? ++this.#order
    const system = { _rid: `${this.rid}${order}`, _self: '', _etag: etag, _attachments: 'attachments/', _ts: seconds }
    const before = old === undefined ? undefined : { ...old, before: undefined }
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
