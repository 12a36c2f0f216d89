/** `waybill ls`: lists the operations of all owners, newest first. */

import type { Operation } from '../model/operation.ts'
import { STATUSES } from '../model/protocol.ts'
import { FILTER_NAMES, parseFilter } from '../operator/filter.ts'
import type { OperationView } from '../operator/views.ts'
import { openWaits } from '../service/events.ts'
import { listAllActive } from '../stores/list-all-active.ts'
import type { BrowseQuery, OperationStore, OperatorFilter, Store, WorkQueue } from '../stores/store.ts'
import { plain } from '../util/plain-text.ts'
import { type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { baseUrl, DESK_OPTIONS, type Desk, withDesk } from './desk.ts'
import { withStore } from './open.ts'
import { columns, describeWait, print, printJson, short, time } from './output.ts'

/** How many pages are read for one listing: in a very large store, only the newest operations. */
const MOST_PAGES = 100
/** The most items of a page of the admin API. */
const REMOTE_PAGE = 500

export const ls: Command = {
  name: 'ls',
  operands: '[FILTER...]',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'list the operations of all owners that match a filter, newest first',
  options: {
    ...DESK_OPTIONS,
    type: { value: 'NAME', help: 'only this operation type; the same as type:NAME' },
    status: { value: 'STATUS', help: `only this status, the same as status:STATUS: ${STATUSES.join(', ')}` },
    owner: { value: 'OWNER', help: 'only this owner; the same as owner:OWNER' },
    limit: { value: 'N', help: 'how many, 1 to 1000 (default 50)' },
    after: { value: 'ID', help: 'only operations older than this one' },
    ...JSON_OPTION,
  },
  notes: [
    `A filter consists of name:value pairs and words to search for. The names are ${FILTER_NAMES.join(', ')}.`,
    'since and until take a time, a day, or how long ago, such as 2h.',
  ],
  examples: [
    'waybill ls status:failed type:orders since:2h',
    'waybill ls "Ada Lovelace" --limit 20 --url http://127.0.0.1:3000',
    `waybill ls status:running --json | jq -r '[.id, .holder] | @tsv'`,
  ],
  run: list,
}

/** The source of a line: a record in a store, or its view in the admin API. */
type Listed = Omit<OperationView, 'tags' | 'retryOf' | 'retriedBy'> & Partial<Pick<Operation, 'released' | 'launches'>>

interface Found<Item> {
  readonly operations: readonly Item[]
  /** Where to continue, if not everything was read. */
  readonly next: string | undefined
}

async function list(given: ParsedArgs): Promise<number> {
  const query: BrowseQuery = {
    ...filterOf(given),
    limit: given.whole('limit', { min: 1, max: 1000 }) ?? 50,
    after: given.id('after'),
  }
  const isForPrograms = given.has('json')
  if (baseUrl(given) !== undefined) {
    const found = await withDesk(given, desk => findRemote(desk, query))
    return printAll(
      found,
      query,
      isForPrograms,
      found.operations.map(one => row(one, NONE, new Map())),
    )
  }
  return await withStore(given.storeUrl(), async store => {
    const found = await find(store, query)
    if (isForPrograms) return printAll(found, query, true, [])
    const { operations } = found
    const [unserved, thrown] = [await unservedTypes(store, operations), await thrownBy(store, operations)]
    return printAll(
      found,
      query,
      false,
      operations.map(one => row({ ...one, waits: openWaits(one) }, unserved, thrown)),
    )
  })
}

const NONE: ReadonlySet<string> = new Set()

/** The filter from the operands and the options. */
function filterOf(given: ParsedArgs): OperatorFilter {
  const options = {
    type: given.text('type'),
    owner: given.text('owner'),
    status: given.oneOf('status', STATUSES),
  }
  // An argument with spaces was quoted in the shell, so it is quoted here as one word or value.
  const parts = given.operands.map(operand => {
    const [, name = '', value = operand] = /^([A-Za-z]+:)(.*)$/s.exec(operand) ?? []
    return /\s/.test(value) && !value.startsWith('"') ? `${name}${JSON.stringify(value)}` : operand
  })
  const added = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...parseFilter(parts.join(' ')), ...Object.fromEntries(added) }
}

function printAll(found: Found<object>, query: BrowseQuery, isForPrograms: boolean, rows: readonly string[][]): number {
  const { operations, next } = found
  if (next !== undefined && operations.length < query.limit) {
    process.stderr.write(`There may be more: repeat the command with --after ${next}.\n`)
  }
  if (isForPrograms) for (const operation of operations) printJson(operation)
  else for (const line of columns([HEADINGS, ...rows])) print(line)
  return 0
}

async function findRemote(desk: Desk, { limit, after, ...filter }: BrowseQuery): Promise<Found<Listed>> {
  const operations: OperationView[] = []
  let next = after
  for (let page = 0; page < MOST_PAGES; page++) {
    const found = await desk.browse(filter, { limit: Math.min(REMOTE_PAGE, limit - operations.length), after: next })
    operations.push(...found.items)
    next = found.next
    if (next === undefined || operations.length === limit) break
  }
  return { operations, next }
}

/** Reads page by page until there are enough. */
async function find(store: Store, query: BrowseQuery): Promise<Found<Operation>> {
  if (isRunningAlone(query)) return await findRunning(store, query)
  const operations: Operation[] = []
  let next = query.after
  for (let page = 0; page < MOST_PAGES; page++) {
    const limit = query.limit - operations.length
    const found = await store.browse({ ...query, limit, after: next })
    operations.push(...found.operations)
    next = found.next
    if (next === undefined || operations.length === query.limit) break
  }
  return { operations, next }
}

/** Whether the filter is for running operations, with at most a type and an owner. */
function isRunningAlone({ status, type, owner, limit, after, ...others }: BrowseQuery): boolean {
  return status === 'running' && Object.values(others).every(value => value === undefined)
}

/** Running operations are few, and the store lists them directly. */
async function findRunning(store: OperationStore & WorkQueue, { type, owner, limit, after }: BrowseQuery) {
  const ids = (await listAllActive(store))
    .filter(it => it.status === 'running' && (type ?? it.type) === it.type && (after === undefined || it.id < after))
    .map(({ id }) => id)
  const operations: Operation[] = []
  for (const id of ids.sort().reverse()) {
    if (operations.length === limit) break
    const operation = await store.read(id)
    if (operation?.status === 'running' && (owner ?? operation.owner) === operation.owner) operations.push(operation)
  }
  return { operations, next: undefined }
}

/** The types that have ready operations, but no running ones. */
async function unservedTypes(store: WorkQueue, operations: readonly Operation[]): Promise<ReadonlySet<string>> {
  const waiting = new Set(operations.filter(isReady).map(({ type }) => type))
  const queues = await Promise.all([...waiting].map(async type => ({ type, ...(await store.queueStats(type)) })))
  return new Set(queues.filter(({ running }) => running === 0).map(({ type }) => type))
}

function isReady({
  status,
  runAt,
  execution,
  launches = 0,
}: Pick<Listed, 'status' | 'runAt' | 'execution' | 'launches'>): boolean {
  return status === 'pending' && runAt === null && execution === null && launches === 0
}

/** The error of the last attempt, for operations that failed without a reason that clients may see. */
async function thrownBy(store: OperationStore, operations: readonly Operation[]): Promise<ReadonlyMap<string, string>> {
  const thrown = new Map<string, string>()
  for (const { id, error } of operations) {
    if (error?.code !== 'operation-failed') continue
    const last = (await store.errors(id)).at(-1)?.error
    if (last !== undefined) thrown.set(id, `${last.name}: ${last.message}`)
  }
  return thrown
}

const HEADINGS = ['ID', 'TYPE', 'OWNER', 'STATUS', 'ATTEMPT', 'CREATED', 'ENGINE', 'EXECUTION', 'NOTE']

function row(operation: Listed, unserved: ReadonlySet<string>, thrown: ReadonlyMap<string, string>): string[] {
  const { id, type, owner, status, attempt, released = 0, maxAttempts, createdAt, engine, execution } = operation
  const attempts = `${attempt - released}/${maxAttempts}`
  const ran = [engine ?? '-', execution ?? '-'].map(plain)
  const note = thrown.get(id) ?? noteOf(operation, unserved)
  return [id, type, plain(owner), status, attempts, time(createdAt), ...ran, short(note, 60)]
}

/** A short remark on the operation. */
function noteOf(operation: Listed, unserved: ReadonlySet<string>): string {
  const { type, status, error, progress, runAt, cancelRequested, purged, holder, waits } = operation
  if (purged) return 'past its retention'
  if (error !== null) return error.detail ?? error.title
  if (cancelRequested) return 'asked to cancel'
  const [wait] = waits
  if (wait !== undefined) return plain(describeWait(wait))
  if (status === 'pending' && runAt !== null) return `due at ${time(runAt)}`
  if (isReady(operation) && unserved.has(type)) return `ready since ${time(operation.updatedAt)}; none of its type runs`
  if (progress === null) return status === 'running' ? (holder ?? '') : ''
  const percent = progress.fraction === undefined ? '' : `${Math.round(progress.fraction * 100)} %`
  return [percent, progress.message ?? ''].filter(Boolean).join(' ')
}
