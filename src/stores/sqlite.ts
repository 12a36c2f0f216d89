/**
 * The SQLite store: one file, for any number of processes on one machine.
 *
 * Writes of one moment share a transaction, which a thread of its own commits and syncs; reads
 * go to a connection on the event loop and take microseconds. Other processes on the same file are
 * noticed by watching its write-ahead log.
 *
 * @example
 * const store = sqliteStore({ path: './data/orders.db' })
 */
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { Batcher } from '../batch.ts'
import type { Change, Operation, Submission } from '../operation.ts'
import { STATUSES } from '../protocol.ts'
import type {
  Acceptance,
  Claim,
  ClaimRequest,
  Hint,
  Holding,
  Lease,
  ListQuery,
  LogLine,
  Note,
  QueueView,
  Renewal,
  Store,
  Swept,
} from '../store.ts'
import { HOLDINGS_LIMIT, QUEUE_COUNT_LIMIT, QUEUE_VIEW_LIMIT } from '../store.ts'
import { type Database, type DatabaseLocation, openReader, openWriter, type Row } from './sqlite/database.ts'
import { prepareReads, type Reads } from './sqlite/reads.ts'
import { toOperation } from './sqlite/rows.ts'
import type { Write, WriteResult, WriteResults } from './sqlite/writer.ts'
import { inlineWriter, ThreadWriter, type WriterClient } from './sqlite/writer-client.ts'

/** Options of {@link sqliteStore}. */
export interface SqliteStoreOptions {
  /** The file, made where it is missing; `:memory:` keeps nothing beyond the process. */
  readonly path: string
  /** A connection of your own to use for everything, in place of opening `path`. The store closes it. */
  readonly database?: Database
  /** The module of the driver. Default `node:sqlite`; `better-sqlite3` fits too. */
  readonly driver?: string
  /** Default `FULL`: an accepted operation survives a power cut. `NORMAL` survives a crash of the process alone, and is faster. */
  readonly synchronous?: 'FULL' | 'NORMAL'
  /** Where writes are executed. Default `thread`; `inline` saves a thread, and blocks the event loop for each sync. */
  readonly writer?: 'thread' | 'inline'
  /** The store's clock in milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number
}

/** Other processes' writes come as bursts of file events; one hint for each burst is enough. */
const WATCH_DEBOUNCE_MS = 5

/** Makes a store on a SQLite file; nothing is opened before {@link Store.open}. */
export function sqliteStore(options: SqliteStoreOptions): Store {
  return new SqliteStore(options)
}

class SqliteStore implements Store {
  readonly #options: SqliteStoreOptions
  readonly #location: DatabaseLocation
  readonly #clock: () => number
  readonly #listeners = new Set<(hint: Hint) => void>()
  readonly #batcher: Batcher<Write, WriteResult>
  #writer: WriterClient | undefined
  #reader: Database | undefined
  #reads: Reads | undefined
  #watcher: FSWatcher | undefined
  #burst: NodeJS.Timeout | undefined

  constructor(options: SqliteStoreOptions) {
    this.#options = options
    this.#clock = options.clock ?? Date.now
    this.#location = {
      path: options.path,
      driver: options.driver ?? 'node:sqlite',
      synchronous: options.synchronous ?? 'FULL',
    }
    this.#batcher = new Batcher(writes => this.#write(writes))
  }

  async open(): Promise<void> {
    if (this.#writer !== undefined) return
    const shared = this.#options.database ?? (this.#inMemory ? await openWriter(this.#location) : undefined)
    if (shared !== undefined) {
      this.#writer = inlineWriter(shared)
      this.#reads = prepareReads(shared)
      return
    }
    const inline = this.#options.writer === 'inline'
    this.#writer = inline ? inlineWriter(await openWriter(this.#location)) : await ThreadWriter.open(this.#location)
    this.#reader = await openReader(this.#location)
    this.#reads = prepareReads(this.#reader)
    this.#watchOthers()
  }

  accept(submission: Submission): Promise<Acceptance> {
    const acceptance = this.#add({ kind: 'accept', submission })
    // Before it is durable, so that a worker in this process claims it in the same transaction.
    if (submission.delay === 0) this.#hint({ kind: 'ready', type: submission.type })
    return acceptance
  }

  async read(id: string): Promise<Operation | undefined> {
    const row = this.#open.operation.get(id)
    return row === undefined ? undefined : toOperation(row as Row)
  }

  async payload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    const row = this.#open.payload.get(id, kind === 'input' ? 0 : 1) as { body: string } | undefined
    return row?.body
  }

  async claim(request: ClaimRequest): Promise<Claim[]> {
    if ('types' in request.from && !this.#anyReady(request.from.types)) return []
    return await this.#add({ kind: 'claim', request })
  }

  renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]> {
    return this.#add({ kind: 'renew', leases, leaseMs })
  }

  change(id: string, change: Change): Promise<Operation | undefined> {
    return this.#add({ kind: 'change', id, change })
  }

  note(lease: Lease, note: Note): Promise<boolean> {
    return this.#add({ kind: 'note', lease, note })
  }

  async steps(id: string): Promise<ReadonlyMap<string, string>> {
    const rows = this.#open.steps.all(id) as { name: string; value: string }[]
    return new Map(rows.map(({ name, value }) => [name, value]))
  }

  async logs(id: string, after: number): Promise<readonly LogLine[]> {
    return (this.#open.logs.all(id, after) as Row[]).map(row => ({ ...row }) as unknown as LogLine)
  }

  async list(query: ListQuery): Promise<readonly Operation[]> {
    const { type, owner, status, limit, after } = query
    const before = after ?? '\u{10ffff}'
    const rows =
      status === undefined
        ? this.#open.list.all(type, owner, before, limit)
        : this.#open.listByStatus.all(type, owner, before, STATUSES.indexOf(status), limit)
    return rows.map(row => toOperation(row as Row))
  }

  async queue(type: string): Promise<QueueView> {
    const reads = this.#open
    const ready = reads.readyIds.all(type, QUEUE_VIEW_LIMIT) as { id: string }[]
    const count = (rows: unknown) => (rows as { count: number }).count
    const oldest = reads.oldestReady.get(type) as { at: number } | undefined
    return {
      ready: ready.map(({ id }) => id),
      depth: ready.length < QUEUE_VIEW_LIMIT ? ready.length : count(reads.countReady.get(type, QUEUE_COUNT_LIMIT)),
      running: count(reads.countRunning.get(type, QUEUE_COUNT_LIMIT)),
      oldestAt: oldest?.at ?? null,
      durations: (reads.durations.all(type) as { ms: number }[]).map(({ ms }) => ms),
    }
  }

  async launch(request: { types: readonly string[]; limit: number; holdMs: number }): Promise<readonly Operation[]> {
    if (!this.#anyReady(request.types.map(type => ({ type })))) return []
    return await this.#add({ kind: 'launch', ...request })
  }

  async holdings(): Promise<readonly Holding[]> {
    return (this.#open.holdings.all(HOLDINGS_LIMIT) as Row[]).map(row => {
      const { id, type, status, attempt, holder, execution, cancelRequested } = toOperation(row)
      return { id, type, status, attempt, holder, execution, cancelRequested }
    })
  }

  async unfinished(type: string, owner: string, limit: number): Promise<number> {
    return (this.#open.unfinished.get(type, owner, limit) as { count: number }).count
  }

  async webhooksDue(limit: number): Promise<readonly Operation[]> {
    return this.#open.webhooksDue.all(limit).map(row => toOperation(row as Row))
  }

  sweep(limit: number): Promise<Swept> {
    return this.#add({ kind: 'sweep', limit })
  }

  watch(listener: (hint: Hint) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#watcher?.close()
    clearTimeout(this.#burst)
    await this.#batcher.drained()
    const [writer, reader] = [this.#writer, this.#reader]
    this.#writer = this.#reader = this.#reads = undefined
    reader?.close()
    await writer?.close()
    this.#listeners.clear()
  }

  get #inMemory(): boolean {
    return this.#location.path === ':memory:'
  }

  get #open(): Reads {
    if (this.#reads === undefined) throw new Error('The SQLite store is not open: call open() first.')
    return this.#reads
  }

  #add<Kind extends keyof WriteResults>(write: Write & { kind: Kind }): Promise<WriteResults[Kind]> {
    return this.#batcher.add(write) as Promise<WriteResults[Kind]>
  }

  async #write(writes: readonly Write[]): ReturnType<WriterClient['execute']> {
    if (this.#writer === undefined) throw new Error('The SQLite store is not open.')
    const settled = await this.#writer.execute(writes, this.#clock())
    this.#hintOfBatch(writes)
    return settled
  }

  /** A look before the leap: an empty queue costs a read of some microseconds, and no transaction. */
  #anyReady(types: readonly { readonly type: string }[]): boolean {
    if (this.#batcher.holds(write => write.kind === 'accept' || write.kind === 'change')) return true
    const now = this.#clock()
    return types.some(({ type }) => this.#open.anyReady.get(type, type, now) !== undefined)
  }

  #hintOfBatch(writes: readonly Write[]): void {
    const ready = new Set<string>()
    for (const write of writes) {
      if (write.kind === 'accept' && write.submission.delay === 0) ready.add(write.submission.type)
      if (write.kind === 'change') this.#hint({ kind: 'changed', id: write.id })
      if (write.kind === 'note' && write.note.kind === 'log') this.#hint({ kind: 'changed', id: write.lease.id })
    }
    for (const type of ready) this.#hint({ kind: 'ready', type })
  }

  #hint(hint: Hint): void {
    for (const listener of this.#listeners) listener(hint)
  }

  #watchOthers(): void {
    const path = resolve(this.#location.path)
    const log = `${basename(path)}-wal`
    // The folder and not the file: SQLite deletes the log when the last connection closes, and makes another.
    this.#watcher = watch(dirname(path), { persistent: false }, (_, name) => {
      if (name !== log || this.#burst !== undefined) return
      this.#burst = setTimeout(() => {
        this.#burst = undefined
        this.#hint({ kind: 'unknown' })
      }, WATCH_DEBOUNCE_MS)
    })
    // A watch that breaks costs time, not correctness: the slow scans go on.
    this.#watcher.on('error', () => {})
  }
}
