/** `waybill ls`: the operations of everyone, newest first. */

import type { Operation } from '../model/operation.ts'
import { STATUSES } from '../model/protocol.ts'
import { listAllActive } from '../stores/list-all-active.ts'
import type { BrowseQuery, OperationStore, Store, WorkQueue } from '../stores/store.ts'
import { type Command, JSON_OPTION, type ParsedArgs, STORE_OPTION } from './command.ts'
import { withStore } from './open.ts'
import { columns, plain, print, printJson, short, time } from './output.ts'

/** How many pages are looked at for one listing: of a store that holds very many, the newest. */
const MOST_PAGES = 100

export const ls: Command = {
  name: 'ls',
  summary: 'lists the operations of all owners, the newest first',
  options: {
    ...STORE_OPTION,
    type: { value: 'NAME', help: 'those of one operation type' },
    status: { value: 'STATUS', help: `those with one status: ${STATUSES.join(', ')}` },
    owner: { value: 'OWNER', help: 'those of one owner' },
    limit: { value: 'N', help: '1 to 1000; default 50' },
    after: { value: 'ID', help: 'those older than an operation' },
    ...JSON_OPTION,
  },
  examples: [
    'waybill ls --status failed --type orders --limit 20',
    `waybill ls --status running --json | jq -r '[.id, .holder] | @tsv'`,
  ],
  run: list,
}

async function list(given: ParsedArgs): Promise<number> {
  const [type, owner, after] = [given.text('type'), given.text('owner'), given.id('after')]
  const status = given.oneOf('status', STATUSES)
  const query: BrowseQuery = {
    limit: given.whole('limit', { min: 1, max: 1000 }) ?? 50,
    type,
    owner,
    status,
    after,
  }
  const isForPrograms = given.has('json')
  const { operations, next, unserved, thrown } = await withStore(given.storeUrl(), async store => {
    const found = await find(store, query)
    if (isForPrograms) return { ...found, unserved: new Set<string>(), thrown: new Map<string, string>() }
    const { operations } = found
    return { ...found, unserved: await unservedTypes(store, operations), thrown: await thrownBy(store, operations) }
  })
  if (next !== undefined && operations.length < query.limit) {
    process.stderr.write(`There may be more: repeat it with --after ${next}.\n`)
  }
  if (isForPrograms) for (const operation of operations) printJson(operation)
  else for (const line of columns([HEADINGS, ...operations.map(one => row(one, unserved, thrown))])) print(line)
  return 0
}

/** Looks page by page until there are as many as wanted. */
async function find(store: Store, query: BrowseQuery): Promise<{ operations: Operation[]; next: string | undefined }> {
  if (query.status === 'running') return await findRunning(store, query)
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

/** What runs is few among many, and known by itself. */
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

/** The types of which operations are ready, and none runs anywhere. */
async function unservedTypes(store: WorkQueue, operations: readonly Operation[]): Promise<ReadonlySet<string>> {
  const waiting = new Set(operations.filter(isReady).map(({ type }) => type))
  const queues = await Promise.all([...waiting].map(async type => ({ type, ...(await store.queueStats(type)) })))
  return new Set(queues.filter(({ running }) => running === 0).map(({ type }) => type))
}

function isReady({ status, runAt, execution, launches }: Operation): boolean {
  return status === 'pending' && runAt === null && execution === null && launches === 0
}

/** What the last attempt threw of those that failed without a reason that a client may know. */
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

function row(operation: Operation, unserved: ReadonlySet<string>, thrown: ReadonlyMap<string, string>): string[] {
  const { id, type, owner, status, attempt, released, maxAttempts, createdAt, engine, execution } = operation
  const attempts = `${attempt - released}/${maxAttempts}`
  const ran = [engine ?? '-', execution ?? '-'].map(plain)
  const note = thrown.get(id) ?? noteOf(operation, unserved)
  return [id, type, plain(owner), status, attempts, time(createdAt), ...ran, short(note, 60)]
}

/** What there is to say of it in some words. */
function noteOf(operation: Operation, unserved: ReadonlySet<string>): string {
  const { type, status, error, progress, runAt, cancelRequested, purged, holder } = operation
  if (purged) return 'past its retention'
  if (error !== null) return error.detail ?? error.title
  if (cancelRequested) return 'asked to cancel'
  if (status === 'pending' && runAt !== null) return `due at ${time(runAt)}`
  if (isReady(operation) && unserved.has(type)) return `ready since ${time(operation.updatedAt)}; none of its type runs`
  if (progress === null) return status === 'running' ? (holder ?? '') : ''
  const percent = progress.fraction === undefined ? '' : `${Math.round(progress.fraction * 100)} %`
  return [percent, progress.message ?? ''].filter(Boolean).join(' ')
}
