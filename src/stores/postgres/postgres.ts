/**
 * The PostgreSQL store: for any number of processes on any number of machines. PostgreSQL 14 and
 * newer, also behind PgBouncer.
 *
 * Writes that arrive together share a statement, and so a commit; reads share a statement too. Other processes are
 * notified by LISTEN and NOTIFY, separately from the writes. If that does not work, they poll.
 *
 * @example
 * const store = postgresStore(new Pool({ connectionString: process.env.DATABASE_URL }))
 */

import type { Change, Operation } from '../../model/operation.ts'
import { STATUSES } from '../../model/protocol.ts'
import type { Submission } from '../../model/submission.ts'
import { isId } from '../../util/is-id.ts'
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
  HintNeed,
  Lease,
  ListQuery,
  LogLine,
  Note,
  QueueStats,
  RecordedError,
  Renewal,
  ReserveRequest,
  Store,
  SweepResult,
  WithOutput,
} from '../store.ts'
import { Claims, inOrder } from './claims.ts'
import { Connections } from './connections.ts'
import { Copies } from './dumps.ts'
import { Durations } from './durations.ts'
import { grantTo, withGrantCure } from './grants.ts'
import { Hints } from './hints.ts'
import { Hub } from './hub.ts'
import { inspectServer } from './inspect-server.ts'
import { LostClaims } from './lost-claims.ts'
import { endWithoutInput } from './lost-inputs.ts'
import { channelOf } from './names.ts'
import { type PostgresPool, type Row, toQueryable } from './pool.ts'
import { type PostgresStoreOptions, type PostgresStoreSettings, readPostgresOptions } from './postgres-options.ts'
import { ReadLanes } from './read-lanes.ts'
import {
  countedChildren,
  FIRST_ID,
  LAST_ID,
  RECORD_WIDTH,
  renewalsOf,
  toActiveOperation,
  toLogLine,
  toOperation,
  toQueueStats,
  toRecordedError,
} from './rows.ts'
import { RunningRecords } from './running-records.ts'
import { migrate, quoteSchema } from './schema.ts'
import { type StatementName, type Statements, statementsFor } from './statements.ts'
import { MEASURE, measuredTables, TableGrowth } from './table-growth.ts'
import { checkSubmission, checkText } from './text.ts'
import { WriteLanes } from './write-lanes.ts'
import { Writer } from './writer.ts'

export { grantPlan } from './grants.ts'
export type {
  PostgresClient,
  PostgresNotification,
  PostgresPool,
  PostgresQuery,
  PostgresQueryable,
} from './pool.ts'
export type { PostgresStoreOptions } from './postgres-options.ts'
export { type MigrationPlanOptions, migrationPlan, pendingMigrations } from './schema.ts'

/**
 * Makes a store on a `Pool` of the `pg` package; nothing is sent before {@link Store.open}. The caller owns the pool,
 * and ends it after the store is closed.
 *
 * @throws {TypeError} for an unknown or invalid option; the message names it
 *
 * @example
 * const tables = postgresStore(new Pool({ connectionString: process.env.DATABASE_URL }), { schema: 'orders' })
 */
export function postgresStore(pool: PostgresPool, options: PostgresStoreOptions = {}): Store {
  return new PostgresStore(pool, readPostgresOptions(pool, options))
}

class PostgresStore implements Store {
  readonly isRemote = true
  readonly #options: PostgresStoreSettings
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #writer: Writer
  readonly #copies: Copies
  readonly #hub: Hub
  readonly #reads: ReadLanes
  readonly #writes: WriteLanes
  readonly #lostClaims: LostClaims
  readonly #claims: Claims
  readonly #durations: Durations
  readonly #running = new RunningRecords()
  #state: 'new' | 'open' | 'closed' = 'new'

  constructor(pool: PostgresPool, options: PostgresStoreSettings) {
    this.#options = options
    this.#statements = statementsFor(quoteSchema(options.schema))
    const connections = new Connections(pool, options.timeoutMs)
    this.#connections = connections
    this.#writer = new Writer({
      connections,
      statements: this.#statements,
      now: options.clock,
      steps: options.steps,
      running: this.#running,
    })
    this.#copies = new Copies(connections, quoteSchema(options.schema))
    this.#hub = new Hub({ ...options, connections, notify: this.#statements.notify })
    this.#claims = new Claims({
      run: (name, values) => this.#run(name, values),
      now: options.clock,
      outcomesCome: () => this.#writes.isCollectingChanges,
    })
    this.#lostClaims = new LostClaims({
      find: (holder, after) => this.#heldBy(holder, after),
      release: ({ id, attempt }) => this.change(id, { kind: 'finish', attempt, outcome: { kind: 'released' } }),
    })
    this.#durations = new Durations((name, values) => connections.run(this.#statements[name], values))
    this.#reads = new ReadLanes(connections, this.#statements)
    this.#writes = new WriteLanes({
      limitMs: connections.limitMs,
      writer: this.#writer,
      hub: this.#hub,
      claims: this.#claims,
      durations: this.#durations,
    })
  }

  async open(): Promise<void> {
    if (this.#state === 'open') return
    this.#connections.guard()
    let session: boolean
    try {
      session = (await inspectServer(this.#connections)).session
      if (session) this.#connections.prepareStatements(new TableGrowth(() => this.#measure()))
      await migrate(this.#connections, this.#options.schema, this.#options.migrate)
      await grantTo(this.#connections, this.#options.schema, this.#options.grantTo)
    } catch (error) {
      this.#connections.unguard()
      throw withGrantCure(error, this.#options.schema)
    }
    this.#state = 'open'
    await this.#hub.start(session)
  }

  async #measure(): Promise<number> {
    const values = [measuredTables(quoteSchema(this.#options.schema))]
    const { rows } = await this.#connections.use(client => client.query({ ...MEASURE, values, rowMode: 'array' }))
    return Number(rows[0]?.[0])
  }

  async check(): Promise<void> {
    this.#checkOpen()
    await this.#durations.check()
  }

  async accept(submission: Submission): Promise<Acceptance> {
    this.#checkOpen()
    checkSubmission(submission)
    return await this.#writes.accept(submission)
  }

  async acceptWithin(submission: Submission, transaction: unknown): Promise<Acceptance> {
    this.#checkOpen()
    checkSubmission(submission)
    const client = toQueryable(transaction)
    const acceptance = await this.#writer.acceptWithin(submission, client)
    if (acceptance.kind === 'accepted' && this.#options.notifications !== false) {
      // Sent within the transaction, so that the notification leaves with the commit, and never before.
      const hints = new Hints()
      hints.add({ kind: 'ready', type: submission.type })
      const values = [channelOf(this.#options.schema), hints.write('')]
      await client.query({ text: this.#statements.notify.text, values, rowMode: 'array' })
    }
    return acceptance
  }

  async read(id: string, known?: Operation): Promise<Operation | undefined> {
    this.#checkOpen()
    return isId(id) ? await this.#reads.read(id, known) : undefined
  }

  async findByKey(type: string, owner: string, key: string): Promise<Operation | undefined> {
    const [row] = await this.#run('byKey', [type, owner, key])
    return row && toOperation(row)
  }

  async readPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    this.#checkOpen()
    if (!isId(id)) return undefined
    return kind === 'input' ? await this.#reads.input(id) : (await this.#reads.withOutput(id))?.output
  }

  async claim(request: ClaimRequest): Promise<Claim[]> {
    this.#options.steps.noteLease(request.leaseMs)
    return await this.#lostClaims.claim(request.holder, () => this.#claim(request))
  }

  async #claim({ from, holder, leaseMs, execution, engine }: ClaimRequest): Promise<Claim[]> {
    // A worker that does not know the name of its execution keeps the recorded name.
    if ('types' in from && (await this.#findsNothing(holder, from.types))) return []
    const named = execution ?? null
    const by = [holder, leaseMs, named, execution === undefined, named === null ? null : (engine ?? null)]
    const rows =
      'id' in from
        ? await this.#claimOne(from.id, by)
        : await this.#claims.take('claim', from.types, [from.limit, ...by])
    if (!('id' in from)) {
      const types = from.types.map(({ type }) => type)
      this.#hub.claimed(holder, types, { count: rows.length, limit: from.limit })
    }
    const claimed = rows.map(row => ({ operation: toOperation(row), input: row[RECORD_WIDTH] as string | null }))
    const sorted = 'id' in from ? claimed : inOrder(claimed, from.types)
    const claims = await endWithoutInput(sorted, (id, change) => this.change(id, change))
    for (const { operation } of claims) {
      this.#running.begin(operation)
      this.#hub.tell({ kind: 'changed', id: operation.id })
    }
    return claims
  }

  /** Looks before a claim that probably finds nothing: that costs half as much, also for the seat that is asked for. */
  async #findsNothing(holder: string, types: readonly { type: string; limit: number }[]): Promise<boolean> {
    if (!this.#hub.isIdle(holder) || this.#writes.isCollectingChanges) return false
    const { isAnyReady, isSeatFree } = await this.#claims.peek(types, this.#hub.wantedSeats)
    this.#hub.searched(isSeatFree)
    return !isAnyReady
  }

  async renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]> {
    const renewals = await this.#renewAll(leases, leaseMs)
    const busy = leases.filter((_, index) => renewals[index]?.kind === 'busy')
    if (busy.length === 0) return renewals
    // Most rows are locked only for the duration of a statement.
    const again = (await this.#renewAll(busy, leaseMs)).values()
    return renewals.map(renewal => (renewal.kind === 'busy' ? (again.next().value ?? renewal) : renewal))
  }

  async readWithOutput(id: string): Promise<WithOutput | undefined> {
    this.#checkOpen()
    return isId(id) ? await this.#reads.withOutput(id) : undefined
  }

  async change(id: string, change: Change): Promise<Operation | undefined> {
    this.#checkOpen()
    const after = await this.#writes.change({ id, change })
    if (after === undefined && change.kind === 'finish') this.#running.forget(id)
    return after
  }

  async appendNote(lease: Lease, note: Note): Promise<boolean> {
    this.#checkOpen()
    if (note.kind === 'step') {
      checkText('name', note.name)
      checkText('value', note.value)
    }
    return await this.#writes.note({ lease, note })
  }

  async steps(id: string): Promise<ReadonlyMap<string, string>> {
    const rows = isId(id) ? await this.#run('steps', [id]) : []
    return new Map(rows.map(([name, value]) => [name as string, value as string]))
  }

  async logs(id: string, after: number): Promise<readonly LogLine[]> {
    return isId(id) ? (await this.#run('logs', [id, after])).map(toLogLine) : []
  }

  async errors(id: string): Promise<readonly RecordedError[]> {
    return isId(id) ? (await this.#run('errors', [id])).map(toRecordedError) : []
  }

  async list({ type, owner, status, limit, after = LAST_ID }: ListQuery): Promise<readonly Operation[]> {
    if (!isId(after)) return []
    if (status === 'pending') return (await this.#run('listWaiting', [type, owner, after, limit])).map(toOperation)
    const statuses = STATUSES.flatMap((it, index) => (status === undefined || it === status ? [index] : []))
    const rows = await this.#run('list', [type, owner, after, limit, statuses])
    return rows.map(toOperation)
  }

  async queueStats(type: string): Promise<QueueStats> {
    await this.#durations.flush()
    const [row = []] = await this.#run('queue', [this.#options.clock(), type])
    return toQueueStats(row)
  }

  async reserveForLaunch(request: ReserveRequest): Promise<readonly Operation[]> {
    const types = request.types.map(type => ({ type, limit: request.limit }))
    const rows = await this.#claims.take('launch', types, [request.limit, request.holdMs])
    const operations = rows.map(toOperation)
    for (const { id } of operations) this.#hub.tell({ kind: 'changed', id })
    return operations
  }

  async listActive({ holder, after = FIRST_ID, limit }: ActiveQuery): Promise<readonly ActiveOperation[]> {
    if (!isId(after)) return []
    return (await this.#run('holdings', [holder ?? null, after, limit])).map(toActiveOperation)
  }

  async holders(): Promise<readonly string[]> {
    return (await this.#run('holders', [])).map(([holder]) => holder as string)
  }

  async webhooksDue(limit: number): Promise<readonly Operation[]> {
    return (await this.#run('webhooksDue', [limit])).map(toOperation)
  }

  async familyDue(limit: number): Promise<readonly Operation[]> {
    return (await this.#run('familyDue', [limit])).map(toOperation)
  }

  async listChildren({ parent, state, after = FIRST_ID, limit }: ChildrenQuery): Promise<readonly string[]> {
    if (!isId(parent) || !isId(after)) return []
    const statuses = state === 'unfinished' ? [0, 1] : [STATUSES.indexOf(state)]
    return (await this.#run('children', [parent, statuses, after, limit])).map(([id]) => id as string)
  }

  async countChildren(parent: string): Promise<ChildCounts> {
    return countedChildren(isId(parent) ? await this.#run('countChildren', [parent]) : [])
  }

  async sweep(limit: number): Promise<SweepResult> {
    this.#checkOpen()
    const swept = await this.#writer.sweep(limit)
    for (const operation of swept.expired) this.#hub.tellOf(operation)
    if (this.#durations.hasGrown) await this.#durations.drop()
    return swept
  }

  async browse(query: BrowseQuery): Promise<BrowsePage> {
    this.#checkOpen()
    return await this.#copies.browse(query)
  }

  async purge(id: string): Promise<boolean> {
    const rows = isId(id) ? await this.#run('purgeOne', [this.#options.clock(), id]) : []
    if (rows.length > 0) this.#hub.tell({ kind: 'changed', id })
    return rows.length > 0
  }

  async dump(after: string | undefined, limit: number): Promise<readonly Dump[]> {
    this.#checkOpen()
    return await this.#copies.dump(after, limit)
  }

  async restore(dumps: readonly Dump[]): Promise<void> {
    this.#checkOpen()
    await this.#copies.restore(dumps)
    for (const { operation } of dumps) this.#hub.tellOf(operation)
  }

  tellIdle(look: string): number | undefined {
    return this.#hub.tellIdle(look)
  }

  watch(listener: (hint: Hint) => void, need: HintNeed = 'soon'): () => void {
    return this.#hub.watch(listener, need)
  }

  async close(): Promise<void> {
    if (this.#state !== 'open') return
    // If this fails too, the leases expire.
    await this.#lostClaims.releaseAll().catch(() => {})
    this.#state = 'closed'
    await Promise.all([this.#writes.drained(), this.#reads.drained()])
    await this.#durations.close()
    await this.#hub.close()
    this.#connections.unguard()
  }

  #checkOpen(): void {
    if (this.#state === 'open') return
    throw new Error(`The PostgreSQL store is ${this.#state === 'new' ? 'not open: call open() first' : 'closed'}.`)
  }

  async #run(name: StatementName, values: unknown[]): Promise<Row[]> {
    this.#checkOpen()
    return await this.#connections.run(this.#statements[name], values)
  }

  async #heldBy(holder: string, after: number): Promise<Lease[]> {
    const rows = await this.#run('heldBy', [holder, after])
    return rows.map(([id, attempt]) => ({ id: id as string, attempt: Number(attempt) }))
  }

  async #renewAll(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]> {
    const asked = leases.filter(({ id }) => isId(id))
    const [ids, attempts] = [asked.map(({ id }) => id), asked.map(({ attempt }) => attempt)]
    const rows = ids.length === 0 ? [] : await this.#run('renew', [this.#options.clock(), ids, attempts, leaseMs])
    return renewalsOf(leases, rows)
  }

  async #claimOne(id: string, by: unknown[]): Promise<Row[]> {
    return isId(id) ? await this.#run('claimOne', [this.#options.clock(), id, ...by]) : []
  }
}
