/** The operator's service on a store. */
import { isReference, readReference } from '../blobs/blob-store.ts'
import { type Duration, durationMs, HOUR, LONGEST_MS } from '../model/duration.ts'
import { hasChildren, type Operation } from '../model/operation.ts'
import { ProblemError, problem, problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { toSubmission } from '../model/submit-request.ts'
import { RESERVED_STEPS, waitStep } from '../model/waits.ts'
import { attemptsOf } from '../service/attempts-of.ts'
import { listBatchItems } from '../service/batch-items.ts'
import { type EventRequest, openWaits } from '../service/events.ts'
import type { Operations } from '../service/operations.ts'
import type { RetryOptions } from '../service/retries.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { listPauses, OPERATOR, PAUSES, type PausedTypes, pausedType, pauseTags } from '../stores/paused-types.ts'
import {
  BROWSE_LIMIT,
  type BrowseQuery,
  type ChildState,
  type LogLine,
  type OperatorFilter,
  type RecordedError,
  type Store,
} from '../stores/store.ts'
import { inParallel } from '../util/in-parallel.ts'
import type { Logger } from '../util/logger.ts'
import type { Loop } from '../util/loop.ts'
import type { Delivery } from '../webhooks/history.ts'
import { historyAlone, type Webhooks } from '../webhooks/webhooks.ts'
import { type Act, Acts, BULK_TYPE, type Bulk, type Done, OPERATOR_TYPES } from './acts.ts'
import { type BulkContext, previewBulk, runBulk, toBulkRun } from './bulk.ts'
import { isInternal } from './internal-types.ts'
import { lookThrough } from './look.ts'
import type { Operator, PageRequest } from './operator.ts'
import { redactJson } from './redact.ts'
import { type ReplayContext, replayWebhook } from './replay-webhook.ts'
import { makeStatistics } from './statistics.ts'
import { readTarget, typesFor } from './target.ts'
import { toView } from './to-view.ts'
import type {
  Actor,
  BulkAction,
  BulkPreview,
  BulkRun,
  BulkTarget,
  ChildrenPage,
  OperationDetail,
  OperationView,
  OperatorPage,
  ResultsPage,
  Statistics,
} from './views.ts'

/** What the operator's service needs. */
export interface OperatorContext {
  readonly store: Store
  readonly operations: Operations
  readonly webhooks: Webhooks | undefined
  readonly logger: Logger
  readonly pauses: PausedTypes
  /** The types of the ticks of schedules. */
  readonly schedules: readonly { readonly name: string }[]
}

/** Of Waybill's own steps, only those that record how a wait ended are shown; others hold secrets and lists. */
const WAIT_STEPS = waitStep('')

/**
 * The end of the name of every batch type. No other name can have it, so a batch is recognized even if its type is not
 * declared.
 */
const BATCH_ENDING = '/batches'

/** The most items of a page. */
const OPERATOR_PAGE_LIMIT = 500
/** How many items a page has by default. */
const DEFAULT_LIMIT = 50

/** How many reads of the store one page may take if many operations are acts of operators. */
const MAX_LOOKS = 20

export class StoreOperator implements Operator {
  readonly #context: OperatorContext
  readonly #acts: Acts
  readonly #bulk: BulkContext
  readonly #replays: ReplayContext

  /** @throws {TypeError} if an operation type has a name that is reserved for acts */
  constructor(context: OperatorContext) {
    this.#context = context
    const { store, operations, logger } = context
    for (const name of OPERATOR_TYPES) {
      if (operations.types.has(name)) throw new TypeError(`The name "${name}" is reserved for acts of operators.`)
    }
    const history = context.webhooks?.history ?? historyAlone({ store, operations })
    this.#replays = { store, history, delivers: context.webhooks !== undefined }
    const perform = (act: Act) => this.#perform(act)
    const { types } = operations
    const look = (query: BrowseQuery) => lookThrough({ store, types }, query)
    this.#bulk = { store, types, look, perform }
    this.#acts = new Acts({
      store,
      logger,
      canPerform: act => this.#canPerform(act),
      perform,
      canPerformBulk: bulk => bulk.types.every(type => types.has(type)),
      performBulk: (bulk, job) => runBulk(this.#bulk, bulk, job),
    })
  }

  /** The loops, for health checks. */
  get loops(): readonly Loop[] {
    return this.#acts.worker.loops
  }

  /** Begins its work in the background. The store must be open. */
  async start(): Promise<void> {
    await this.#acts.worker.start()
  }

  async stop(): Promise<void> {
    await this.#acts.worker.stop()
  }

  async browse(filter: OperatorFilter, { after, limit = DEFAULT_LIMIT }: PageRequest = {}): Promise<OperatorPage> {
    checkLimit(limit)
    const items: OperationView[] = []
    let [scanned, next] = [0, after]
    for (let look = 0; look < MAX_LOOKS; look++) {
      const query = { ...filter, after: next, limit: limit - items.length }
      const page = await this.#bulk.look(query)
      items.push(...page.operations.filter(({ type }) => type === filter.type || !isInternal(type)).map(toView))
      scanned += page.scanned
      next = page.next
      if (next === undefined || items.length === limit || scanned >= BROWSE_LIMIT) break
    }
    return { items, next, scanned }
  }

  async get(id: string): Promise<OperationDetail | undefined> {
    const { store, operations } = this.#context
    const operation = await this.#read(id)
    if (operation === undefined) return undefined
    const [errors, steps, deliveries, output, children] = await Promise.all([
      orUnavailable(store.errors(id)),
      orUnavailable(store.steps(id)),
      this.#deliveries(operation),
      this.output(id),
      this.#countChildren(operation),
    ])
    return {
      ...toView(operation),
      traceparent: operation.traceparent,
      webhookUrl: operation.webhookUrl,
      waits: openWaits(operation),
      children,
      attempts: withErrors(operation, errors),
      steps: [...steps]
        .filter(([name]) => !name.startsWith(RESERVED_STEPS) || name.startsWith(WAIT_STEPS))
        .map(([name, value]) => ({ name, value: this.#redacted(operation, value) }))
        .sort(byName),
      deliveries,
      hasInput: !operation.purged,
      hasOutput: output !== undefined,
      isKnownType: operations.types.has(operation.type),
    }
  }

  async children(
    id: string,
    state: ChildState,
    { after, limit = DEFAULT_LIMIT }: PageRequest = {},
  ): Promise<ChildrenPage> {
    checkLimit(limit)
    const { store } = this.#context
    const ids = await orUnavailable(store.listChildren({ parent: id, state, limit, after }))
    const found = await Promise.all(ids.map(child => this.#read(child)))
    return { items: found.flatMap(child => (child === undefined ? [] : [toView(child)])), next: nextOf(ids, limit) }
  }

  async results(id: string, { after, limit = DEFAULT_LIMIT }: PageRequest = {}): Promise<ResultsPage> {
    checkLimit(limit)
    const { operations } = this.#context
    const batch = await this.#find(id)
    if (!batch.type.endsWith(BATCH_ENDING)) throw problemError('not-found', 'It is not a batch.')
    const page = await listBatchItems(operations, batch, { after: after === undefined ? -1 : readIndex(after), limit })
    const found = await inParallel(page.items, async item => {
      const [operation, output] = [await this.#read(item.id), await this.output(item.id)]
      return operation && { ...toView(operation), index: item.index, output }
    })
    const next = page.isLast ? undefined : String(page.items.at(-1)?.index)
    return { items: found.filter(item => item !== undefined), next }
  }

  async #countChildren(operation: Operation): Promise<OperationDetail['children']> {
    if (!hasChildren(operation)) return null
    const counts = await orUnavailable(this.#context.store.countChildren(operation.id))
    const { unfinished, completed, failed, canceled } = counts
    return { ...counts, total: unfinished + completed + failed + canceled }
  }

  async input(id: string): Promise<string | undefined> {
    return await this.#payload(id, 'input')
  }

  async output(id: string): Promise<string | undefined> {
    const text = await this.#payload(id, 'output')
    return text !== undefined && readReference(text, id) === undefined ? text : undefined
  }

  async #payload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    const text = await this.#rawPayload(id, kind)
    const operation = text === undefined || isReference(text) ? undefined : await this.#read(id)
    return text !== undefined && operation !== undefined ? this.#redacted(operation, text) : text
  }

  async #rawPayload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    return await orUnavailable(this.#context.store.readPayload(id, kind))
  }

  #redacted({ type }: Operation, text: string): string {
    return redactJson(text, this.#context.operations.types.get(type)?.policy.redact ?? [])
  }

  async log(id: string, after = 0): Promise<readonly LogLine[]> {
    return await orUnavailable(this.#context.store.logs(id, after))
  }

  async cancel(id: string, actor: Actor): Promise<OperationView> {
    return await this.#act({ action: 'cancel', actor: nameOf(actor), target: id })
  }

  async retry(id: string, actor: Actor, { fresh }: RetryOptions = {}): Promise<OperationView> {
    return await this.#act({ action: 'retry', actor: nameOf(actor), target: id, fresh })
  }

  async delete(id: string, actor: Actor): Promise<void> {
    await this.#acts.do({ action: 'delete', actor: nameOf(actor), target: id })
  }

  async sendEvent(id: string, { name, value = null }: EventRequest, actor: Actor): Promise<OperationView> {
    return await this.#act({ action: 'event', actor: nameOf(actor), target: id, name, value })
  }

  async replay(id: string, actor: Actor): Promise<Delivery> {
    const { delivery } = await this.#acts.do({ action: 'replay', actor: nameOf(actor), target: id })
    if (delivery === undefined) throw problemError('not-found')
    return delivery
  }

  async pause(type: string, actor: Actor): Promise<void> {
    const { operations, schedules } = this.#context
    const known = [...operations.types.keys(), ...schedules.map(({ name }) => name)]
    if (!known.includes(type)) {
      const detail = `There is no type ${JSON.stringify(type)}. The types are ${known.join(', ')}.`
      throw new ProblemError({ ...problem('not-found'), title: 'Operation type not found', detail })
    }
    await this.#acts.do({ action: 'pause', actor: nameOf(actor), target: type })
  }

  async resume(type: string, actor: Actor): Promise<void> {
    await this.#acts.do({ action: 'resume', actor: nameOf(actor), target: type })
  }

  paused(): ReadonlySet<string> {
    return this.#context.pauses.types
  }

  async statistics({ window = HOUR }: { readonly window?: Duration | undefined } = {}): Promise<Statistics> {
    const { store, pauses, operations } = this.#context
    const windowMs = durationMs('window', window, { min: 1000, max: LONGEST_MS })
    return await makeStatistics({ store, pauses, types: [...operations.types.keys()] }, windowMs)
  }

  async preview(action: BulkAction, given: BulkTarget): Promise<BulkPreview> {
    const target = readTarget(given)
    return await previewBulk(this.#bulk, { action, types: this.#typesFor(action, target), target })
  }

  async bulk(action: BulkAction, given: BulkTarget, actor: Actor): Promise<BulkRun> {
    const target = readTarget(given)
    const bulk = { action, types: this.#typesFor(action, target), actor: nameOf(actor), target }
    return toBulkRun(await this.#acts.begin(bulk), bulk, new Map())
  }

  #typesFor(action: BulkAction, target: BulkTarget): readonly string[] {
    return typesFor(action, target, [...this.#context.operations.types.keys()])
  }

  async bulkRuns(): Promise<readonly BulkRun[]> {
    const query = { type: BULK_TYPE.name, owner: OPERATOR, limit: DEFAULT_LIMIT }
    const operations = await orUnavailable(this.#context.store.list(query))
    return (await Promise.all(operations.map(operation => this.#toBulkRun(operation)))).flat()
  }

  async bulkRun(id: string): Promise<BulkRun | undefined> {
    const operation = await this.#read(id)
    return operation?.type === BULK_TYPE.name ? (await this.#toBulkRun(operation))[0] : undefined
  }

  async cancelBulk(id: string, actor: Actor): Promise<BulkRun> {
    const run = await this.bulkRun(id)
    if (run === undefined) throw problemError('not-found')
    await this.cancel(id, actor)
    return (await this.bulkRun(id)) ?? run
  }

  async audit({ limit = DEFAULT_LIMIT, after }: PageRequest = {}): ReturnType<Operator['audit']> {
    checkLimit(limit)
    return await this.#acts.audit(limit, after)
  }

  async #act(act: Act): Promise<OperationView> {
    const { operation } = await this.#acts.do(act)
    return toView(operation ?? (await this.#find(act.target)))
  }

  /** Whether this process declares the type of the operation to retry. */
  async #canPerform({ action, target }: Act): Promise<boolean> {
    if (action !== 'retry') return true
    const operation = await this.#read(target)
    return operation === undefined || this.#context.operations.types.has(operation.type)
  }

  /** Does an act, which may have been done before by a process that died. */
  async #perform({ action, target, fresh, since, ...event }: Act): Promise<Done> {
    const { operations } = this.#context
    switch (action) {
      case 'cancel':
        return { count: 1, operation: await this.#cancel(target) }
      case 'retry': {
        const { operation } = await operations.retryOperation(await this.#find(target), { fresh })
        return { count: 1, detail: `The retry is ${operation.id}.`, operation }
      }
      case 'delete':
        await operations.deleteOperation(await this.#find(target))
        return { count: 1 }
      case 'event':
        return await this.#sendEvent(target, event)
      case 'replay':
        return await replayWebhook(this.#replays, target, since)
      case 'pause':
        return await this.#pause(target)
      case 'resume':
        return await this.#resume(target)
    }
  }

  async #cancel(id: string): Promise<Operation> {
    const before = await this.#find(id)
    if (before.purged) throw problemError('operation-expired')
    const { store } = this.#context
    const changed = isFinal(before.status) ? undefined : await orUnavailable(store.change(id, { kind: 'cancel' }))
    const operation = changed ?? (await this.#find(id))
    if (operation.status === 'completed' || operation.status === 'failed') {
      throw problemError('operation-finished', `Its status is "${operation.status}".`)
    }
    return operation
  }

  async #sendEvent(id: string, { name = '', value }: Pick<Act, 'name' | 'value'>): Promise<Done> {
    const detail = `The event is "${name}".`
    if (value === undefined) throw problemError('unavailable', `${detail} It may not have been sent: send it again.`)
    const operation = await this.#context.operations.sendOperationEvent(await this.#find(id), { name, value })
    return { count: 1, detail, operation }
  }

  async #pause(type: string): Promise<Done> {
    const { store, pauses } = this.#context
    const isPaused = (await this.#pausesOf(type)).length > 0
    if (!isPaused) {
      const submission = { ...toSubmission(PAUSES, { input: null, owner: OPERATOR }, null), tags: pauseTags(type) }
      await orUnavailable(store.accept(submission))
    }
    await orUnavailable(pauses.refresh())
    return { count: isPaused ? 0 : 1 }
  }

  async #resume(type: string): Promise<Done> {
    const { store, pauses } = this.#context
    const held = await this.#pausesOf(type)
    for (const { id } of held) await orUnavailable(store.change(id, { kind: 'cancel' }))
    await orUnavailable(pauses.refresh())
    return { count: held.length > 0 ? 1 : 0 }
  }

  async #pausesOf(type: string): Promise<readonly Operation[]> {
    return (await orUnavailable(listPauses(this.#context.store))).filter(pause => pausedType(pause) === type)
  }

  async #toBulkRun(operation: Operation): Promise<BulkRun[]> {
    const text = await this.#rawPayload(operation.id, 'input')
    if (text === undefined) return []
    const steps = await orUnavailable(this.#context.store.steps(operation.id))
    return [toBulkRun(operation, JSON.parse(text) as Bulk, steps)]
  }

  async #read(id: string): Promise<Operation | undefined> {
    return await orUnavailable(this.#context.store.read(id))
  }

  async #find(id: string): Promise<Operation> {
    const operation = await this.#read(id)
    if (operation === undefined) throw problemError('not-found')
    return operation
  }

  async #deliveries({ id, owner, webhookUrl }: Operation): Promise<OperationDetail['deliveries']> {
    return webhookUrl === null ? [] : await orUnavailable(this.#replays.history.list(id, owner))
  }
}

/** A full page may be followed by another one. */
function nextOf(ids: readonly string[], limit: number): string | undefined {
  return ids.length === limit ? ids.at(-1) : undefined
}

function nameOf({ name }: Actor): string {
  if (typeof name === 'string' && name.length >= 1 && name.length <= 200) return name
  throw problemError('invalid-request', 'The name of an actor has 1 to 200 characters.')
}

function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= OPERATOR_PAGE_LIMIT) return
  throw problemError('invalid-request', `"limit" must be a whole number from 1 to ${OPERATOR_PAGE_LIMIT}.`)
}

function readIndex(after: string): number {
  if (/^\d{1,9}$/.test(after)) return Number(after)
  throw problemError('invalid-request', '"after" must be the "next" of a page.')
}

function withErrors(operation: Operation, errors: readonly RecordedError[]): OperationDetail['attempts'] {
  const thrown = new Map(errors.map(({ attempt, error }) => [attempt, error]))
  return attemptsOf(operation).map(attempt => ({ ...attempt, thrown: thrown.get(attempt.number) ?? null }))
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}
