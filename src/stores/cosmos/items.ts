/**
 * The items of the container. The partition key is the id, so each item is a logical partition of its own. A write
 * touches one item, and a change of several items is written so that only the last write makes it effective.
 *
 * | id | what it is |
 * |---|---|
 * | the operation's id | the operation: its record, its small payloads, the tail of its log, the names of its other items |
 * | `key:…` | an idempotency key: the id of the operation that it created |
 * | `input:…`, `output:…`, `step:…`, `error:…`, `log:…` | a value that is too large for the operation's item. It is
 * read only once that item names it |
 */
import { createHash, randomBytes } from 'node:crypto'
import { isReference } from '../../blobs/blob-store.ts'
import { endsBy } from '../../model/deadlines.ts'
import type { AttemptError, Operation } from '../../model/operation.ts'
import { isFinal } from '../../model/protocol.ts'
import type { LogLine } from '../store.ts'
import type { KeptOperation } from '../stored-operation.ts'

/**
 * The properties that queries use, which are all that must be indexed. A property that does not apply is left out, and
 * costs nothing.
 */
export interface Index {
  /** The id. Other properties that end with an id sort by their beginning first, and then by id. */
  readonly id?: string
  /** The scope, and the id. */
  readonly scope?: string
  /** The scope, the status, and the id. */
  readonly state?: string
  /** The status, and the id. */
  readonly status?: string
  /** Pending: the type and the place in its queue, when it may be claimed, and when it was accepted. */
  readonly queue?: string
  readonly due?: number
  readonly at?: number
  /** Running: the type. */
  readonly running?: string
  /** Not finished: the scope. */
  readonly open?: string
  /** The id, if a process or an execution has the operation. */
  readonly held?: string
  /** When its lease or one of its deadlines ends. */
  readonly deadline?: number
  /** A notification is due: the id. */
  readonly webhook?: string
  /** Its parent must be notified, or its children must be handled: the id. */
  readonly family?: string
  /** Unfinished, of a parent: that, and its id. */
  readonly openChild?: string
  /** Ended, of a parent: that, the status, and its id. */
  readonly endedChild?: string
  /** When its payloads, or after those its record, will be deleted. */
  readonly purge?: number
  /** Completed: the type and when it ended, and how long the last attempt ran. */
  readonly done?: string
  readonly ms?: number
  /** Not finished, with an idempotency key: when the key's item must be written again, before its TTL ends. */
  readonly keyed?: number
  /** An operation that waits for its input to be written: since when. */
  readonly arriving?: number
  /** Of an item beside an operation: the operation's id. */
  readonly of?: string
}

/** JSON text: in this item, or in an item of its own. */
export type Body = { readonly text: string } | { readonly item: string }

/** A part of the log in an item of its own. */
export interface LogPart {
  readonly item: string
  /** The sequence number of its first line. */
  readonly first: number
  readonly count: number
}

/** What an attempt threw, in an item of its own. */
export interface ErrorPart {
  readonly attempt: number
  readonly item: string
}

export interface OperationItem {
  readonly id: string
  /** An `arriving` item is not an operation yet, and is not visible. */
  readonly kind: 'operation' | 'arriving'
  readonly by: Index
  readonly record: Operation
  /**
   * The id of the submission that created it. It differs from the id of the operation if a repeated submission with the
   * same idempotency key completed an earlier one.
   */
  readonly madeBy: string
  readonly input: Body | null
  readonly output: Body | null
  /** The name of each step, and the item that keeps its outcome. */
  readonly steps: readonly { readonly name: string; readonly item: string }[]
  /** What attempts threw, in the order of the attempts, in items of their own. */
  readonly errors?: readonly ErrorPart[]
  readonly log: {
    readonly count: number
    readonly parts: readonly LogPart[]
    readonly tail: readonly LogLine[]
  }
  /** When its payloads, or after those its record, will be deleted, in milliseconds since the epoch. */
  readonly purgeAt: number | null
  /** The marks of the last writes. They show whether a write whose answer was lost was made. */
  readonly marks: readonly string[]
  /** How many seconds after the last write Cosmos DB deletes the item. */
  readonly ttl?: number
}

/** The item of an operation as it is kept, whichever version wrote it. */
export type KeptItem = Omit<OperationItem, 'record'> & { readonly record: KeptOperation }

/**
 * The item as it is written. The engine is left out if there is none, as are other members that few records have: then
 * they cost nothing.
 */
export function kept(item: OperationItem): KeptItem {
  const { deadline, waits, tags, retryOf, retriedBy, parent, familyDue, ...record } = item.record
  const rare = {
    ...(deadline !== null && { deadline }),
    ...(waits && { waits }),
    ...(tags && { tags }),
    ...(retryOf && { retryOf }),
    ...(retriedBy && { retriedBy }),
    ...(parent && { parent }),
    ...(familyDue && { familyDue }),
  }
  return { ...item, record: { ...withoutNull(record), ...rare, history: record.history.map(withoutNull) } }
}

function withoutNull<It extends { readonly engine: string | null }>(it: It): Omit<It, 'engine'> & { engine?: string } {
  const { engine, ...rest } = it
  return engine === null ? rest : { ...rest, engine }
}

/** An item as it was read, with the tag on which a write is conditional. */
export interface Tagged<Item> {
  readonly item: Item
  readonly etag: string
}

export interface KeyItem {
  readonly id: string
  readonly kind: 'key'
  readonly operation: string
  /** When it was written, in milliseconds since the epoch. Missing if an older version wrote it. */
  readonly at?: number
  /** In seconds. With it, a crash before the operation is created leaves no item forever. */
  readonly ttl?: number
}

/** An item with a part of an operation. It is written once and never changed. */
export interface BesideItem {
  readonly id: string
  readonly kind: 'beside'
  readonly by: { readonly of: string }
  readonly body: string
}

/** Payloads up to this size, in bytes, stay in the operation's item: reading and writing it should cost little. */
const INLINE_BYTES = 4096
/** The most bytes of a payload: Cosmos DB takes 2 MB for an item, and the rest of the item needs some. */
export const BODY_LIMIT = 2_000_000
/** If the tail of the log exceeds one of these limits, it moves to an item of its own. */
const TAIL_LINES = 20
const TAIL_BYTES = 8192
const PART_BYTES = 500_000
const MARKS_KEPT = 5

/** Sorts behind every id. */
const BEHIND_ALL = '\u{10ffff}'
const SECOND = 1000
const DAY = 24 * 3600 * SECOND
/**
 * If an operation is still unfinished when its retention plus this time has passed since its acceptance, its key's item
 * is written again.
 */
const KEY_SLACK = 15 * DAY
/** Cosmos DB takes no more. */
const LONGEST_TTL = 2 ** 31 - 1

/** A mark that distinguishes one write from all others. */
export function newMark(): string {
  return randomBytes(9).toString('base64url')
}

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}

/** The item of an idempotency key. Equal keys of one type and owner are one id: the second to create it gets a conflict. */
export function keyItemId(type: string, owner: string, key: string): string {
  return `key:${digest(type, owner, key)}`
}

/** The item of an idempotency key. It stays until well after its operation is purged, if the operation ends in time. */
export function keyItem(id: string, operation: string, retention: number, now: number): KeyItem {
  const ttl = Math.min(Math.ceil((2 * retention + 2 * KEY_SLACK) / SECOND), LONGEST_TTL)
  return { id, kind: 'key', operation, at: now, ttl }
}

/** Whether a key's item is so old that it must be written again before an operation is created for it. */
export function isAged({ at = 0 }: KeyItem, now: number): boolean {
  return now - at > DAY
}

/** The item of an operation's own key, if it has one. */
export function keyItemOf({ type, owner, idempotencyKey }: Operation): string | undefined {
  return idempotencyKey === null ? undefined : keyItemId(type, owner, idempotencyKey)
}

/** The item of a step. An attempt has one for each name, so the first outcome stays; no other attempt can write it. */
export function stepItem(id: string, attempt: number, { name, value }: { name: string; value: string }): BesideItem {
  const own = digest(name)
  return beside(fits(value) ? `step:${id}:${attempt}:${own}` : `${id}/step-${attempt}-${own}`, id, value)
}

/** The item of the error that an attempt threw. An attempt ends once, and no other attempt can write this item. */
export function errorItem(id: string, attempt: number, error: AttemptError): BesideItem {
  return beside(`error:${id}:${attempt}`, id, JSON.stringify(error))
}

/**
 * Joins the parts by which queries filter and sort into one string, separated by spaces. Only the last part may contain
 * spaces freely: names of types and statuses have none, and a scope is a JSON array, which is never the beginning of
 * another one.
 */
export function sorted(...parts: readonly string[]): string {
  return parts.join(' ')
}

/** The bounds of all strings that begin with these parts. `before` limits the end. */
export function within(parts: readonly string[], before = BEHIND_ALL): { after: string; before: string } {
  return { after: sorted(...parts, ''), before: sorted(...parts, before) }
}

/** Digits whose order as strings is the order of the numbers. */
function padded(milliseconds: number): string {
  return String(milliseconds).padStart(15, '0')
}

export function scopeOf(type: string, owner: string): string {
  return JSON.stringify([type, owner])
}

function beside(id: string, of: string, body: string): BesideItem {
  return { id, kind: 'beside', by: { of }, body }
}

/** An item with a part of an operation, under a new name. A value that is too large for an item becomes a blob. */
export function freshBeside(kind: 'input' | 'output' | 'step' | 'error', id: string, text: string): BesideItem {
  return beside(fits(text) ? `${kind}:${id}:${newMark()}` : `${id}/${kind}-${newMark()}`, id, text)
}

/** A payload for an operation's item, and the item it needs beside it, if any. */
export function bodyFor(kind: 'input' | 'output', id: string, text: string): { body: Body; besides: BesideItem[] } {
  if (Buffer.byteLength(text) <= INLINE_BYTES) return { body: { text }, besides: [] }
  const item = freshBeside(kind, id, text)
  return { body: { item: item.id }, besides: [item] }
}

/**
 * Whether a part of an operation is in the blob store, because it is too large for an item. Its id is then the key of
 * the blob.
 */
export function isBlob(besideId: string): boolean {
  // An id of a Cosmos DB item cannot contain a slash.
  return besideId.includes('/')
}

/** Whether a payload fits into an item; its quotes and backslashes are escaped there, at most to six bytes each. */
export function fits(text: string): boolean {
  if (text.length * 6 < BODY_LIMIT) return true
  return text.length <= BODY_LIMIT && Buffer.byteLength(JSON.stringify(text)) <= BODY_LIMIT
}

/** The item of an operation that was just accepted. */
export function freshItem(record: Operation, input: Body, madeBy: string): OperationItem {
  return {
    id: record.id,
    kind: 'operation',
    by: indexOf(record, null),
    record,
    madeBy,
    input,
    output: null,
    steps: [],
    log: { count: 0, parts: [], tail: [] },
    purgeAt: null,
    marks: [],
  }
}

/** The item with another record, and with all members that follow from the record. */
export function withRecord(item: OperationItem, record: Operation, now: number): OperationItem {
  const purgeAt = record.purged ? item.purgeAt : record.expiresAt
  const { ttl: _, ...rest } = item
  const next = { ...rest, record, purgeAt, by: indexOf(record, purgeAt, item.by.ms) }
  const ttl = ttlOf(next, now)
  return ttl === undefined ? next : { ...next, ttl }
}

/** The item after its retention has passed: only the record, which stays for a while so that clients get 410. */
export function tombstone(item: OperationItem, now: number): OperationItem {
  const record: Operation = { ...item.record, purged: true, idempotencyKey: null, tags: null }
  const bare = { ...item, input: null, output: null, steps: [], errors: [], log: { count: 0, parts: [], tail: [] } }
  return withRecord({ ...bare, purgeAt: now + recordKept(record) }, record, now)
}

/** How long the record outlives the rest: the same time as the retention, but 1 to 30 days. */
function recordKept({ retention }: Operation): number {
  return Math.min(Math.max(retention, DAY), 30 * DAY)
}

/** Marks a write. */
export function marked(item: OperationItem, mark: string): OperationItem {
  return { ...item, marks: [...item.marks, mark].slice(-MARKS_KEPT) }
}

/**
 * The operation's item after a line was added to its log. `besides` are the items to which lines that no longer fit
 * were moved.
 */
export function settleLog(item: OperationItem): { item: OperationItem; besides: BesideItem[] } {
  const { parts, tail, count } = item.log
  const bytes = tail.reduce((sum, { message }) => sum + Buffer.byteLength(message), 0)
  if (tail.length <= TAIL_LINES && bytes <= TAIL_BYTES) return { item, besides: [] }
  const moved = chunks(tail).map(lines => {
    const [{ sequence: first } = { sequence: 0 }] = lines
    return { lines, part: { item: `log:${item.id}:${first}:${newMark()}`, first, count: lines.length } }
  })
  return {
    item: { ...item, log: { count, parts: [...parts, ...moved.map(({ part }) => part)], tail: [] } },
    besides: moved.map(({ lines, part }) => beside(part.item, item.id, JSON.stringify(lines))),
  }
}

function chunks(lines: readonly LogLine[]): LogLine[][] {
  const all: LogLine[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const line of lines) {
    const size = Buffer.byteLength(line.message)
    if (bytes + size > PART_BYTES) {
      all.push([])
      bytes = 0
    }
    all.at(-1)?.push(line)
    bytes += size
  }
  return all
}

/** Whether its result is in a blob store, in which a TTL deletes nothing. */
function hasBlob({ output }: OperationItem): boolean {
  return output !== null && 'text' in output && isReference(output.text)
}

/** The names of all items that an operation's item names. */
export function namedBesides({ input, output, steps, errors = [], log }: OperationItem): string[] {
  const bodies = [input, output].flatMap(body => (body !== null && 'item' in body ? [body.item] : []))
  return [...bodies, ...[...steps, ...errors, ...log.parts].map(({ item }) => item)]
}

function indexOf(record: Operation, purgeAt: number | null, ms?: number): Index {
  const { id, type, owner, status } = record
  const scope = scopeOf(type, owner)
  return {
    id,
    scope: sorted(scope, id),
    state: sorted(scope, status, id),
    status: sorted(status, id),
    ...(status === 'pending' ? pendingIndex(record) : {}),
    ...(status === 'running' ? { running: type, held: id, ...deadline(record.leaseUntil) } : {}),
    ...(isFinal(status) ? {} : { open: scope, ...keyedIndex(record) }),
    ...(status === 'completed' ? { done: sorted(type, padded(record.finishedAt ?? 0)), ms: ms ?? ranFor(record) } : {}),
    ...(record.webhookDue ? { webhook: id } : {}),
    ...(record.familyDue ? { family: id } : {}),
    ...(record.parent === null ? {} : childIndex(record, record.parent)),
    ...(purgeAt === null ? {} : { purge: purgeAt }),
  }
}

function childIndex({ id, status }: Operation, parent: string): Index {
  return isFinal(status) ? { endedChild: sorted(parent, status, id) } : { openChild: sorted(parent, id) }
}

function pendingIndex(record: Operation): Index {
  const { type, runAt, createdAt, execution } = record
  return {
    queue: sorted(type, placeOf(record)),
    due: runAt ?? 0,
    at: createdAt,
    ...(execution === null ? {} : { held: record.id }),
    ...deadline(endsBy(record)),
  }
}

function keyedIndex({ idempotencyKey, createdAt, retention }: Operation): Index {
  return idempotencyKey === null ? {} : { keyed: createdAt + retention + KEY_SLACK }
}

function deadline(at: number | null): Index {
  return at === null ? {} : { deadline: at }
}

/** A string that sorts in the order of claims: higher priority first, then the smaller id. */
function placeOf({ priority, id }: Operation): string {
  return `${String(1e9 - priority).padStart(10, '0')}:${id}`
}

function ranFor({ finishedAt, attemptStartedAt }: Operation): number {
  return (finishedAt ?? 0) - (attemptStartedAt ?? finishedAt ?? 0)
}

/**
 * The TTL of an item. Normally a sweep deletes it earlier; the TTL deletes it if no sweep runs for a day. Items with
 * parts in other items get no TTL, since it would delete only the one item and leave its parts.
 */
function ttlOf(item: OperationItem, now: number): number | undefined {
  const { record, purgeAt } = item
  if (purgeAt === null) return undefined
  const alone = record.purged || (record.idempotencyKey === null && namedBesides(item).length === 0 && !hasBlob(item))
  if (!alone) return undefined
  const kept = record.purged ? purgeAt - now : purgeAt - now + recordKept(record)
  // An item that is written after its time still gets one day: the service refuses a TTL that has passed.
  return Math.min(Math.ceil((Math.max(kept, 0) + DAY) / SECOND), LONGEST_TTL)
}
