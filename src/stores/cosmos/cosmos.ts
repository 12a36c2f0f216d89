/**
 * The Cosmos DB store: one item for each operation, in one container with the partition key `/id`.
 *
 * Every change is one write of one item, conditional on its ETag. A change that needs several items is written so that
 * only the last write makes it effective. Statuses are read by point reads. See docs/deploy/cosmos.md.
 *
 * @example
 * const client = new CosmosClient({ endpoint, aadCredentials: new DefaultAzureCredential() })
 * const store = cosmosStore(client.database('orders').container('operations'))
 */

import type { Change, Operation } from '../../model/operation.ts'
import type { Submission } from '../../model/submission.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { ClockSteps } from '../clock-steps.ts'
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
  SweepResult,
} from '../store.ts'
import { changeHints, QUEUE_COUNT_LIMIT, QUEUE_READY_LIMIT } from '../store.ts'
import { accept } from './accept.ts'
import { CosmosAccess, tagged } from './access.ts'
import { AttemptClaims } from './attempt-claims.ts'
import { errorsOf, movedLinesOf, stepsOf, textOf } from './besides.ts'
import { CosmosCalls } from './calls.ts'
import { checkAccount, checkContainer } from './checks.ts'
import { Claims } from './claims.ts'
import type { CosmosContainer } from './container.ts'
import { type CosmosStoreOptions, type CosmosStoreSettings, readCosmosOptions } from './cosmos-options.ts'
import { browse, dump, restore } from './dumps.ts'
import { Feed } from './feed.ts'
import {
  BODY_LIMIT,
  fits,
  type KeptItem,
  keyItemId,
  keyItemOf,
  type OperationItem,
  scopeOf,
  sorted,
  type Tagged,
  within,
} from './items.ts'
import { LongKeys } from './keys.ts'
import { type Mutation, Mutations } from './mutations.ts'
import type { CountName } from './queries.ts'
import { Limits } from './submission-limits.ts'
import { purgeOne, reschedule, sweep } from './sweeps.ts'
import { changing, holdingBack, noting, renewing } from './transitions.ts'

export type { CosmosContainer } from './container.ts'

export type { CosmosStoreOptions } from './cosmos-options.ts'

/** `engine` is missing if an older version wrote the item. */
type StoredHolding = Omit<ActiveOperation, 'engine'> & Partial<Pick<ActiveOperation, 'engine'>>

/** How many ETags of own writes are kept, in order to recognize these writes in the change feed. */
const OWN_KEPT = 1000

/**
 * Makes a store on a container. The caller owns the container's client, and disposes of it.
 *
 * @throws {TypeError} for an unknown or invalid option; the message names it
 *
 * @example
 * import { CosmosClient as Client } from '@azure/cosmos'
 *
 * const client = new Client({ endpoint: 'https://orders.documents.azure.com', key: process.env.COSMOS_KEY ?? '' })
 * const documents = cosmosStore(client.database('orders').container('operations'))
 */
export function cosmosStore(container: CosmosContainer, options: CosmosStoreOptions = {}): Store {
  return new CosmosStore(container, readCosmosOptions(options))
}

class CosmosStore implements Store {
  readonly isRemote = true
  readonly #container: CosmosContainer
  readonly #access: CosmosAccess
  readonly #mutations: Mutations
  readonly #claims: Claims
  readonly #attempts: AttemptClaims
  readonly #limits: Limits
  readonly #longKeys: LongKeys
  readonly #steps: ClockSteps
  readonly #feed: Feed
  readonly #listeners = new HintListeners()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #own = new Set<string>()
  #state: 'new' | 'open' | 'closed' = 'new'

  constructor(container: CosmosContainer, settings: CosmosStoreSettings) {
    const { pollMs, timeoutMs, onCharge, clock, monotonicClock, blobs, steps } = settings
    this.#container = container
    this.#steps = steps
    const calls = new CosmosCalls({ timeoutMs, onCharge })
    this.#access = new CosmosAccess(container, calls, { clock, blobs })
    this.#mutations = new Mutations(this.#access, (written, silent) => this.#written(written, silent))
    this.#claims = new Claims(this.#access)
    this.#attempts = new AttemptClaims(this.#access, this.#mutations, this.#claims)
    this.#longKeys = new LongKeys(this.#access)
    this.#limits = new Limits({
      countUnfinished: (type, owner, limit) => this.#countUnfinished(type, owner, limit),
      countReady: async (type, limit) => {
        return await this.#access.count('readyCount', { ...within([type]), now: this.#access.now() }, limit)
      },
      find: async ({ id, type, owner, idempotencyKey: key }) => {
        return key === null ? (await this.#operation(id))?.item.record : await this.#findByKey(type, owner, key)
      },
      accept: submission => accept(this.#access, submission),
    })
    this.#feed = new Feed({
      container,
      everyMs: pollMs,
      timeoutMs,
      monotonic: monotonicClock,
      onCharge,
      onItem: resource => this.#changedByOthers(resource),
      onGap: () => this.#hint({ kind: 'unknown' }),
    })
  }

  async open(): Promise<void> {
    if (this.#state !== 'new') return
    const { resource } = await this.#access.calls.item('container', options => this.#container.read(options))
    checkContainer(this.#container.id, resource)
    const account = await this.#access.calls.item('account', () => this.#container.database.client.getDatabaseAccount())
    checkAccount(account.resource)
    await this.#access.blobs?.open?.()
    await this.#feed.open()
    this.#state = 'open'
  }

  accept(submission: Submission): Promise<Acceptance> {
    this.#feed.touch()
    return this.#run(async () => {
      const acceptance = await (submission.limits === undefined
        ? accept(this.#access, submission)
        : this.#limits.accept(submission))
      if (acceptance.kind === 'accepted') this.#hintReady(acceptance.operation)
      return acceptance
    })
  }

  read(id: string): Promise<Operation | undefined> {
    this.#feed.touch()
    return this.#run(async () => (await this.#operation(id))?.item.record)
  }

  findByKey(type: string, owner: string, key: string): Promise<Operation | undefined> {
    return this.#run(() => this.#findByKey(type, owner, key))
  }

  readPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    return this.#run(async () => await textOf(this.#access, (await this.#operation(id))?.item[kind]))
  }

  claim(request: ClaimRequest): Promise<Claim[]> {
    this.#steps.noteLease(request.leaseMs)
    return this.#run(() => this.#attempts.claim(request))
  }

  renew(leases: readonly Lease[], leaseMs: number): Promise<Renewal[]> {
    return this.#run(() => inParallel(leases, lease => this.#mutations.apply(lease.id, renewing(lease, leaseMs))))
  }

  change(id: string, change: Change): Promise<Operation | undefined> {
    return this.#mutate(id, changing(id, change, this.#access.blobs === undefined))
  }

  async appendNote(lease: Lease, note: Note): Promise<boolean> {
    if (note.kind === 'step' && this.#access.blobs === undefined && !fits(note.value)) {
      throw new RangeError(
        `The outcome of step "${note.name}" is too large: the store, Cosmos DB, takes ${BODY_LIMIT} bytes.`,
      )
    }
    return await this.#mutate(lease.id, noting(lease, note))
  }

  steps(id: string): Promise<ReadonlyMap<string, string>> {
    return this.#run(async () => {
      return new Map(await stepsOf(this.#access, (await this.#operation(id))?.item.steps ?? []))
    })
  }

  logs(id: string, after: number): Promise<readonly LogLine[]> {
    return this.#run(async () => {
      const log = (await this.#operation(id))?.item.log
      if (log === undefined) return []
      const parts = log.parts.filter(({ first, count }) => first + count - 1 > after)
      const moved = await movedLinesOf(this.#access, parts)
      return [...moved.flat(), ...log.tail].filter(({ sequence }) => sequence > after)
    })
  }

  errors(id: string): Promise<readonly RecordedError[]> {
    return this.#run(async () => await errorsOf(this.#access, (await this.#operation(id))?.item.errors))
  }

  list({ type, owner, status, limit, after }: ListQuery): Promise<readonly Operation[]> {
    const scope = scopeOf(type, owner)
    return this.#run(() =>
      status === undefined
        ? this.#access.records('list', within([scope], after), limit)
        : this.#access.records('listByStatus', within([scope, status], after), limit),
    )
  }

  queueStats(type: string): Promise<QueueStats> {
    return this.#run(async () => {
      const readyNow = { ...within([type]), now: this.#access.now() }
      const [ready, running, durations] = await Promise.all([
        this.#access.query<{ id: string; at: number }>('readyIds', readyNow, QUEUE_READY_LIMIT),
        this.#access.count('runningCount', { type }, QUEUE_COUNT_LIMIT),
        this.#access.query<number>('durations', within([type]), 100),
      ])
      const isLong = ready.length === QUEUE_READY_LIMIT
      return {
        ready: ready.map(({ id }) => id),
        depth: isLong ? await this.#access.count('readyCount', readyNow, QUEUE_COUNT_LIMIT) : ready.length,
        running,
        oldestAt: ready.length === 0 ? null : Math.min(...ready.map(({ at }) => at)),
        durations,
      }
    })
  }

  reserveForLaunch(request: ReserveRequest): Promise<readonly Operation[]> {
    const { limit, holdMs } = request
    const types = request.types.map(type => ({ type, limit }))
    return this.#run(async () => {
      const items = await this.#claims.take(types, limit, candidate =>
        this.#mutations.apply(candidate.item.id, holdingBack(holdMs), candidate),
      )
      return items.map(({ record }) => record)
    })
  }

  listActive({ holder, after = '', limit }: ActiveQuery): Promise<readonly ActiveOperation[]> {
    return this.#run(async () => {
      const held =
        holder === undefined
          ? await this.#access.query<StoredHolding>('holdings', { after }, limit)
          : await this.#access.query<StoredHolding>('holdingsOf', { after, holder }, limit)
      return held.map(it => ({ ...it, engine: it.execution === null ? null : (it.engine ?? null) }))
    })
  }

  holders(): Promise<readonly string[]> {
    return this.#run(async () => {
      return [...new Set(await this.#access.query<string>('holders', { after: '' }, Number.POSITIVE_INFINITY))]
    })
  }

  webhooksDue(limit: number): Promise<readonly Operation[]> {
    return this.#run(() => this.#access.records('webhooksDue', { after: '' }, limit))
  }

  familyDue(limit: number): Promise<readonly Operation[]> {
    return this.#run(() => this.#access.records('familyDue', { after: '' }, limit))
  }

  listChildren({ parent, state, after = '', limit }: ChildrenQuery): Promise<readonly string[]> {
    const isOpen = state === 'unfinished'
    const parts = isOpen ? [parent] : [parent, state]
    const range = { ...within(parts), after: sorted(...parts, after) }
    return this.#run(() => this.#access.query<string>(isOpen ? 'openChildren' : 'endedChildren', range, limit))
  }

  countChildren(parent: string): Promise<ChildCounts> {
    const count = (name: CountName, ...parts: string[]) =>
      this.#access.count(name, within([parent, ...parts]), Infinity)
    return this.#run(async () => {
      const [unfinished = 0, completed = 0, failed = 0, canceled = 0] = await Promise.all([
        count('countOpenChildren'),
        ...(['completed', 'failed', 'canceled'] as const).map(status => count('countEndedChildren', status)),
      ])
      return { unfinished, completed, failed, canceled }
    })
  }

  sweep(limit: number): Promise<SweepResult> {
    return this.#run(async () => {
      const { aheadMs, mayBeBack } = this.#steps.look(this.#access.now())
      if (mayBeBack) {
        await reschedule(this.#access, this.#mutations)
        this.#steps.noteRescheduled()
      }
      const swept = await sweep(this.#access, this.#mutations, limit, aheadMs)
      await this.#longKeys.renew()
      return swept
    })
  }

  browse(query: BrowseQuery): Promise<BrowsePage> {
    return this.#run(() => browse(this.#access, query))
  }

  purge(id: string): Promise<boolean> {
    return this.#run(() => purgeOne(this.#access, this.#mutations, id))
  }

  dump(after: string | undefined, limit: number): Promise<readonly Dump[]> {
    return this.#run(() => dump(this.#access, after, limit))
  }

  restore(dumps: readonly Dump[]): Promise<void> {
    return this.#run(async () => {
      await restore(this.#access, dumps)
      this.#hint({ kind: 'unknown' })
    })
  }

  /** Each look costs request units, and the feed shows whether anything happens. */
  tellIdle(): number {
    return this.#feed.pauseMs
  }

  watch(listener: (hint: Hint) => void): () => void {
    const isFirst = this.#listeners.isEmpty
    const remove = this.#listeners.add(listener)
    if (isFirst && this.#state !== 'closed') this.#feed.start()
    return () => {
      remove()
      if (this.#listeners.isEmpty) void this.#feed.stop()
    }
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    await this.#feed.stop()
    await Promise.allSettled(this.#underWay)
    this.#listeners.clear()
  }

  /** Every call runs in here, so that `close` can wait for it. */
  async #run<T>(act: () => Promise<T>): Promise<T> {
    if (this.#state !== 'open')
      throw new Error(`The Cosmos DB store is ${this.#state === 'new' ? 'not open: call open() first' : 'closed'}.`)
    const running = act()
    this.#underWay.add(running)
    try {
      return await running
    } finally {
      this.#underWay.delete(running)
    }
  }

  #mutate<Result>(id: string, mutation: Mutation<Result>): Promise<Result> {
    return this.#run(() => this.#mutations.apply(id, mutation))
  }

  async #findByKey(type: string, owner: string, key: string): Promise<Operation | undefined> {
    const keyId = keyItemId(type, owner, key)
    const id = (await this.#access.key(keyId))?.item.operation
    const record = id === undefined ? undefined : (await this.#operation(id))?.item.record
    return record !== undefined && keyItemOf(record) === keyId ? record : undefined
  }

  async #countUnfinished(type: string, owner: string, limit: number): Promise<number> {
    return await this.#access.count('unfinished', { scope: scopeOf(type, owner) }, limit)
  }

  async #operation(id: string): Promise<Tagged<OperationItem> | undefined> {
    const found = await this.#access.operation(id)
    return found?.item.kind === 'operation' ? found : undefined
  }

  #written({ item: { record }, etag }: Tagged<OperationItem>, silent: boolean): void {
    this.#feed.touch()
    this.#own.add(etag)
    const [oldest] = this.#own
    if (this.#own.size > OWN_KEPT && oldest !== undefined) this.#own.delete(oldest)
    if (silent) return
    for (const hint of changeHints(record)) this.#hint(hint)
    this.#hintReady(record)
  }

  #changedByOthers(resource: unknown): void {
    const { item, etag } = tagged<KeptItem>(resource)
    if (item.kind !== 'operation' || this.#own.delete(etag)) return
    for (const hint of changeHints(item.record)) this.#hint(hint)
    this.#hintReady(item.record)
  }

  #hintReady({ status, runAt, type }: Pick<Operation, 'status' | 'runAt' | 'type'>): void {
    if (status === 'pending' && (runAt ?? 0) <= this.#access.now()) this.#hint({ kind: 'ready', type })
  }

  #hint(hint: Hint): void {
    this.#listeners.send(hint)
  }
}
