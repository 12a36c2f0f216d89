/**
 * The SQLite store: one file, for any number of processes on one machine.
 *
 * Writes that arrive together share a transaction, which a separate thread commits and syncs. Reads use a connection on
 * the event loop, and take microseconds. The thread notices commits of other processes by watching the write-ahead log
 * of the file.
 *
 * @example
 * const store = sqliteStore({ path: './data/orders.db' })
 */

import { existsSync } from 'node:fs'
import type { Change, Operation } from '../../model/operation.ts'
import { STATUSES } from '../../model/protocol.ts'
import { accepted } from '../../model/state-machine.ts'
import type { Submission } from '../../model/submission.ts'
import { Batcher } from '../../util/batcher.ts'
import { HintListeners } from '../hint-listeners.ts'
import type {
  Acceptance,
  ActiveOperation,
  ActiveQuery,
  BrowsePage,
  BrowseQuery,
  ChildCounts,
  ChildrenQuery,
  Claim,
  ClaimRequest,
  Dump,
  Hint,
  Lease,
  ListQuery,
  LogLine,
  Note,
  QueueStats,
  RecordedError,
  Renewal,
  ReserveRequest,
  Store,
  StoreUse,
  SweepResult,
  WithOutput,
} from '../store.ts'
import { QUEUE_COUNT_LIMIT, QUEUE_READY_LIMIT } from '../store.ts'
import { toChildCounts } from '../stored-operation.ts'
import { hintsOf } from './batch-hints.ts'
import type { CommitNotices } from './commit-watcher.ts'
import { checkOurs, type Database, hasWalResetBug, openReader, openWriter, pragma, sqliteVersion } from './database.ts'
import { type Dumps, prepareDumps } from './dumps.ts'
import { toErrors } from './error-rows.ts'
import { FileIdentity } from './file-identity.ts'
import { idOf, keyOf } from './keys.ts'
import { ReadGroup } from './read-group.ts'
import { prepareReads, type Reads } from './reads.ts'
import { toHolding } from './rows.ts'
import { migrationPlan } from './schema.ts'
import { readSqliteOptions, type SqliteStoreOptions, type SqliteStoreSettings } from './sqlite-options.ts'
import { isUnchanged } from './stamps.ts'
import { PROMOTE_LIMIT, type Write, type WriteResult, type WriteResults } from './writer.ts'
import { inlineWriter, onlyWriter, ThreadWriter, type WriterClient } from './writer-client.ts'

export type { SqliteStoreOptions } from './sqlite-options.ts'

/**
 * Makes a store on a SQLite file; nothing is opened before {@link Store.open}.
 *
 * @throws {TypeError} for an unknown or invalid option; the message names it
 *
 * @example
 * const file = sqliteStore({ path: './data/orders.db' })
 */
export function sqliteStore(options: SqliteStoreOptions): Store {
  return new SqliteStore(readSqliteOptions(options))
}

/**
 * The SQL that opening a file would run, for a review before. The file is only read, and not created.
 *
 * @returns the empty string where there is nothing to do
 * @throws if the file belongs to another program
 *
 * @example
 * console.log(await pendingSqliteMigrations('./data/orders.db'))
 */
export async function pendingSqliteMigrations(path: string): Promise<string> {
  if (path === ':memory:' || !existsSync(path)) return migrationPlan(0)
  const database = await openReader({ path, driver: 'node:sqlite', synchronous: 'FULL' })
  try {
    checkOurs(database)
    return migrationPlan(pragma(database, 'user_version'))
  } finally {
    database.close()
  }
}

/**
 * A batch of this many writes is sent to the writer at once, while the event loop reads the other requests that arrived
 * with them.
 */
const EARLY_AT = 32

class SqliteStore implements Store {
  readonly #options: SqliteStoreSettings
  readonly #listeners = new HintListeners()
  readonly #batcher: Batcher<Write, WriteResult>
  #writer: WriterClient | undefined
  #reader: Database | undefined
  #reads: Reads | undefined
  /** Undefined if writes use the same connection, and begin transactions on it. */
  #group: ReadGroup | undefined
  #dumps: Dumps | undefined
  #file: FileIdentity | undefined

  constructor(options: SqliteStoreSettings) {
    this.#options = options
    // A writer on the event loop blocks the loop, so an early batch gains nothing.
    const earlyAt = options.writer === 'inline' ? undefined : EARLY_AT
    this.#batcher = new Batcher(writes => this.#write(writes), { earlyAt })
  }

  async open({ brief = false }: StoreUse = {}): Promise<void> {
    if (this.#writer !== undefined) return
    const shared = this.#options.database ?? (this.#inMemory ? await openWriter(this.#options.location) : undefined)
    if (shared !== undefined) {
      this.#writer = onlyWriter(shared)
      this.#prepare(shared)
      return
    }
    const { location } = this.#options
    const inline = (this.#options.writer ?? (brief ? 'inline' : 'thread')) === 'inline'
    this.#writer = inline
      ? inlineWriter(await openWriter(location), location.path, this.#notices)
      : await ThreadWriter.open(location, this.#notices)
    this.#reader = await openReader(location)
    this.#group = new ReadGroup(this.#reader)
    this.#warnOfVersion(this.#reader)
    this.#file = new FileIdentity(location.path)
    this.#prepare(this.#reader)
  }

  /**
   * Own commits have sent their own hints already, and are not noticed: a general hint for them would make every waiting
   * operation be read again.
   */
  get #notices(): CommitNotices {
    return {
      onCommit: () => this.#hint({ kind: 'unknown' }),
      onRename: () => this.#file?.look(),
      warn: this.#options.warn,
    }
  }

  async check(): Promise<void> {
    await this.#add({ kind: 'check' })
  }

  async accept(submission: Submission): Promise<Acceptance> {
    const acceptance = this.#add({ kind: 'accept', submission })
    // The hint is sent before the commit, so that a worker in this process claims in the same transaction.
    if (submission.delay === 0) this.#hint({ kind: 'ready', type: submission.type })
    return toAcceptance(submission, await acceptance)
  }

  read(id: string, known?: Operation): Promise<Operation | undefined> {
    return this.#inGroup(({ operation, stamp }) =>
      known !== undefined && isUnchanged(known, stamp.get(keyOf(id))) ? known : operation.getById(id),
    )
  }

  readWithOutput(id: string): Promise<WithOutput | undefined> {
    return this.#inGroup(({ withOutput }) => withOutput.getWithOutput(id))
  }

  /** Reads together with the other reads of this turn of the event loop. */
  #inGroup<Result>(read: (reads: Reads) => Result): Promise<Result> {
    const group = this.#group
    return group === undefined ? this.#readNow(read) : group.add(() => read(this.#open))
  }

  async #readNow<Result>(read: (reads: Reads) => Result): Promise<Result> {
    return read(this.#open)
  }

  async findByKey(type: string, owner: string, key: string): Promise<Operation | undefined> {
    return this.#open.byKey.get(type, owner, key)
  }

  async readPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    return this.#open[kind].get(keyOf(id))?.body
  }

  async claim(request: ClaimRequest): Promise<Claim[]> {
    this.#options.steps.noteLease(request.leaseMs)
    if ('types' in request.from && !this.#anyReady(request.from.types)) return []
    return [...(await this.#add({ kind: 'claim', request })).claims]
  }

  renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]> {
    return this.#add({ kind: 'renew', leases, leaseMs })
  }

  change(id: string, change: Change): Promise<Operation | undefined> {
    return this.#add({ kind: 'change', id, change })
  }

  appendNote(lease: Lease, note: Note): Promise<boolean> {
    return this.#add({ kind: 'note', lease, note })
  }

  async steps(id: string): Promise<ReadonlyMap<string, string>> {
    return new Map(this.#open.steps.all(keyOf(id)).map(({ name, value }) => [name, value]))
  }

  async logs(id: string, after: number): Promise<readonly LogLine[]> {
    return this.#open.logs.all(keyOf(id), after).map(row => ({ ...row }))
  }

  async errors(id: string): Promise<readonly RecordedError[]> {
    return toErrors(this.#open.errors.all(keyOf(id)))
  }

  async list(query: ListQuery): Promise<readonly Operation[]> {
    const { type, owner, status, limit, after } = query
    const before = after === undefined ? Number.MAX_SAFE_INTEGER : this.#placeOf(after)
    const reads = this.#open
    if (status === undefined) return reads.list.all(type, owner, before, limit)
    if (status === 'running') return reads.listRunning.all(type, owner, before, limit)
    if (status === 'pending') return reads.listPending.all(type, owner, before, limit)
    return reads.listEnded.all(type, owner, STATUSES.indexOf(status), before, limit)
  }

  /** The row number below which the operations that follow an id in a list are found. */
  #placeOf(id: string): number {
    const found = this.#open.place.get(keyOf(id))
    if (found === undefined) return 0
    return idOf(found.id) === id ? found.number : found.number + 1
  }

  async queueStats(type: string): Promise<QueueStats> {
    const reads = this.#open
    const [most, now] = [QUEUE_READY_LIMIT, this.#options.clock()]
    const ready =
      reads.anyDue.get(type, now) === undefined
        ? reads.ready.all(type, most)
        : reads.readyAndDue.all(type, most, type, now, most, most)
    const durations = reads.durations.get(type)
    return {
      ready: ready.map(({ id }) => idOf(id)),
      depth:
        ready.length < most ? ready.length : (reads.countReady.get(type, type, now, QUEUE_COUNT_LIMIT)?.count ?? 0),
      running: reads.countRunning.get(type, QUEUE_COUNT_LIMIT)?.count ?? 0,
      oldestAt: ready.length === 0 ? null : Math.min(...ready.map(({ at }) => at)),
      durations: durations === undefined ? [] : (JSON.parse(durations.recent) as number[]),
    }
  }

  async reserveForLaunch(request: ReserveRequest): Promise<readonly Operation[]> {
    if (!this.#anyReady(request.types.map(type => ({ type })))) return []
    return await this.#add({ kind: 'launch', ...request })
  }

  async listActive({ holder, after = '', limit }: ActiveQuery): Promise<readonly ActiveOperation[]> {
    const { holdings, holdingsOf } = this.#open
    const key = keyOf(after)
    const rows = holder === undefined ? holdings.all(key, key, limit) : holdingsOf.all(holder, key, limit)
    return rows.map(toHolding)
  }

  async holders(): Promise<readonly string[]> {
    return this.#open.holders.all().map(({ holder }) => holder)
  }

  async webhooksDue(limit: number): Promise<readonly Operation[]> {
    return this.#open.webhooksDue.all(limit)
  }

  async familyDue(limit: number): Promise<readonly Operation[]> {
    return this.#open.familyDue.all(limit)
  }

  async listChildren({ parent, state, after = '', limit }: ChildrenQuery): Promise<readonly string[]> {
    const ended = state === 'unfinished' ? null : STATUSES.indexOf(state)
    return this.#open.children.all(parent, ended, keyOf(after), limit).map(({ id }) => idOf(id))
  }

  async countChildren(parent: string): Promise<ChildCounts> {
    const rows = this.#open.countChildren.all(parent)
    return toChildCounts(rows.map(({ ended, count }) => [ended === null ? 'pending' : STATUSES[ended], count]))
  }

  async sweep(limit: number): Promise<SweepResult> {
    // If the file system does not report changes of the folder, such as on some container mounts, a deleted file is
    // detected here.
    this.#file?.look()
    const { aheadMs, mayBeBack } = this.#options.steps.look(this.#options.clock())
    if (mayBeBack) await this.#reschedule()
    return await this.#add({ kind: 'sweep', limit, aheadMs })
  }

  /** Corrects due times in batches, so that other writes can run in between. */
  async #reschedule(): Promise<void> {
    while ((await this.#add({ kind: 'reschedule' })) === PROMOTE_LIMIT);
    this.#options.steps.noteRescheduled()
  }

  async browse(query: BrowseQuery): Promise<BrowsePage> {
    return this.#openDumps.browse(query)
  }

  async purge(id: string): Promise<boolean> {
    return await this.#add({ kind: 'purge', id })
  }

  async dump(after: string | undefined, limit: number): Promise<readonly Dump[]> {
    return this.#openDumps.dump(after, limit)
  }

  async restore(dumps: readonly Dump[]): Promise<void> {
    await this.#add({ kind: 'restore', dumps })
  }

  watch(listener: (hint: Hint) => void): () => void {
    return this.#listeners.add(listener)
  }

  async close(): Promise<void> {
    await this.#batcher.drained()
    const [writer, reader] = [this.#writer, this.#reader]
    this.#writer = this.#reader = this.#reads = this.#dumps = this.#group = this.#file = undefined
    this.#listeners.clear()
    reader?.close()
    await writer?.close()
  }

  get #inMemory(): boolean {
    return this.#options.location.path === ':memory:'
  }

  #prepare(database: Database): void {
    this.#reads = prepareReads(database)
    this.#dumps = prepareDumps(database)
  }

  get #open(): Reads {
    this.#file?.check()
    if (this.#reads === undefined) throw new Error('The SQLite store is not open: call open() first.')
    return this.#reads
  }

  get #openDumps(): Dumps {
    this.#file?.check()
    if (this.#dumps === undefined) throw new Error('The SQLite store is not open: call open() first.')
    return this.#dumps
  }

  #add<Kind extends keyof WriteResults>(write: Write & { kind: Kind }): Promise<WriteResults[Kind]> {
    return this.#batcher.add(write) as Promise<WriteResults[Kind]>
  }

  async #write(writes: readonly Write[]): ReturnType<WriterClient['execute']> {
    if (this.#writer === undefined) throw new Error('The SQLite store is not open.')
    this.#file?.check()
    const settled = await this.#writer.execute(writes, this.#options.clock())
    for (const hint of hintsOf(writes, settled)) this.#hint(hint)
    return settled
  }

  /**
   * Checks for ready operations before a claim: for an empty queue, a read of some microseconds replaces a transaction.
   */
  #anyReady(types: readonly { readonly type: string }[]): boolean {
    if (this.#batcher.holds(write => write.kind === 'accept' || write.kind === 'change')) return true
    const now = this.#options.clock()
    return types.some(({ type }) => this.#open.anyReady.get(type, type, now) !== undefined)
  }

  #hint(hint: Hint): void {
    this.#listeners.send(hint)
  }

  #warnOfVersion(database: Database): void {
    const version = sqliteVersion(database)
    if (!hasWalResetBug(version)) return
    this.#options.warn(
      `SQLite ${version} has a bug that can corrupt a file which several connections write at the same time (WAL-reset). ` +
        'Use a Node whose process.versions.sqlite is 3.51.3 or later, or a driver with such a version.',
    )
  }
}

function toAcceptance(submission: Submission, result: WriteResults['accept']): Acceptance {
  return typeof result === 'number' ? { kind: 'accepted', operation: accepted(submission, result) } : result
}
